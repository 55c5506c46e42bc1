//! From one source, through its queries, to their sinks: epoch by epoch.

use std::collections::HashMap;
use std::sync::{Arc, Once};
use std::time::Instant;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use sightstream_connectors::{ConnectorError, Epoch, Position, Sink, Source, SourceRecord, Tombstone};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::compute::{Computed, Computer};
use crate::dead_letters::{EpochFailures, Failures};
use crate::epoch_table::numbered_schema;
use crate::failpoints::die_at;
use crate::planner::Query;
use crate::{Progress, SqlError};

/// A sink with one writer at a time.
pub(crate) struct SharedSink {
    pub name: String,
    /// The declared columns.
    pub schema: SchemaRef,
    /// The column by whose value tombstones delete, if rows of the sink can be deleted.
    pub key: Option<usize>,
    pub sink: Mutex<Arc<dyn Sink>>,
}

/// A query and where its rows go.
#[derive(Clone)]
pub(crate) struct Statement {
    pub query: Arc<Query>,
    pub sink: Arc<SharedSink>,
}

/// All statements that one source drives.
pub(crate) struct Pipeline {
    pub table: String,
    pub statements: Vec<Statement>,
    pub computer: Arc<Computer>,
    pub failures: Failures,
    pub progress: Arc<Progress>,
    /// The sinks that nothing else writes to at the same time.
    pub own_sinks: Vec<Arc<SharedSink>>,
    /// Whether it was told that rows have other ids than their records' keys.
    pub other_keys: Once,
}

/// A table that is read at once: its name, its rows, and the record behind each.
pub(crate) type WholeTable = (String, (RecordBatch, Vec<SourceRecord>));

/// Why a pipeline stopped.
pub(crate) enum PipelineError {
    /// The query at this line cannot be computed.
    Query { line: u64, error: DataFusionError },
    /// A source or a sink.
    Connector(ConnectorError),
}

impl From<ConnectorError> for PipelineError {
    fn from(error: ConnectorError) -> Self {
        Self::Connector(error)
    }
}

impl PipelineError {
    /// The error of the script in `file`.
    pub fn in_file(self, file: &str) -> SqlError {
        match self {
            Self::Query { line, error } => SqlError::planning(file, line, error),
            Self::Connector(error) => SqlError::running(file, None, error),
        }
    }
}

pub(crate) fn internal(message: impl std::fmt::Display) -> PipelineError {
    PipelineError::Connector(ConnectorError::Internal(message.to_string()))
}

/// An epoch on its way from the computation to the sinks.
pub(crate) struct InFlight {
    pub records: Vec<SourceRecord>,
    pub tombstones: Vec<Tombstone>,
    pub failures: EpochFailures,
    pub position: Position,
    pub computed: Vec<Computed>,
    /// Records read, and how many of them were dropped.
    pub total: usize,
    pub dropped: usize,
    pub started: Instant,
    _counted: Counted,
}

/// Counts an epoch in `sightstream_epochs_in_flight` for as long as it lives.
struct Counted(metrics::Gauge);

