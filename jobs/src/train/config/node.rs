//! YAML as nodes that know where they stand, so that every problem can name its line.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::problem::{Place, Problem};

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

/// What YAML can hold. A mapping keeps the order in which it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Whole(i128),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Value {
    /// What it is, as a sentence names it.
    pub fn kind(&self) -> String {
        match self {
            Self::Null => "nothing".to_string(),
            Self::Bool(value) => value.to_string(),
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("'{text}'"),
            Self::List(_) => "a list".to_string(),
            Self::Map(_) => "a mapping".to_string(),
        }
    }

    /// As JSON, which is YAML too.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Whole(number) => u64::try_from(*number)
                .map(serde_json::Value::from)
                .or_else(|_| i64::try_from(*number).map(serde_json::Value::from))
                .unwrap_or(serde_json::Value::Null),
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.clone().into(),
            Self::List(nodes) => nodes.iter().map(|node| node.value.to_json()).collect(),
            Self::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key.clone(), node.value.to_json()))
                .collect(),
        }
    }
}

/// The one mapping that a file holds.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let Spanned { value, referenced, .. } = serde_saphyr::from_str_with_options::<Spanned<Value>>(text, options())
        .map_err(|error| {
            let place = error.location().map_or(Place::File, |at| Place::Line(at.line()));
            Problem::new(place, format!("it is no YAML: {}", one_line(&error)))
        })?;
    let place = Place::Line(referenced.line());
    match value {
        Value::Map(_) => Ok(Node { place, value }),
        Value::Null => Err(Problem::new(Place::File, "it is empty".to_string())),
        other => Err(Problem::new(
            place,
            format!("it holds {}, and not keys with values", other.kind()),
        )),
    }
}

/// Puts `assignment`, a `key=value` of the command line, into `root`. A key may lead inwards: `from_scratch.config`,
/// `datasets.0.weight`.
pub(super) fn assign(root: &mut Node, assignment: &str) -> Result<(), Problem> {
    let refuse = |message: String| Problem::new(Place::Flag, message);
    let (path, text) = assignment
        .split_once('=')
        .ok_or_else(|| refuse(format!("'{assignment}' is no KEY=VALUE")))?;
    let mut value = serde_saphyr::from_str_with_options::<Value>(text, options())
        .map_err(|error| refuse(format!("{path}: '{text}' is no YAML: {}", one_line(&error))))?;
    value.give_place(Place::Flag);
    let mut node = root;
    let mut walked = String::new();
    for step in path.split('.') {
        let within = if walked.is_empty() { "the file" } else { &walked };
        node = match &mut node.value {
            Value::Map(entries) => {
                let at = entries.iter().position(|(key, _)| key == step).unwrap_or_else(|| {
                    let empty = Node {
                        place: Place::Flag,
                        value: Value::Null,
                    };
                    entries.push((step.to_string(), empty));
                    entries.len() - 1
                });
                &mut entries[at].1
            }
            Value::List(nodes) => {
                let count = nodes.len();
                step.parse::<usize>()
                    .ok()
                    .and_then(|at| nodes.get_mut(at))
                    .ok_or_else(|| {
                        refuse(format!(
                            "{path}: {within} has entries from 0 to {}",
                            count.saturating_sub(1)
                        ))
                    })?
            }
            other => {
                return Err(refuse(format!(
                    "{path}: {within} is {}, with nothing in it",
                    other.kind()
                )));
            }
        };
        walked = if walked.is_empty() {
            step.to_string()
        } else {
            format!("{walked}.{step}")
        };
    }
    *node = Node {
        place: Place::Flag,
        value,
    };
    Ok(())
}

impl Value {
    /// Makes `place` that of all that is inside.
    fn give_place(&mut self, place: Place) {
        let inside: Vec<&mut Node> = match self {
            Self::List(nodes) => nodes.iter_mut().collect(),
            Self::Map(entries) => entries.iter_mut().map(|(_, node)| node).collect(),
            _ => return,
        };
        for node in inside {
            node.place = place;
            node.value.give_place(place);
        }
    }
}

/// A `no` or a `y` is a word, as in YAML 1.2.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! { strict_booleans: true, with_snippet: false }
}

fn one_line(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Whole(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Whole(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(entry) = entries.next_element::<Spanned<Value>>()? {
            nodes.push(entry.into());
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let value = entries.next_value::<Value>()?;
            // That of the key: the value may begin a line below.
            let place = Place::Line(key.referenced.line());
            nodes.push((key.value, Node { place, value }));
        }
        Ok(Value::Map(nodes))
    }
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        Self {
            place: Place::Line(spanned.referenced.line()),
            value: spanned.value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        parse(text).expect("YAML").value
    }

    #[test]
    fn a_node_knows_the_line_that_its_key_stands_in() {
        let Value::Map(entries) = value("a: 1\n\nb:\n  - x: 5e-5\n    y: yes please\n") else {
            panic!("no mapping");
        };
        assert_eq!(entries[0].1.place, Place::Line(1));
        let (key, list) = &entries[1];
        assert_eq!((key.as_str(), list.place), ("b", Place::Line(3)));
        let Value::List(items) = &list.value else {
            panic!("no list")
        };
        let Value::Map(inner) = &items[0].value else {
            panic!("no mapping")
        };
        assert_eq!(
            (inner[0].1.place, &inner[0].1.value),
            (Place::Line(4), &Value::Number(5e-5))
        );
        assert_eq!(
            (inner[1].1.place, &inner[1].1.value),
            (Place::Line(5), &Value::Text("yes please".into()))
        );
    }

    #[test]
    fn what_is_no_mapping_is_refused_with_its_line() {
        let error = parse("a: [1\nb: 2\n").expect_err("an open bracket").sentence("c.yaml");
        assert!(error.starts_with("c.yaml:"), "{error}");
        assert_eq!(
            parse("").expect_err("nothing").sentence("c.yaml"),
            "c.yaml: it is empty"
        );
        assert_eq!(
            parse("- 1\n").expect_err("a list").sentence("c.yaml"),
            "c.yaml:1: it holds a list, and not keys with values"
        );
        let twice = parse("a: 1\na: 2\n").expect_err("a key twice").sentence("c.yaml");
        assert!(twice.starts_with("c.yaml:2: ") && twice.contains('a'), "{twice}");
    }

    #[test]
    fn an_assignment_replaces_adds_and_leads_inwards() {
        let mut root = parse("a: 1\nd:\n  - w: 1\n  - w: 2\n").expect("YAML");
        for assignment in ["a=[x, y]", "b=true", "d.1.w=0.5", "s.config=c.json"] {
            assign(&mut root, assignment).unwrap_or_else(|_| panic!("{assignment} cannot be set"));
            if assignment == "b=true" {
                // A mapping has to be there before a key of it can be set.
                assign(&mut root, "s={}").expect("an empty mapping");
            }
        }
        assert_eq!(
            root.value.to_json(),
            serde_json::json!({"a": ["x", "y"], "d": [{"w": 1}, {"w": 0.5}], "b": true, "s": {"config": "c.json"}})
        );
        for (wrong, said) in [
            ("a", "no KEY=VALUE"),
            ("b.c=1", "b is true"),
            ("d.2.w=1", "entries from 0 to 1"),
            ("a=[1", "no YAML"),
        ] {
            let error = assign(&mut root, wrong).expect_err(wrong).sentence("c.yaml");
            assert!(error.starts_with("--set") && error.contains(said), "{error}");
        }
    }
}
