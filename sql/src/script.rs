//! A `.sql` file, parsed.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::Query;
use sightstream_connectors::TableDefinition;

use crate::SqlError;
use crate::parser::ScriptParser;

/// A parsed script: its tables, views and queries in the order of the file, and its settings.
#[derive(Debug, Clone)]
pub struct Script {
    pub(crate) file: String,
    pub(crate) statements: Vec<Statement>,
    pub(crate) settings: BTreeMap<String, Setting>,
}

/// What a `SET sightstream.… = …` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value, without quotes.
    pub value: String,
    /// The line of the statement, from 1.
    pub line: u64,
}

/// A statement and the line that it starts on, from 1.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub line: u64,
    pub kind: StatementKind,
}

#[derive(Debug, Clone)]
pub(crate) enum StatementKind {
    /// `CREATE TABLE … WITH (…)`
    Table(TableDefinition),
    /// `CREATE VIEW name [(columns)] AS query`
    View {
        name: String,
        columns: Vec<String>,
        query: Box<Query>,
    },
    /// `INSERT INTO table [(columns)] query`
    Insert {
        table: String,
        columns: Vec<String>,
        query: Box<Query>,
    },
    /// A bare `SELECT`, whose rows go to standard output.
    Select(Box<Query>),
}

impl Script {
    /// Parses `text`, the content of the file `file`; `{{ NAME }}` in option values comes from the process's
    /// environment.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse(text: &str, file: &str) -> Result<Self, SqlError> {
        Self::parse_with_environment(text, file, &|name| std::env::var(name).ok())
    }

    /// [`Script::parse`] with `{{ NAME }}` taken from `environment`.
    pub fn parse_with_environment(
        text: &str,
        file: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SqlError> {
        ScriptParser::new(text, file, environment)?.parse()
    }

    /// The script's settings by name: `SET sightstream.max_batch_tokens = 8192` is `"max_batch_tokens"`. Which there are is
    /// for the caller to say.
    pub fn settings(&self) -> &BTreeMap<String, Setting> {
        &self.settings
    }

    /// Gives the option `name` the value `value` in every source table of `connector` that does not set it itself.
    pub fn set_source_default(&mut self, connector: &str, name: &str, value: &str) {
        for statement in &mut self.statements {
            if let StatementKind::Table(table) = &mut statement.kind
                && table.connector() == connector
                && table.options.get("type").is_some_and(|role| role == "source")
            {
                table
                    .options
                    .entry(name.to_string())
                    .or_insert_with(|| value.to_string());
            }
        }
    }

    /// The file's name, for errors.
    pub fn file(&self) -> &str {
        &self.file
    }
}
