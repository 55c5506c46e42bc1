//! Takes the keys of a mapping one by one, and tells all that is wrong with them at once.

use std::path::PathBuf;

use super::hints;
use super::node::{Node, Value};
use super::problem::{Place, Problem};

/// How alike two names are, from 0 to 1, before one is taken for a slip of the other.
const ALIKE: f64 = 0.8;

/// A mapping whose keys are taken.
#[derive(Debug)]
pub(super) struct Fields {
    /// What leads to its keys: nothing, `from_scratch.`, or `datasets.2.`.
    prefix: String,
    place: Place,
    entries: Vec<(String, Node)>,
    known: Vec<&'static str>,
    /// Where the keys were written that have been taken.
    places: Vec<(&'static str, Place)>,
    /// The keys that something is wrong with.
    wrong: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl Fields {
    /// The keys of `node`, which `prefix` leads to. What is no mapping has none, and is a problem.
    pub fn of(prefix: &str, node: Node) -> Self {
        let mut problems = Vec::new();
        let entries = match node.value {
            Value::Map(entries) => entries,
            other => {
                let message = format!(
                    "{} is {}; write keys with values",
                    prefix.trim_end_matches('.'),
                    other.kind()
                );
                problems.push(Problem::new(node.place, message));
                Vec::new()
            }
        };
        Self {
            prefix: prefix.to_string(),
            place: node.place,
            entries,
            known: Vec::new(),
            places: Vec::new(),
            wrong: Vec::new(),
            problems,
        }
    }

    /// The node of `key`; a key whose value is null counts as left out.
    pub fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        let (_, node) = self.entries.remove(at);
        if node.value == Value::Null {
            return None;
        }
        self.places.push((key, node.place));
        Some(node)
    }

    /// The value of `key` as `read` makes it of what is written. What cannot be read is a problem, and counts as left out.
    pub fn read<T>(&mut self, key: &'static str, read: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        let node = self.take(key)?;
        match read(&node.value) {
            Ok(value) => Some(value),
            Err(wanted) => {
                let message = format!("{}{key} is {}; {wanted}", self.prefix, node.value.kind());
                self.problems.push(Problem::new(node.place, message));
                self.wrong.push(key);
                None
            }
        }
    }

    /// [`Fields::read`] for a key that has to be there; `wanted` says what to write.
    pub fn require<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let problems = self.problems.len();
        let value = self.read(key, read);
        if value.is_none() && self.problems.len() == problems {
            let message = format!("{}{key} is missing; {wanted}", self.prefix);
            self.problems.push(Problem::new(self.place_of_missing(), message));
        }
        value
    }

    /// Whether `key` was written and taken.
    pub fn has(&self, key: &str) -> bool {
        self.places.iter().any(|(known, _)| *known == key)
    }

    /// Whether nothing is wrong with `keys`, so that what they say together can be judged.
    pub fn are_sound(&self, keys: &[&str]) -> bool {
        !keys.iter().any(|key| self.wrong.contains(key))
    }

    /// The keys that were asked for, with their prefix.
    pub fn known(&self) -> Vec<String> {
        self.known.iter().map(|key| format!("{}{key}", self.prefix)).collect()
    }

    /// Tells that `key` cannot be what it is.
    pub fn refuse(&mut self, key: &str, message: impl Into<String>) {
        let written = self.places.iter().find(|(known, _)| *known == key);
        let place = written.map_or_else(|| self.place_of_missing(), |(_, place)| *place);
        let message = format!("{}{key} {}", self.prefix, message.into());
        self.problems.push(Problem::new(place, message));
    }

    /// All problems, keys that nobody took among them.
    pub fn finish(mut self) -> Vec<Problem> {
        for (unknown, node) in &self.entries {
            let hint = hints::of(unknown).map(str::to_string).or_else(|| {
                let meant = nearest(unknown, &self.known)?;
                // One slip is one problem: the key that was meant is not missing.
                let missing = format!("{}{meant} is missing;", self.prefix);
                self.problems.retain(|problem| !problem.message.starts_with(&missing));
                Some(format!("did you mean {meant}?"))
            });
            let hint = hint.unwrap_or_else(|| format!("the keys here are {}", self.known.join(", ")));
            let message = format!("unknown key {}{unknown}; {hint}", self.prefix);
            self.problems.push(Problem::new(node.place, message));
        }
        self.problems
    }

    /// A key is missing in the file, or in one mapping of it, which has a line.
    fn place_of_missing(&self) -> Place {
        if self.prefix.is_empty() {
            Place::File
        } else {
            self.place
        }
    }
}

fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    known
        .iter()
        .map(|candidate| (strsim::jaro(name, candidate), *candidate))
        .filter(|(alike, _)| *alike > ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// `true` or `false`.
pub(super) fn flag(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(value) => Ok(*value),
        _ => Err("write true or false".to_string()),
    }
}

/// A whole number from 0 on.
pub(super) fn whole(value: &Value) -> Result<u64, String> {
    match value {
        Value::Whole(number) => u64::try_from(*number).map_err(|_| "write a whole number from 0 on".to_string()),
        _ => Err("write a whole number from 0 on".to_string()),
    }
}

/// A whole number above 0 that counts things in memory.
pub(super) fn count(value: &Value) -> Result<usize, String> {
    match value {
        Value::Whole(number @ 1..=0x7fff_ffff) => Ok(*number as usize),
        _ => Err("write a whole number above 0".to_string()),
    }
}

