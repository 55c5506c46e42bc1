//! Where rows come from: epochs of records with the position after them.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use tokio::sync::OwnedRwLockReadGuard;

use crate::ConnectorError;

/// A source of epochs. All methods may be called at the same time from several tasks.
///
/// The engine asks for epochs one after the other and may compute several at once. For each, in the order in which
/// they were handed over, it asks to be [admitted](Source::admit), writes it, and [commits](Source::commit) its
/// position.
#[async_trait]
pub trait Source: Send + Sync {
    /// The columns of the batches, as declared.
    fn schema(&self) -> SchemaRef;

    /// The next epoch: waits for a first record, then for more until a limit of [`EpochLimits`] is reached. `None`
    /// when the source has ended: a file is read to its end, or, with `until_caught_up`, everything that was in the
    /// topic at the start has been handed over and committed. Cancel safe.
    async fn next_epoch(&self) -> Result<Option<Epoch>, ConnectorError>;

    /// The right to write and commit the epoch that ends at `position`. `None` if the source has lost it meanwhile (its
    /// partitions went to another consumer, which reads the records again): the epoch must then be dropped. While the
    /// admission is held, the partitions are not given away, up to a time limit of the source ([`Source::lost`]).
    async fn admit(&self, position: &Position) -> Option<Admission>;

    /// Returns when the epoch that ends at `position` is lost although it was admitted: a write that takes too long does
    /// not hold partitions for ever. What is still unwritten must be dropped then, or it would overwrite what the new
    /// consumer has written. By default it never returns.
    async fn lost(&self, position: &Position) {
        let _ = position;
        std::future::pending().await
    }

    /// Commits `position`: a restart goes on from there. Called only after the epoch's rows are durable.
    async fn commit(&self, position: &Position) -> Result<(), ConnectorError>;

    /// Stops handing over epochs: [`Source::next_epoch`] gives `None` from now on. Epochs already handed over may
    /// still be admitted and committed.
    fn stop(&self);

    /// Leaves the consumer group or closes the files. Nothing is committed here.
    async fn close(&self) -> Result<(), ConnectorError>;

    /// Why the source hands over nothing for the time being, in a sentence; `None` if nothing keeps it from that.
    fn obstacle(&self) -> Option<String> {
        None
    }

    /// Records that are in the source now and not yet handed over, if the source can tell; for progress only.
    fn backlog(&self) -> Option<u64>;
}

/// Keeps a source from giving partitions away while an epoch is written and committed.
pub struct Admission {
    /// Held for as long as the admission lives; `None` for sources that never lose an epoch.
    pub guard: Option<OwnedRwLockReadGuard<()>>,
}

/// How large an epoch may grow.
#[derive(Debug, Clone, Copy)]
pub struct EpochLimits {
    /// The most records in an epoch.
    pub records: usize,
    /// The most bytes of an epoch: of its records and, where the source counts them, their decoded rows.
    pub bytes: usize,
    /// The longest wait after an epoch's first record.
    pub delay: Duration,
}

impl Default for EpochLimits {
    fn default() -> Self {
        Self {
            records: 256,
            bytes: 8 << 20,
            delay: Duration::from_millis(200),
        }
    }
}

/// A run of records, decoded.
#[derive(Debug)]
pub struct Epoch {
    /// The good records' declared columns; row `i` was decoded from `records[i]`.
    pub batch: RecordBatch,
    /// The records behind the rows of `batch`.
    pub records: Vec<SourceRecord>,
    /// Records that could not be decoded.
    pub rejected: Vec<RejectedRecord>,
    /// Records that could not be decoded and were dropped, as `bad_data = 'drop'` asks for.
    pub dropped: usize,
    /// Records without a value that delete, in order. Empty unless the table asks for them.
    pub tombstones: Vec<Tombstone>,
    /// Where the source stands after this epoch.
    pub position: Position,
}

/// A place in a source. Only the source that made it reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// Counts the assignments of partitions; a position of an earlier assignment is void.
    pub generation: u64,
    /// For each partition (or file) that the epoch touched, the offset of the next record.
    pub offsets: BTreeMap<String, i64>,
}

/// A record as it was in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRecord {
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The headers, in order; names may repeat.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Whether `value` is only the first part of one that is too long to be kept.
    pub truncated: bool,
    /// Where it was.
    pub origin: Origin,
}

/// Where a record was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What kind of place `topic` names.
    pub kind: OriginKind,
    /// The SQL table.
    pub table: String,
    /// The topic, or the file's path.
    pub topic: String,
    /// The partition; 0 for files.
    pub partition: i32,
    /// The offset; for files the row number from 0.
    pub offset: i64,
    /// The record's time in milliseconds since 1970, if it has one.
    pub timestamp_ms: Option<i64>,
}

/// The kinds of places that records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OriginKind {
    /// A Kafka topic.
    Topic,
    /// A file.
    File,
}

impl OriginKind {
    /// The kind's name in dead letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::File => "file",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Topic, Self::File].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A record without a value, which deletes what its key names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The record.
    pub record: SourceRecord,
    /// How many of the epoch's good records came before it.
    pub preceding: usize,
}

/// A record that could not be decoded.
#[derive(Debug, Clone)]
pub struct RejectedRecord {
    /// The record.
    pub record: SourceRecord,
    /// Why, in a sentence.
    pub reason: String,
}