impl Counted {
    fn of(table: &str) -> Self {
        let gauge = metrics::gauge!("sightstream_epochs_in_flight", "table" => table.to_string());
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl Pipeline {
    /// Moves the rows of `source` until it ends. Up to `in_flight` epochs are computed at once; they are written and
    /// committed in the order in which they were read.
    pub async fn run(self, source: Arc<dyn Source>, in_flight: usize) -> Result<(), PipelineError> {
        let pipeline = Arc::new(self);
        let (sender, mut receiver) = mpsc::channel(in_flight.max(1));
        let reader = AbortOnDrop(tokio::spawn(Arc::clone(&pipeline).read(Arc::clone(&source), sender)));
        while let Some(epoch) = receiver.recv().await {
            let epoch: AbortOnDrop<Result<InFlight, PipelineError>> = epoch;
            let epoch = epoch.join().await??;
            let (position, total) = (epoch.position.clone(), epoch.total);
            let Some(_admission) = source.admit(&position).await else {
                pipeline.dropped(total);
                continue;
            };
            tokio::select! {
                written = pipeline.write(epoch) => written?,
                () = source.lost(&position) => {
                    pipeline.dropped(total);
                    pipeline.discard().await;
                    continue;
                }
            }
            die_at("after-flush");
            let started = Instant::now();
            source.commit(&position).await?;
            metrics::histogram!("sightstream_epoch_commit_seconds", "table" => pipeline.table.clone())
                .record(started.elapsed());
            pipeline.progress.take_from_flight(total);
            die_at("after-commit");
        }
        reader.join().await??;
        source.close().await?;
        Ok(())
    }

    /// Has the sinks forget what is left of an epoch that was given up. A sink that others write to at the same time keeps
    /// it: what it holds may be theirs, and a row that is written twice is better than none.
    async fn discard(&self) {
        for sink in &self.own_sinks {
            sink.sink.lock().await.discard().await;
        }
    }

    fn dropped(&self, records: usize) {
        self.progress.take_from_flight(records);
        tracing::info!(
            table = self.table,
            "epoch dropped: its partitions went to another consumer"
        );
        metrics::counter!("sightstream_epochs_dropped_total", "table" => self.table.clone()).increment(1);
    }

    /// Asks the source for epochs and starts to compute each. The channel's capacity bounds how many are in flight.
    async fn read(
        self: Arc<Self>,
        source: Arc<dyn Source>,
        sender: mpsc::Sender<AbortOnDrop<Result<InFlight, PipelineError>>>,
    ) -> Result<(), PipelineError> {
        loop {
            // A place is taken before the epoch is read, so that no record waits in memory for one.
            let Ok(place) = sender.reserve().await else {
                return Ok(());
            };
            let Some(epoch) = source.next_epoch().await? else {
                return Ok(());
            };
            place.send(AbortOnDrop(tokio::spawn(Arc::clone(&self).compute(epoch))));
        }
    }

    async fn compute(self: Arc<Self>, epoch: Epoch) -> Result<InFlight, PipelineError> {
        let started = Instant::now();
        let counted = Counted::of(&self.table);
        let mut failures = EpochFailures::default();
        let dropped = epoch.dropped;
        let total = epoch.records.len() + epoch.rejected.len() + epoch.tombstones.len() + dropped;
        self.progress.put_in_flight(total);
        failures.add_rejected(&self.table, epoch.rejected);
        let input = HashMap::from([(self.table.clone(), numbered(&epoch.batch, 0)?)]);
        let computed = self.compute_all(&input).await?;
        metrics::histogram!("sightstream_epoch_compute_seconds", "table" => self.table.clone())
            .record(started.elapsed());
        Ok(InFlight {
            records: epoch.records,
            tombstones: epoch.tombstones,
            failures,
            position: epoch.position,
            computed,
            total,
            dropped,
            started,
            _counted: counted,
        })
    }

    /// What each statement makes of the rows `input`.
    async fn compute_all(&self, input: &HashMap<String, RecordBatch>) -> Result<Vec<Computed>, PipelineError> {
        let embedder = self.computer.embedder_of_epoch();
        let mut computed = Vec::with_capacity(self.statements.len());
        for Statement { query, .. } in &self.statements {
            let result = self.computer.compute(query, input.clone(), &embedder).await;
            computed.push(result.map_err(|error| PipelineError::Query {
                line: query.line,
                error,
            })?);
        }
        Ok(computed)
    }

    /// Runs the pipeline's statements once, on all rows of their tables.
    pub async fn run_whole(self, tables: Vec<WholeTable>) -> Result<(), PipelineError> {
        let started = Instant::now();
        let counted = Counted::of(&self.table);
        let failures = EpochFailures::default();
        let mut records = Vec::new();
        let mut input = HashMap::new();
        for (table, (rows, behind)) in tables {
            input.insert(table, numbered(&rows, records.len() as u64)?);
            records.extend(behind);
        }
        let total = records.len();
        self.progress.put_in_flight(total);
        let computed = self.compute_all(&input).await?;
        let position = Position::default();
        self.write(InFlight {
            records,
            tombstones: Vec::new(),
            failures,
            position,
            computed,
            total,
            dropped: 0,
            started,
            _counted: counted,
        })
        .await?;
        self.progress.take_from_flight(total);
        Ok(())
    }
}

/// `batch` with a last column that numbers its rows from `first`.
fn numbered(batch: &RecordBatch, first: u64) -> Result<RecordBatch, PipelineError> {
    let numbers = UInt64Array::from_iter_values(first..first + batch.num_rows() as u64);
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(numbers));
    RecordBatch::try_new(numbered_schema(&batch.schema()), columns).map_err(internal)
}

/// A task that ends when nobody waits for it any more.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn join(mut self) -> Result<T, PipelineError> {
        (&mut self.0)
            .await
            .map_err(|error| internal(format!("a task ended early: {error}")))
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
