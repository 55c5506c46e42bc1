//! A script that runs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::try_join_all;
use sightstream_connectors::dead_letter::DeadLetterTarget;
use sightstream_connectors::{
    EpochLimits, Role, SinkContext, Source, SourceContext, TableDefinition, VectorSpace, open_sink, open_source,
    validate,
};
use sightstream_model::service::EmbeddingService;
use sightstream_udf::{EmbedFailure, Embedder};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::bounded::{Whole, read_whole};
use crate::compute::Computer;
use crate::dead_letters::Failures;
use crate::pipeline::{Pipeline, PipelineError, SharedSink, Statement};
use crate::planner::{Catalog, Query, Target, visible_schema};
use crate::progress::Progress;
use crate::row_numbers::Arrival;
use crate::script::StatementKind;
use crate::{Script, SqlError};

/// The name of the sink of a bare `SELECT`.
const OUTPUT: &str = "stdout";

/// How a job runs.
#[derive(Debug, Clone)]
pub struct JobOptions {
    /// End when all that was in the sources at the start is durable, instead of running on.
    pub until_caught_up: bool,
    /// Where rows go that cannot be read, computed or written.
    pub dead_letters: DeadLetterTarget,
    /// How large an epoch may grow.
    pub epoch: EpochLimits,
    /// How many epochs are computed at once.
    pub epochs_in_flight: usize,
}

/// What a job did.
#[derive(Debug, Clone)]
pub struct JobSummary {
    /// Records read.
    pub read: u64,
    /// Rows written.
    pub written: u64,
    /// Rows that went to the dead letters, by reason.
    pub dead_lettered: BTreeMap<String, u64>,
    /// How long it ran.
    pub elapsed: Duration,
}

/// What makes the vectors of a job, and the space that they live in.
#[derive(Clone)]
pub struct Model {
    /// Turns media references into vectors.
    pub embedder: Arc<dyn Embedder>,
    /// Their dimension and the model behind them, which sinks check and keep.
    pub space: VectorSpace,
}

impl From<EmbeddingService> for Model {
    fn from(service: EmbeddingService) -> Self {
        let space = VectorSpace {
            dimension: service.dimension(),
            model: service.model_name().to_string(),
            fingerprint: service.fingerprint().to_string(),
        };
        Self {
            embedder: Arc::new(service),
            space,
        }
    }
}

/// A planned script, its tables connected.
pub struct Job {
    file: String,
    options: JobOptions,
    progress: Arc<Progress>,
    streams: Vec<(Pipeline, Arc<dyn Source>)>,
    wholes: Vec<(Pipeline, Vec<(String, Whole)>)>,
    sinks: Vec<Arc<SharedSink>>,
}

impl Job {
    /// Plans the statements of `script` and opens its tables. `model` makes the vectors, where the script embeds.
    ///
    /// # Errors
    /// What is wrong with a statement or a table, with its line; nothing has been read or written then.
    pub async fn plan(script: Script, options: JobOptions, model: Option<Model>) -> Result<Self, SqlError> {
        let file = script.file.clone();
        let mut planned = Planned::new(script).await?;
        let (embedder, vectors) = match model {
            Some(model) => (model.embedder, Some(model.space)),
            None => (Arc::new(NoModel) as Arc<dyn Embedder>, None),
        };
        let sinks = planned.open_sinks(vectors).await?;
        let progress = Arc::new(Progress::default());
        let target = options.dead_letters.open().await.map_err(|error| SqlError {
            file: file.clone(),
            line: None,
            message: error.to_string(),
            source: None,
        })?;
        let failures = Failures {
            target,
            progress: Arc::clone(&progress),
        };

        let context = SourceContext {
            limits: options.epoch,
            until_caught_up: options.until_caught_up,
            member: format!("sightstream-{}", std::process::id()),
        };
        let mut bounded = HashMap::new();
        let mut early = crate::dead_letters::EpochFailures::default();
        for name in planned.bounded() {
            let whole = planned.read(&name, &context).await?;
            early.add_rejected(&name, whole.rejected);
            bounded.insert(name, whole.rows);
        }
        failures.write(early).await.map_err(|error| SqlError {
            file: file.clone(),
            line: None,
            message: error.to_string(),
            source: None,
        })?;
        let computer = Arc::new(Computer {
            state: planned.catalog.state(),
            embedder,
            bounded,
        });
        let pipeline = |table: &str, statements| Pipeline {
            table: table.to_string(),
            statements,
            computer: Arc::clone(&computer),
            failures: failures.clone(),
            progress: Arc::clone(&progress),
        };

        let mut streams = Vec::new();
        for name in planned.streams() {
            let source = planned.open(&name, &context).await?;
            progress.watch(Arc::clone(&source));
            let statements = planned.statements(&sinks, |query| {
                query.arrival == Arrival::Epochs && query.streams.contains(&name)
            });
            streams.push((pipeline(&name, statements), source));
        }
        let mut wholes = Vec::new();
        for (index, (query, _)) in planned.queries.iter().enumerate() {
            if query.arrival == Arrival::Epochs {
                continue;
            }
            let mut tables = Vec::with_capacity(query.streams.len());
            for name in &query.streams {
                tables.push((name.clone(), planned.read(name, &context).await?));
            }
            let table = query.streams.first().map_or("", String::as_str);
            wholes.push((pipeline(table, vec![planned.statement(&sinks, index)]), tables));
        }
        Ok(Self {
            file,
            options,
            progress,
            streams,
            wholes,
            sinks,
        })
    }

