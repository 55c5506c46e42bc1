//! The options of a table: `WITH (key = 'value', …)`.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::ConnectorError;

/// How alike two names must be for one to be taken for a slip of the other, from 0 to 1 (Jaro).
const ALIKE: f64 = 0.7;

/// The options of one table. A connector takes those it knows; [`Options::finish`] tells all that is wrong, options
/// that nothing has taken among it, so that a misspelt option is an error and not silently ignored.
#[derive(Debug, Clone, Default)]
pub struct Options {
    table: String,
    values: BTreeMap<String, String>,
    known: Vec<String>,
    problems: Vec<OptionProblem>,
}

/// Something that is wrong with a table's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionProblem {
    /// The option at fault, where it is one.
    pub option: Option<String>,
    /// In which way.
    pub kind: ProblemKind,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// In which way an option is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// It has to be there and is not.
    Missing,
    /// There is no such option.
    Unknown,
    /// Its value cannot be used, or does not go with the others or with the columns.
    Value,
}

impl Options {
    /// The options `values` of the table `table`.
    pub fn new(table: impl Into<String>, values: BTreeMap<String, String>) -> Self {
        Self {
            table: table.into(),
            values,
            ..Self::default()
        }
    }

    /// The option `key`, if it was given.
    pub fn take(&mut self, key: &str) -> Option<String> {
        self.known.push(key.to_string());
        self.values.remove(key)
    }

    /// The option `key`; an error that names it if it was not given.
    pub fn require(&mut self, key: &str) -> Result<String, ConnectorError> {
        self.take(key)
            .ok_or_else(|| self.missing(key, format!("the option '{key}' is missing")))
    }

    /// The option `type`, which must be `role`: `source` or `sink`.
    pub(crate) fn require_role(&mut self, role: &str) -> Result<(), ConnectorError> {
        let declared = self.require("type")?;
        if declared == role {
            return Ok(());
        }
        let message =
            format!("the table is declared with type = '{declared}' and used as a {role}; write type = '{role}'");
        Err(self.error_at("type", message))
    }

    /// The option `key` as a `T`, if it was given.
    pub fn parse<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, ConnectorError>
    where
        T::Err: std::fmt::Display,
    {
        self.take(key)
            .map(|value| {
                value
                    .parse()
                    .map_err(|error| self.error_at(key, format!("the option '{key}' cannot be '{value}': {error}")))
            })
            .transpose()
    }

    /// Every option whose name starts with `prefix`, the prefix taken off.
    pub fn take_prefix(&mut self, prefix: &str) -> BTreeMap<String, String> {
        self.known.push(format!("{prefix}…"));
        let names: Vec<String> = self
            .values
            .keys()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect();
        names
            .into_iter()
            .filter_map(|name| {
                self.values
                    .remove(&name)
                    .map(|value| (name[prefix.len()..].to_string(), value))
            })
            .collect()
    }

    /// Runs `part`, which takes some of the options. What is wrong there is kept for [`Options::finish`], so that the
    /// other options are looked at all the same.
    pub fn attempt<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T, ConnectorError>) -> Option<T> {
        match part(self) {
            Ok(value) => Some(value),
            Err(ConnectorError::Option { problems, .. }) => {
                self.problems.extend(problems);
                None
            }
            Err(other) => {
                self.problems.push(OptionProblem {
                    option: None,
                    kind: ProblemKind::Value,
                    message: other.to_string(),
                });
                None
            }
        }
    }

    /// An error about this table, not about one option.
    pub fn error(&self, message: impl Into<String>) -> ConnectorError {
        self.problem(None, ProblemKind::Value, message.into())
    }

    /// An error about the value of the option `key`.
    pub fn error_at(&self, key: &str, message: impl Into<String>) -> ConnectorError {
        self.problem(Some(key), ProblemKind::Value, message.into())
    }

    /// An error about the option `key`, which is not there.
    pub fn missing(&self, key: &str, message: impl Into<String>) -> ConnectorError {
        self.problem(Some(key), ProblemKind::Missing, message.into())
    }

    fn problem(&self, option: Option<&str>, kind: ProblemKind, message: String) -> ConnectorError {
        ConnectorError::Option {
            table: self.table.clone(),
            problems: vec![OptionProblem {
                option: option.map(str::to_string),
                kind,
                message,
            }],
        }
    }

    /// What `build` makes of the parts that were [attempted](Options::attempt).
    ///
    /// # Errors
    /// [`ConnectorError::Option`] with all that is wrong: what the attempts found, and options that nothing has taken.
    pub fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, ConnectorError> {
        let Self {
            table,
            values,
            known,
            mut problems,
        } = self;
        for unknown in values.keys() {
            let meant = nearest(unknown, known.iter().map(String::as_str));
            // One slip is one problem: the option that was meant is not missing.
            problems.retain(|problem| problem.kind != ProblemKind::Missing || problem.option.as_deref() != meant);
            let hint = meant.map_or_else(String::new, |meant| format!("did you mean '{meant}'? "));
            problems.push(OptionProblem {
                option: Some(unknown.clone()),
                kind: ProblemKind::Unknown,
                message: format!(
                    "unknown option '{unknown}'; {hint}the options here are {}",
                    known.join(", ")
                ),
            });
        }
        if !problems.is_empty() {
            return Err(ConnectorError::Option { table, problems });
        }
        build().ok_or_else(|| ConnectorError::Internal(format!("an option of the table `{table}` is unaccounted for")))
    }
}

/// The one of `known` that `name` is most likely a slip of; `None` if it is like none of them.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro(name, candidate), candidate))
        .filter(|(alike, _)| *alike > ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(values: &[(&str, &str)]) -> Options {
        let values = values.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        Options::new("media", values.collect())
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let mut options = options(&[("topc", "media"), ("rows", "many"), ("colour", "red")]);
        let topic = options.attempt(|options| options.require("topic"));
        let rows = options.attempt(|options| options.parse::<u32>("rows"));
        let server = options.attempt(|options| options.require("server"));
        let error = options
            .finish(|| Some((topic?, rows?, server?)))
            .expect_err("it is all wrong");
        let ConnectorError::Option { problems, .. } = error else {
            panic!("it is about options: {error}")
        };
        let told: Vec<_> = problems
            .iter()
            .map(|problem| (problem.kind, problem.option.as_deref().unwrap_or_default()))
            .collect();
        assert_eq!(
            told,
            [
                (ProblemKind::Value, "rows"),
                (ProblemKind::Missing, "server"),
                (ProblemKind::Unknown, "colour"),
                (ProblemKind::Unknown, "topc"),
            ]
        );
        assert!(problems[3].message.contains("did you mean 'topic'?"), "{problems:?}");
        assert!(!problems[2].message.contains("did you mean"), "{problems:?}");
    }

    #[test]
    fn parts_that_are_right_are_built_together() {
        let mut options = options(&[("topic", "media")]);
        let topic = options.attempt(|options| options.require("topic"));
        assert_eq!(options.finish(|| topic).expect("it is right"), "media");
    }
}
