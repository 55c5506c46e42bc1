//! A script that runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::try_join_all;
use sightstream_connectors::dead_letter::DeadLetterTarget;
use sightstream_connectors::{ConnectorError, EpochLimits, Source, SourceContext, VectorSpace, Waiting, Waits};
use sightstream_model::service::EmbeddingService;
use sightstream_udf::{EmbedFailure, Embedder};
use tokio_util::sync::CancellationToken;

use crate::compute::Computer;
use crate::dead_letters::{EpochFailures, Failures};
use crate::pipeline::{Pipeline, PipelineError, SharedSink, WholeTable};
use crate::progress::Progress;
use crate::row_numbers::Arrival;
use crate::{Plan, SqlError};

/// How often a job that was asked to stop looks at what it waits for.
const LOOK: Duration = Duration::from_millis(200);

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
    /// How long a job that was asked to stop waits for a system that is away before it ends with an error.
    pub stop_timeout: Duration,
}

/// What a job did.
#[derive(Debug, Clone)]
pub struct JobSummary {
    /// Records read.
    pub read: u64,
    /// Rows written.
    pub written: u64,
    /// Deletions by tombstones.
    pub deleted: u64,
    /// Bad records that were dropped (`bad_data = 'drop'`).
    pub dropped: u64,
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
    waits: Waits,
    streams: Vec<(Pipeline, Arc<dyn Source>)>,
    wholes: Vec<(Pipeline, Vec<WholeTable>)>,
    sinks: Vec<Arc<SharedSink>>,
}

impl Job {
    /// Opens the tables of `plan`. `model` makes the vectors, where the script embeds.
    ///
    /// # Errors
    /// The first table that cannot be read from or written to, with its line; no row has been written then.
    pub async fn open(plan: Plan, options: JobOptions, model: Option<Model>) -> Result<Self, SqlError> {
        let failed = |error: ConnectorError| SqlError::running(&plan.file, None, error);
        let (embedder, vectors) = match model {
            Some(model) => (model.embedder, Some(model.space)),
            None => (Arc::new(NoModel) as Arc<dyn Embedder>, None),
        };
        let waits = Waits::default();
        let sinks = plan.open_sinks(vectors, &waits).await?;
        let progress = Arc::new(Progress::default());
        let target = options.dead_letters.open(&waits).await.map_err(failed)?;
        let failures = Failures {
            target,
            progress: Arc::clone(&progress),
        };

        let context = SourceContext {
            limits: options.epoch,
            until_caught_up: options.until_caught_up,
            member: format!("sightstream-{}", std::process::id()),
            waits: waits.clone(),
        };
        let mut early = EpochFailures::default();
        let mut whole_tables = HashMap::new();
        for name in plan.read_whole() {
            let whole = plan.read_table(&name, &context).await?;
            early.add_rejected(&name, whole.rejected);
            progress.add_dropped(&name, whole.dropped);
            whole_tables.insert(name, (whole.rows, whole.records));
        }
        failures.write(early).await.map_err(failed)?;
        let computer = Arc::new(Computer {
            state: plan.catalog.state(),
            embedder,
            bounded: whole_tables
                .iter()
                .map(|(name, (rows, _))| (name.clone(), rows.clone()))
                .collect(),
        });
        let pipeline = |table: &str, statements| Pipeline {
            table: table.to_string(),
            statements,
            computer: Arc::clone(&computer),
            failures: failures.clone(),
            progress: Arc::clone(&progress),
            own_sinks: Vec::new(),
            other_keys: Once::new(),
        };

        let mut streams = Vec::new();
        for name in plan.tables(Arrival::Epochs) {
            let source = plan.open(&name, &context).await?;
            progress.watch(Arc::clone(&source));
            progress.begin(&name);
            let statements = plan.statements(&sinks, |query| {
                query.arrival == Arrival::Epochs && query.streams.contains(&name)
            });
            streams.push((pipeline(&name, statements), source));
        }
        own_sinks(&mut streams);
        let mut wholes = Vec::new();
        for (index, (query, _)) in plan.queries.iter().enumerate() {
            if query.arrival == Arrival::Epochs {
                continue;
            }
            let tables = query
                .streams
                .iter()
                .filter_map(|name| Some((name.clone(), whole_tables.get(name)?.clone())));
            let tables = tables.collect();
            let table = query.streams.first().map_or("", String::as_str);
            wholes.push((pipeline(table, vec![plan.statement(&sinks, index)]), tables));
        }
        Ok(Self {
            file: plan.file,
            options,
            progress,
            waits,
            streams,
            wholes,
            sinks,
        })
    }

    /// The job's counts, to be read while it runs.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// What the job waits for, to be read while it runs.
    pub fn waits(&self) -> Waits {
        self.waits.clone()
    }