    /// The job's counts, to be read while it runs.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Runs until the sources end, or until `stop` is cancelled: then what is in flight is finished and committed.
    ///
    /// # Errors
    /// The first thing that makes going on useless. Positions of epochs that are not durable are not committed.
    pub async fn run(self, stop: CancellationToken) -> Result<JobSummary, SqlError> {
        let started = Instant::now();
        let _armed = crate::failpoints::arm();
        let sources: Vec<Arc<dyn Source>> = self.streams.iter().map(|(_, source)| Arc::clone(source)).collect();
        let stopper = async {
            stop.cancelled().await;
            sources.iter().for_each(|source| source.stop());
            std::future::pending::<()>().await;
        };
        let in_flight = self.options.epochs_in_flight;
        let streams = try_join_all(
            self.streams
                .into_iter()
                .map(|(pipeline, source)| pipeline.run(source, in_flight)),
        );
        let work = async {
            // Queries over whole files come in the order of the file, before the streams go on for ever.
            for (pipeline, tables) in self.wholes {
                pipeline.run_whole(tables).await?;
            }
            streams.await?;
            for sink in &self.sinks {
                sink.sink.lock().await.close().await?;
            }
            Ok::<(), PipelineError>(())
        };
        let result = tokio::select! {
            result = work => result,
            () = stopper => Ok(()),
        };
        result.map_err(|error| SqlError {
            file: self.file,
            line: error.line,
            message: error.message,
            source: None,
        })?;
        let counts = self.progress.snapshot();
        Ok(JobSummary {
            read: counts.read,
            written: counts.written,
            dead_lettered: self.progress.dead_lettered_by_reason(),
            elapsed: started.elapsed(),
        })
    }
}

/// A script's statements, planned; nothing is open yet.
struct Planned {
    file: String,
    catalog: Catalog,
    /// The lines of the tables' statements.
    lines: BTreeMap<String, u64>,
    /// The queries and the names of their sinks.
    queries: Vec<(Arc<Query>, String)>,
    /// The sinks' tables.
    sinks: BTreeMap<String, TableDefinition>,
}

impl Planned {
    async fn new(script: Script) -> Result<Self, SqlError> {
        let file = script.file;
        let mut planned = Self {
            file: file.clone(),
            catalog: Catalog::new(),
            lines: BTreeMap::new(),
            queries: Vec::new(),
            sinks: BTreeMap::new(),
        };
        for statement in script.statements {
            let line = statement.line;
            planned
                .add(line, statement.kind)
                .await
                .map_err(|error| SqlError::planning(&file, line, error))?;
        }
        planned.validate()?;
        Ok(planned)
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
        for (query, _) in &self.queries {
            for name in query.streams.iter().chain(&query.bounded) {
                if self.sinks.contains_key(name) {
                    let message = format!("the table {name} is written to and read from; declare one table for each");
                    return Err(SqlError::at(&self.file, query.line, message));
                }
                validate(self.table(name)?, Role::Source).map_err(|error| self.error(name, error))?;
            }
        }
        Ok(())
    }

    fn table(&self, name: &str) -> Result<&TableDefinition, SqlError> {
        self.catalog
            .table(name)
            .map_err(|error| SqlError::planning(&self.file, 1, error))
    }

    fn error(&self, table: &str, error: sightstream_connectors::ConnectorError) -> SqlError {
        SqlError::connector(&self.file, self.lines.get(table).copied().unwrap_or(1), error)
    }

    /// The tables whose epochs drive queries.
    fn streams(&self) -> BTreeSet<String> {
        let queries = self
            .queries
            .iter()
            .filter(|(query, _)| query.arrival == Arrival::Epochs);
        queries.flat_map(|(query, _)| query.streams.clone()).collect()
    }

    /// The tables that queries read as a whole, beside what drives them.
    fn bounded(&self) -> BTreeSet<String> {
        self.queries
            .iter()
            .flat_map(|(query, _)| query.bounded.clone())
            .collect()
    }

    async fn open(&self, table: &str, context: &SourceContext) -> Result<Arc<dyn Source>, SqlError> {
        open_source(self.table(table)?, context)
            .await
            .map_err(|error| self.error(table, error))
    }

    async fn read(&self, table: &str, context: &SourceContext) -> Result<Whole, SqlError> {
        let source = self.open(table, context).await?;
        read_whole(source).await.map_err(|error| self.error(table, error))
    }

    async fn open_sinks(&mut self, vectors: Option<VectorSpace>) -> Result<Vec<Arc<SharedSink>>, SqlError> {
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
                schema: Arc::clone(&definition.schema),
                sink: Mutex::new(sink),
            });
            opened.insert(name, Arc::clone(&shared));
            sinks.push(shared);
        }
        Ok(sinks)
    }

    /// The statement of the query at `index`; `sinks` has one for each query.
    fn statement(&self, sinks: &[Arc<SharedSink>], index: usize) -> Statement {
        Statement {
            query: Arc::clone(&self.queries[index].0),
            sink: Arc::clone(&sinks[index]),
        }
    }

    fn statements(&self, sinks: &[Arc<SharedSink>], wanted: impl Fn(&Query) -> bool) -> Vec<Statement> {
        let indices = (0..self.queries.len()).filter(|&index| wanted(&self.queries[index].0));
        indices.map(|index| self.statement(sinks, index)).collect()
    }
}

/// Stands in where no statement embeds.
struct NoModel;

#[async_trait]
impl Embedder for NoModel {
    async fn embed(&self, _url: &str, _instruction: Option<&str>) -> Result<Arc<[f32]>, EmbedFailure> {
        Err(EmbedFailure {
            code: "no_model".to_string(),
            message: "no model is loaded".to_string(),
            fatal: true,
        })
    }
}
