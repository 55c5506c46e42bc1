//! A `.sql` file, parsed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{ObjectName, ObjectNamePart, Query, Visit, Visitor};
use sightstream_connectors::TableDefinition;

use crate::error::{Place, SqlError, SqlErrors};
use crate::parser::{ScriptParser, identifier};

/// A parsed script: its tables, views and queries in the order of the file, and its settings.
#[derive(Debug, Clone)]
pub struct Script {
    pub(crate) file: String,
    pub(crate) statements: Vec<Statement>,
    pub(crate) settings: BTreeMap<String, Setting>,
    /// The tables and views whose definitions are wrong: what reads them cannot be planned.
    pub(crate) broken: BTreeSet<String>,
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
    Table(Table),
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

impl StatementKind {
    /// The tables and views that it reads.
    pub fn relations(&self) -> BTreeSet<String> {
        let query = match self {
            Self::Table(_) => return BTreeSet::new(),
            Self::View { query, .. } | Self::Insert { query, .. } | Self::Select(query) => query,
        };
        let mut names = Names::default();
        let _ = query.visit(&mut names);
        names.read.difference(&names.defined).cloned().collect()
    }
}

/// The names in a query.
#[derive(Default)]
struct Names {
    /// Of tables and views, and those that the query defines.
    read: BTreeSet<String>,
    /// Those that the query defines itself (`WITH`).
    defined: BTreeSet<String>,
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        self.defined.extend(with.map(|table| identifier(&table.alias.name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if let [ObjectNamePart::Identifier(name)] = relation.0.as_slice() {
            self.read.insert(identifier(name));
        }
        ControlFlow::Continue(())
    }
}

/// A table as written.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub definition: TableDefinition,
    /// Where the options stand.
    pub places: BTreeMap<String, Place>,
    /// Options that are given and whose values are not known, because a `{{ NAME }}` in them is not set.
    pub unresolved: BTreeSet<String>,
}

impl Script {
    /// Parses `text`, the content of the file `file`; `{{ NAME }}` in option values comes from the process's
    /// environment.
    ///
    /// # Errors
    /// All that is wrong, with its lines.
    pub fn parse(text: &str, file: &str) -> Result<Self, SqlErrors> {
        Self::parse_with_environment(text, file, &|name| std::env::var(name).ok())
    }

    /// [`Script::parse`] with `{{ NAME }}` taken from `environment`.
    pub fn parse_with_environment(
        text: &str,
        file: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SqlErrors> {
        let (script, errors) = Self::read(text, file, environment);
        SqlErrors::unless_any(errors, script)
    }

    /// What can be read of `text`, and all that is wrong with it: after a wrong statement the next one is looked at.
    pub fn read(text: &str, file: &str, environment: &dyn Fn(&str) -> Option<String>) -> (Self, Vec<SqlError>) {
        ScriptParser::new(file, environment).parse(text)
    }

    /// The script's settings by name: `SET sightstream.max_batch_tokens = 8192` is `"max_batch_tokens"`. Which there are is
    /// for the caller to say.
    pub fn settings(&self) -> &BTreeMap<String, Setting> {
        &self.settings
    }

    /// Gives the option `name` the value `value` in every source table of `connector` that does not set it itself.
    pub fn set_source_default(&mut self, connector: &str, name: &str, value: &str) {
        for statement in &mut self.statements {
            if let StatementKind::Table(Table { definition: table, .. }) = &mut statement.kind
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

    /// The declared tables, in the order of the file.
    pub fn tables(&self) -> impl Iterator<Item = &TableDefinition> {
        self.statements.iter().filter_map(|statement| match &statement.kind {
            StatementKind::Table(table) => Some(&table.definition),
            _ => None,
        })
    }

    /// The file's name, for errors.
    pub fn file(&self) -> &str {
        &self.file
    }
}
