//! A script's statements, planned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::DataFusionError;
use sightstream_connectors::options::nearest;
use sightstream_connectors::{
    ConnectorError, ProblemKind, Role, SinkContext, Source, SourceContext, TableDefinition, VectorSpace, Waits,
    deletes, deleting, open_sink, open_source, validate,
};
use sightstream_udf::calls::Function;
use tokio::sync::Mutex;

use crate::Script;
use crate::bounded::{Whole, read_whole};
use crate::error::{Place, SqlError, SqlErrors};
use crate::pipeline::{self, SharedSink};
use crate::planner::{Catalog, Query, Target, visible_schema};
use crate::row_numbers::Arrival;
use crate::script::{Statement, StatementKind, Table};

/// The name of the sink of a bare `SELECT`.
const OUTPUT: &str = "stdout";

/// A planned script. Nothing is open yet.
pub struct Plan {
    pub(crate) file: String,
    pub(crate) catalog: Catalog,
    /// The tables' statements.
    declared: BTreeMap<String, Declared>,
    /// The queries and the names of their sinks.
    pub(crate) queries: Vec<(Arc<Query>, String)>,
    /// The sinks' tables.
    sinks: BTreeMap<String, TableDefinition>,
    /// The lines of statements that were not planned, and the table or view with a wrong definition that each reads.
    pub(crate) skipped: Vec<(u64, String)>,
}

/// How a table was declared, and what the statements do with it.
pub(crate) struct Declared {
    pub line: u64,
    /// Where the options stand.
    places: BTreeMap<String, Place>,
    /// Options whose values are not known.
    unresolved: BTreeSet<String>,
    pub is_read: bool,
    pub is_written: bool,
    /// Whether its options are wrong.
    pub is_wrong: bool,
}

impl Plan {
    /// Plans the statements of `script`, and checks the options of its tables.
    ///
    /// # Errors
    /// All that is wrong with the statements and the tables, with their lines.
    pub async fn new(script: Script) -> Result<Self, SqlErrors> {
        let (plan, errors) = Self::read(script).await;
        SqlErrors::unless_any(errors, plan)
    }

    /// The statements of `script` that can be planned, and all that is wrong with the others and with the tables.
    pub async fn read(script: Script) -> (Self, Vec<SqlError>) {
        let mut plan = Self {
            file: script.file,
            catalog: Catalog::new(),
            declared: BTreeMap::new(),
            queries: Vec::new(),
            sinks: BTreeMap::new(),
            skipped: Vec::new(),
        };
        let mut errors = Vec::new();
        let mut broken = script.broken;
        for Statement { line, kind } in script.statements {
            plan.note_use(&kind);
            let target = match &kind {
                StatementKind::Insert { table, .. } => Some(table.clone()),
                _ => None,
            };
            let mut names = kind.relations().into_iter().chain(target);
            if let Some(name) = names.find(|name| broken.contains(name)) {
                // What would be said of it follows from what is wrong with that definition.
                if let StatementKind::View { name, .. } = &kind {
                    broken.insert(name.clone());
                }
                plan.skipped.push((line, name));
                continue;
            }
            let defines = match &kind {
                StatementKind::View { name, .. } => Some(name.clone()),
                _ => None,
            };
            if let Err(error) = plan.add(line, kind).await {
                broken.extend(defines);
                errors.extend(SqlError::all_planning(&plan.file, line, error));
            }
        }
        errors.extend(plan.validate());
        (plan, errors)
    }

    /// Notes which tables a statement reads and writes.
    fn note_use(&mut self, kind: &StatementKind) {
        for name in kind.relations() {
            if let Some(declared) = self.declared.get_mut(&name) {
                declared.is_read = true;
            }
        }
        if let StatementKind::Insert { table, .. } = kind
            && let Some(declared) = self.declared.get_mut(table)
        {
            declared.is_written = true;
        }
    }

