//! A script's statements, planned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sightstream_connectors::{
    ConnectorError, Role, SinkContext, Source, SourceContext, TableDefinition, VectorSpace, deletes, deleting,
    open_sink, open_source, validate,
};
use tokio::sync::Mutex;

use crate::bounded::{Whole, read_whole};
use crate::pipeline::{SharedSink, Statement};
use crate::planner::{Catalog, Query, Target, visible_schema};
use crate::row_numbers::Arrival;
use crate::script::StatementKind;
use crate::{Script, SqlError};

/// The name of the sink of a bare `SELECT`.
const OUTPUT: &str = "stdout";

/// A planned script. Nothing is open yet.
pub struct Plan {
    pub(crate) file: String,
    pub(crate) catalog: Catalog,
    /// The lines of the tables' statements.
    lines: BTreeMap<String, u64>,
    /// The queries and the names of their sinks.
    pub(crate) queries: Vec<(Arc<Query>, String)>,
    /// The sinks' tables.
    sinks: BTreeMap<String, TableDefinition>,
}

impl Plan {
    /// Plans the statements of `script`, and checks the options of its tables.
    ///
    /// # Errors
    /// What is wrong with a statement or a table, with its line.
    pub async fn new(script: Script) -> Result<Self, SqlError> {
        let file = script.file;
        let mut plan = Self {
            file: file.clone(),
            catalog: Catalog::new(),
            lines: BTreeMap::new(),
            queries: Vec::new(),
            sinks: BTreeMap::new(),
        };
        for statement in script.statements {
            let line = statement.line;
            plan.add(line, statement.kind)
                .await
                .map_err(|error| SqlError::planning(&file, line, error))?;
        }
        plan.validate()?;
        Ok(plan)
    }

    async fn add(&mut self, line: u64, kind: StatementKind) -> datafusion::common::Result<()> {
        match kind {
            StatementKind::Table(table) => {
                self.lines.insert(table.name.clone(), line);
                self.catalog.add_table(table)?;
            }
            StatementKind::View { name, columns, query } => self.catalog.add_view(&name, &columns, *query).await?,
            StatementKind::Insert { table, columns, query } => {
                let definition = self.catalog.table(&table)?.clone();
                let target = Target::Table {
                    definition: &definition,
                    columns: &columns,
                };
                let query = self.catalog.plan(line, *query, target).await?;
                self.queries.push((Arc::new(query), table.clone()));
                self.sinks.insert(table, definition);
            }
            StatementKind::Select(query) => {
                let query = self.catalog.plan(line, *query, Target::Output).await?;
                let name = format!("{OUTPUT}:{line}");
                let definition = TableDefinition {
                    name: OUTPUT.to_string(),
                    schema: visible_schema(&query.plan),
                    metadata_columns: Vec::new(),
                    options: [("connector".to_string(), OUTPUT.to_string())].into(),
                };
                self.queries.push((Arc::new(query), name.clone()));
                self.sinks.insert(name, definition);
            }
        }
        Ok(())
    }

    /// Checks the options of every table in use, before any is opened.
    fn validate(&self) -> Result<(), SqlError> {
        for table in self.sinks.values() {
            validate(table, Role::Sink).map_err(|error| self.error(&table.name, error))?;
        }
        for (query, sink) in &self.queries {
            for name in query.streams.iter().chain(&query.bounded) {
                if self.sinks.contains_key(name) {
                    let message = format!("the table {name} is written to and read from; declare one table for each");
                    return Err(SqlError::at(&self.file, query.line, message));
                }
                validate(self.table(name)?, Role::Source).map_err(|error| self.error(name, error))?;
            }
            self.check_deletions(query, sink)?;
        }
        Ok(())
    }

    /// Whether tombstones of the query's topics can delete what it writes to `sink`.
    fn check_deletions(&self, query: &Query, sink: &str) -> Result<(), SqlError> {
        for name in &query.streams {
            let Some(key) = self.deletion_key(query, name, sink)? else {
                continue;
            };
            if query.plain.get(key) == Some(&false) {
                let table = &self.sinks[sink];
                let message = format!(
                    "tombstones of {name} delete rows of {} by its column {}, which this query computes; it must be a \
                     column of {name} as it is, the one that the records' keys hold, or 'source.tombstones' = 'ignore'",
                    table.name,
                    table.schema.field(key).name()
                );
                return Err(SqlError::at(&self.file, query.line, message));
            }
        }
        Ok(())
    }

