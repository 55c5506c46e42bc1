//! The options of a table: `WITH (key = 'value', …)`.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::ConnectorError;

/// The options of one table. A connector takes those it knows; [`Options::finish`] refuses what is left, so that a
/// misspelt option is an error and not silently ignored.
#[derive(Debug, Clone, Default)]
pub struct Options {
    table: String,
    values: BTreeMap<String, String>,
    known: Vec<String>,
}

impl Options {
    /// The options `values` of the table `table`.
    pub fn new(table: impl Into<String>, values: BTreeMap<String, String>) -> Self {
        Self {
            table: table.into(),
            values,
            known: Vec::new(),
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
            .ok_or_else(|| self.error(format!("the option '{key}' is missing")))
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
                    .map_err(|error| self.error(format!("the option '{key}' cannot be '{value}': {error}")))
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

    /// An error about this table's options.
    pub fn error(&self, message: impl Into<String>) -> ConnectorError {
        ConnectorError::Option {
            table: self.table.clone(),
            message: message.into(),
        }
    }

    /// Refuses options that nothing has taken.
    pub fn finish(self) -> Result<(), ConnectorError> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(unknown) => Err(self.error(format!(
                "unknown option '{unknown}'; the options here are {}",
                self.known.join(", ")
            ))),
        }
    }
}