    /// Runs until the sources end, or until `stop` is cancelled: then what is in flight is finished and committed.
    ///
    /// # Errors
    /// The first thing that makes going on useless, or what a job that was asked to stop waited for until its
    /// [`JobOptions::stop_timeout`] had passed. Positions of epochs that are not durable are not committed.
    pub async fn run(self, stop: CancellationToken) -> Result<JobSummary, SqlError> {
        let started = Instant::now();
        crate::failpoints::arm();
        let sources: Vec<Arc<dyn Source>> = self.streams.iter().map(|(_, source)| Arc::clone(source)).collect();
        let stopper = async {
            stop.cancelled().await;
            sources.iter().for_each(|source| source.stop());
            std::future::pending::<()>().await;
        };
        let (waits, timeout) = (self.waits.clone(), self.options.stop_timeout);
        let in_flight = self.options.epochs_in_flight;
        let streams = try_join_all(
            self.streams
                .into_iter()
                .map(|(pipeline, source)| pipeline.run(source, in_flight)),
        );
        let work = async {
            // Queries over whole files come in the order of the file, before the streams go on for ever.
            for (pipeline, tables) in self.wholes {
                if stop.is_cancelled() {
                    break;
                }
                pipeline.run_whole(tables).await?;
            }
            streams.await?;
            for sink in &self.sinks {
                sink.sink.lock().await.close().await?;
            }
            Ok::<(), PipelineError>(())
        };
        let result = tokio::select! {
            result = work => result.map_err(|error| error.in_file(&self.file)),
            () = stopper => Ok(()),
            waiting = vain_wait(&stop, &waits, timeout) => given_up(&self.file, self.progress.unwritten(), &waiting),
        };
        result?;
        let counts = self.progress.snapshot();
        Ok(JobSummary {
            read: counts.read,
            written: counts.written,
            deleted: counts.deleted,
            dropped: counts.dropped,
            dead_lettered: self.progress.dead_lettered_by_reason(),
            elapsed: started.elapsed(),
        })
    }
}

/// Tells each stream which sinks no other stream writes to.
fn own_sinks(streams: &mut [(Pipeline, Arc<dyn Source>)]) {
    let sinks_of = |(pipeline, _): &(Pipeline, Arc<dyn Source>)| -> Vec<Arc<SharedSink>> {
        let statements = pipeline.statements.iter();
        statements.map(|statement| Arc::clone(&statement.sink)).collect()
    };
    let of_all: Vec<_> = streams.iter().map(sinks_of).collect();
    for (index, (pipeline, _)) in streams.iter_mut().enumerate() {
        let is_others = |sink: &Arc<SharedSink>| {
            let mut others = of_all.iter().enumerate().filter(|(other, _)| *other != index);
            others.any(|(_, sinks)| sinks.iter().any(|other| Arc::ptr_eq(sink, other)))
        };
        pipeline.own_sinks = of_all[index].iter().filter(|sink| !is_others(sink)).cloned().collect();
    }
}

/// Returns when, after `stop`, something was waited for longer than `timeout`: with what it was.
async fn vain_wait(stop: &CancellationToken, waits: &Waits, timeout: Duration) -> Waiting {
    stop.cancelled().await;
    let stopped = Instant::now();
    loop {
        let since = |waiting: &Waiting| waiting.since.max(stopped).elapsed();
        if let Some(waiting) = waits.current().into_iter().find(|waiting| since(waiting) >= timeout) {
            return waiting;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How a job ends that was asked to stop and gives up what it waited for.
fn given_up(file: &str, unwritten: u64, waiting: &Waiting) -> Result<(), SqlError> {
    let Waiting {
        system,
        purpose,
        reason,
        ..
    } = waiting;
    if unwritten == 0 {
        tracing::warn!(
            system,
            purpose,
            reason,
            "stopped without waiting any longer; every record read is written"
        );
        return Ok(());
    }
    let message = format!(
        "stopped while waiting for {system} ({purpose}: {reason}); {unwritten} records in flight are not committed, and \
         the next run reads them again"
    );
    let error = ConnectorError::Unavailable {
        system: system.clone(),
        message: message.clone(),
    };
    Err(SqlError {
        file: file.to_string(),
        line: None,
        column: None,
        message,
        source: Some(Box::new(error)),
    })
}

/// Stands in where no statement needs the embedding service.
struct NoModel;

fn no_model() -> EmbedFailure {
    EmbedFailure {
        code: "no_model".to_string(),
        message: "no model is loaded".to_string(),
        fatal: true,
    }
}

#[async_trait]
impl Embedder for NoModel {
    async fn embed(&self, _url: &str, _instruction: Option<&str>) -> Result<Arc<[f32]>, EmbedFailure> {
        Err(no_model())
    }

    async fn segments(&self, _url: &str) -> Result<Arc<[String]>, EmbedFailure> {
        Err(no_model())
    }
}