    /// The column of `sink` by which tombstones of the stream `name` delete what `query` writes there, if they do.
    fn deletion_key(&self, query: &Query, name: &str, sink: &str) -> Result<Option<usize>, SqlError> {
        if query.arrival == Arrival::Whole || !deletes(self.table(name)?) {
            return Ok(None);
        }
        let definition = &self.sinks[sink];
        let deleting = deleting(definition).map_err(|error| match self.lines.get(sink) {
            Some(_) => self.error(sink, error),
            None => SqlError::running(&self.file, Some(query.line), error),
        })?;
        Ok(Some(deleting.key))
    }

    /// Whether a statement needs vectors, and so a model.
    pub fn uses_embedding(&self) -> bool {
        self.queries.iter().any(|(query, _)| query.embeds)
    }

    /// Whether rows go to standard output.
    pub fn prints_rows(&self) -> bool {
        self.sinks.values().any(|table| table.connector() == OUTPUT)
    }

    fn table(&self, name: &str) -> Result<&TableDefinition, SqlError> {
        self.catalog
            .table(name)
            .map_err(|error| SqlError::planning(&self.file, 1, error))
    }

    fn error(&self, table: &str, error: ConnectorError) -> SqlError {
        SqlError::running(&self.file, self.lines.get(table).copied(), error)
    }

    /// The tables that drive the queries whose rows come as `arrival` says.
    pub(crate) fn tables(&self, arrival: Arrival) -> BTreeSet<String> {
        let queries = self.queries.iter().filter(|(query, _)| query.arrival == arrival);
        queries.flat_map(|(query, _)| query.streams.clone()).collect()
    }

    /// The tables that are read as a whole: those beside what drives a query, and all of a query that runs once.
    pub(crate) fn read_whole(&self) -> BTreeSet<String> {
        let beside = self.queries.iter().flat_map(|(query, _)| query.bounded.clone());
        beside.chain(self.tables(Arrival::Whole)).collect()
    }

    pub(crate) async fn open(&self, table: &str, context: &SourceContext) -> Result<Arc<dyn Source>, SqlError> {
        open_source(self.table(table)?, context)
            .await
            .map_err(|error| self.error(table, error))
    }

    pub(crate) async fn read(&self, table: &str, context: &SourceContext) -> Result<Whole, SqlError> {
        let source = self.open(table, context).await?;
        read_whole(source).await.map_err(|error| self.error(table, error))
    }

    pub(crate) async fn open_sinks(&self, vectors: Option<VectorSpace>) -> Result<Vec<Arc<SharedSink>>, SqlError> {
        let mut sinks = Vec::with_capacity(self.queries.len());
        let mut opened: BTreeMap<&str, Arc<SharedSink>> = BTreeMap::new();
        for (_, name) in &self.queries {
            if let Some(sink) = opened.get(name.as_str()) {
                sinks.push(Arc::clone(sink));
                continue;
            }
            let definition = &self.sinks[name];
            let embeds = self.queries.iter().any(|(query, sink)| sink == name && query.embeds);
            let context = SinkContext {
                vectors: vectors.clone().filter(|_| embeds),
            };
            let sink = open_sink(definition, &context)
                .await
                .map_err(|error| self.error(&definition.name, error))?;
            let shared = Arc::new(SharedSink {
                name: definition.name.clone(),
                key: deleting(definition).ok().map(|deleting| deleting.key),
                schema: Arc::clone(&definition.schema),
                sink: Mutex::new(sink),
            });
            opened.insert(name, Arc::clone(&shared));
            sinks.push(shared);
        }
        Ok(sinks)
    }

    /// The statement of the query at `index`; `sinks` has one for each query.
    pub(crate) fn statement(&self, sinks: &[Arc<SharedSink>], index: usize) -> Statement {
        Statement {
            query: Arc::clone(&self.queries[index].0),
            sink: Arc::clone(&sinks[index]),
        }
    }

    pub(crate) fn statements(&self, sinks: &[Arc<SharedSink>], wanted: impl Fn(&Query) -> bool) -> Vec<Statement> {
        let indices = (0..self.queries.len()).filter(|&index| wanted(&self.queries[index].0));
        indices.map(|index| self.statement(sinks, index)).collect()
    }
}