/// A whole number from 0 on that counts things in memory.
pub(super) fn count_or_none(value: &Value) -> Result<usize, String> {
    match value {
        Value::Whole(0) => Ok(0),
        other => count(other).map_err(|_| "write a whole number from 0 on".to_string()),
    }
}

/// Pixels of an image.
pub(super) fn pixels(value: &Value) -> Result<u32, String> {
    count(value).map(|number| number as u32)
}

/// A finite number above 0.
pub(super) fn positive(value: &Value) -> Result<f64, String> {
    match number(value) {
        Some(number) if number > 0.0 => Ok(number),
        _ => Err("write a number above 0".to_string()),
    }
}

/// A finite number from 0 on.
pub(super) fn not_negative(value: &Value) -> Result<f64, String> {
    match number(value) {
        Some(number) if number >= 0.0 => Ok(number),
        _ => Err("write a number from 0 on".to_string()),
    }
}

/// A number from 0 to 1.
pub(super) fn share(value: &Value) -> Result<f64, String> {
    match number(value) {
        Some(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("write a number from 0 to 1".to_string()),
    }
}

/// A number from 0 to just below 1: what of many things may be left out, or stay.
pub(super) fn below_one(value: &Value) -> Result<f64, String> {
    match number(value) {
        Some(number) if (0.0..1.0).contains(&number) => Ok(number),
        _ => Err("write a number from 0 to below 1".to_string()),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Whole(number) => Some(*number as f64),
        Value::Number(number) if number.is_finite() => Some(*number),
        _ => None,
    }
}

/// A word or more. A number is text too: a name may be `2024`.
pub(super) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) if !text.trim().is_empty() => Ok(text.clone()),
        Value::Whole(number) => Ok(number.to_string()),
        _ => Err("write a text".to_string()),
    }
}

/// A path, as the system writes it.
pub(super) fn path(value: &Value) -> Result<PathBuf, String> {
    text(value).map(PathBuf::from).map_err(|_| "write a path".to_string())
}

/// Words: a list, or one text with commas between them.
pub(super) fn words(value: &Value) -> Result<Vec<String>, String> {
    let wanted = || "write a list of names, as in [q_proj, v_proj]".to_string();
    let words: Vec<String> = match value {
        Value::Text(text) => text.split(',').map(|word| word.trim().to_string()).collect(),
        Value::List(nodes) => nodes
            .iter()
            .map(|node| text(&node.value))
            .collect::<Result<_, _>>()
            .map_err(|_| wanted())?,
        _ => return Err(wanted()),
    };
    if words.is_empty() || words.iter().any(|word| word.trim().is_empty()) {
        return Err(wanted());
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::super::node::parse;
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields::of("", parse(text).expect("YAML"))
    }

    fn sentences(fields: Fields) -> Vec<String> {
        fields
            .finish()
            .iter()
            .map(|problem| problem.sentence("c.yaml"))
            .collect()
    }

    #[test]
    fn all_problems_are_told_at_once_and_a_slip_is_one() {
        let mut fields = fields("batch_sise: 3\nlearning_rate: fast\ncolour: red\nseed: -1\n");
        assert_eq!(
            fields.require("batch_size", "write a whole number above 0", count),
            None
        );
        assert_eq!(fields.read("learning_rate", positive), None);
        assert_eq!(fields.read("seed", whole), None);
        assert_eq!(
            sentences(fields),
            [
                "c.yaml:2: learning_rate is 'fast'; write a number above 0",
                "c.yaml:4: seed is -1; write a whole number from 0 on",
                "c.yaml:1: unknown key batch_sise; did you mean batch_size?",
                "c.yaml:3: unknown key colour; the keys here are batch_size, learning_rate, seed",
            ]
        );
    }

    #[test]
    fn a_null_is_a_key_left_out() {
        let mut fields = fields("rows: null\nname: ~\n");
        assert_eq!(fields.read("rows", count), None);
        assert_eq!(fields.require("name", "name it", text), None);
        assert_eq!(sentences(fields), ["c.yaml: name is missing; name it"]);
    }

    #[test]
    fn numbers_have_their_ranges() {
        let read = |text: &str| match parse(&format!("x: {text}")).expect("YAML").value {
            Value::Map(mut entries) => entries.remove(0).1.value,
            _ => panic!("no mapping"),
        };
        assert_eq!(positive(&read("5e-5")), Ok(5e-5));
        assert_eq!(positive(&read("1")), Ok(1.0));
        assert!(positive(&read("0")).is_err() && positive(&read("'1'")).is_err());
        assert_eq!(share(&read("0.5")), Ok(0.5));
        assert!(share(&read("1.5")).is_err());
        assert!(below_one(&read("1")).is_err());
        assert!(count(&read("0")).is_err() && count(&read("2.0")).is_err() && count(&read("99999999999")).is_err());
        assert_eq!(count_or_none(&read("0")), Ok(0));
        assert_eq!(
            words(&read("q_proj, v_proj")),
            Ok(vec!["q_proj".into(), "v_proj".into()])
        );
        assert_eq!(words(&read("[q_proj]")), Ok(vec!["q_proj".into()]));
        assert!(words(&read("[]")).is_err() && words(&read("'q,,v'")).is_err());
    }
}