    async fn add(&mut self, line: u64, kind: StatementKind) -> datafusion::common::Result<()> {
        match kind {
            StatementKind::Table(Table {
                definition,
                places,
                unresolved,
            }) => {
                let name = definition.name.clone();
                self.catalog.add_table(definition)?;
                let declared = Declared {
                    line,
                    places,
                    unresolved,
                    is_read: false,
                    is_written: false,
                    is_wrong: false,
                };
                self.declared.insert(name, declared);
            }
            StatementKind::View { name, columns, query } => self.catalog.add_view(&name, &columns, *query).await?,
            StatementKind::Insert { table, columns, query } => {
                let definition = match self.catalog.table(&table) {
                    Ok(definition) => definition.clone(),
                    Err(error) => {
                        // What is wrong with the query is told too.
                        let planned = self.catalog.plan(line, *query, Target::Output).await;
                        let errors = planned.err().into_iter().chain([error]).collect();
                        return Err(DataFusionError::Collection(errors));
                    }
                };
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

    /// What is wrong with the options of the tables, before any is opened, and with what is done with them.
    fn validate(&mut self) -> Vec<SqlError> {
        let mut errors = Vec::new();
        for (name, declared) in &mut self.declared {
            let Ok(table) = self.catalog.table(name) else { continue };
            for role in declared.roles(table) {
                if let Err(error) = validate(table, role) {
                    declared.is_wrong = true;
                    errors.extend(declared.errors(&self.file, error));
                }
            }
            declared.is_wrong |= !declared.unresolved.is_empty();
        }
        for (query, sink) in &self.queries {
            for name in query.streams.iter().chain(&query.bounded) {
                if self.sinks.contains_key(name) {
                    let message = format!("the table {name} is written to and read from; declare one table for each");
                    errors.push(SqlError::at(&self.file, query.line, message));
                }
            }
            let is_wrong = |name: &str| self.declared.get(name).is_some_and(|declared| declared.is_wrong);
            // What is wrong with their options has been told.
            if !is_wrong(sink) && !query.streams.iter().any(|name| is_wrong(name)) {
                errors.extend(self.check_deletions(query, sink).err());
            }
        }
        errors
    }

    /// The declared tables, in the order of their names.
    pub(crate) fn declared(&self) -> impl Iterator<Item = (&TableDefinition, &Declared)> {
        self.declared
            .iter()
            .filter_map(|(name, declared)| Some((self.catalog.table(name).ok()?, declared)))
    }

    /// Whether a statement that embeds writes to `table`.
    pub(crate) fn embeds_into(&self, table: &str) -> bool {
        self.queries
            .iter()
            .any(|(query, sink)| sink == table && query.calls(Function::Embed))
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
        let deleting = deleting(definition).map_err(|error| match self.declared.get(sink) {
            Some(_) => self.error(sink, error),
            None => SqlError::running(&self.file, Some(query.line), error),
        })?;
        Ok(Some(deleting.key))
    }

    /// Whether a statement needs the embedding service, and so a model.
    pub fn uses_embedding(&self) -> bool {
        self.queries.iter().any(|(query, _)| !query.called.is_empty())
    }

    /// Whether a statement asks for the parts of media, and so may make many rows of one.
    pub fn lists_parts(&self) -> bool {
        self.queries.iter().any(|(query, _)| query.calls(Function::Segments))
    }

    /// How many tables are read in epochs.
    pub fn streams(&self) -> usize {
        self.tables(Arrival::Epochs).len()
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
        SqlError::running(&self.file, self.declared.get(table).map(|table| table.line), error)
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

    pub(crate) async fn read_table(&self, table: &str, context: &SourceContext) -> Result<Whole, SqlError> {
        let source = self.open(table, context).await?;
        read_whole(source).await.map_err(|error| self.error(table, error))
    }

    pub(crate) async fn open_sinks(
        &self,
        vectors: Option<VectorSpace>,
        waits: &Waits,
    ) -> Result<Vec<Arc<SharedSink>>, SqlError> {
        let mut sinks = Vec::with_capacity(self.queries.len());
        let mut opened: BTreeMap<&str, Arc<SharedSink>> = BTreeMap::new();
        for (_, name) in &self.queries {
            if let Some(sink) = opened.get(name.as_str()) {
                sinks.push(Arc::clone(sink));
                continue;
            }
            let definition = &self.sinks[name];
            let context = SinkContext {
                vectors: vectors.clone().filter(|_| self.embeds_into(name)),
                waits: waits.clone(),
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
    pub(crate) fn statement(&self, sinks: &[Arc<SharedSink>], index: usize) -> pipeline::Statement {
        pipeline::Statement {
            query: Arc::clone(&self.queries[index].0),
            sink: Arc::clone(&sinks[index]),
        }
    }

    pub(crate) fn statements(
        &self,
        sinks: &[Arc<SharedSink>],
        wanted: impl Fn(&Query) -> bool,
    ) -> Vec<pipeline::Statement> {
        let indices = (0..self.queries.len()).filter(|&index| wanted(&self.queries[index].0));
        indices.map(|index| self.statement(sinks, index)).collect()
    }
}

impl Declared {
    /// Where the option `option` stands.
    pub fn place(&self, option: &str) -> Option<Place> {
        self.places.get(option).copied()
    }

    /// What is done with `table`. One that no statement uses is taken for what its options say.
    pub fn roles(&self, table: &TableDefinition) -> Vec<Role> {
        let mut roles = Vec::new();
        roles.extend(self.is_read.then_some(Role::Source));
        roles.extend(self.is_written.then_some(Role::Sink));
        if roles.is_empty() {
            let declared = table.options.get("type").map(String::as_str);
            let sink = declared == Some("sink") || matches!(table.connector().as_str(), "qdrant" | OUTPUT);
            roles.push(if sink { Role::Sink } else { Role::Source });
        }
        roles
    }

    /// `error` of this table, an error a problem, each at its option.
    fn errors(&self, file: &str, error: ConnectorError) -> Vec<SqlError> {
        let ConnectorError::Option { table, problems } = error else {
            return vec![SqlError::running(file, Some(self.line), error)];
        };
        let known = |option: &Option<String>| option.as_ref().is_none_or(|option| !self.unresolved.contains(option));
        problems
            .into_iter()
            .filter(|problem| problem.kind != ProblemKind::Missing || known(&problem.option))
            .map(|problem| {
                // An option whose value is not known was left out, and may be the one that is missing by a slip.
                if let (ProblemKind::Missing, Some(missing)) = (problem.kind, &problem.option)
                    && let Some(slip) = nearest(missing, self.unresolved.iter().map(String::as_str))
                    && let Some(place) = self.places.get(slip)
                {
                    let message = format!("table {table}: unknown option '{slip}'; did you mean '{missing}'?");
                    return SqlError::at_place(file, *place, message);
                }
                let message = format!("table {table}: {}", problem.message);
                match problem.option.and_then(|option| self.places.get(&option)) {
                    Some(place) => SqlError::at_place(file, *place, message),
                    None => SqlError::at(file, self.line, message),
                }
            })
            .collect()
    }
}
