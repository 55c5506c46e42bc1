//! Where rows go.

use arrow::array::RecordBatch;
use async_trait::async_trait;

use crate::ConnectorError;

/// A sink of rows. The engine calls [`Sink::write`] for the batches of an epoch, then [`Sink::flush`], then commits the
/// source. One writer at a time.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Writes the rows of `batch`, whose columns are the sink table's declared ones, in order. Rows that the sink can
    /// never take come back as rejections; the others are written. What may pass (the server is away) is retried
    /// inside, with backoff and a log line, for as long as it takes; an error means that going on is useless.
    ///
    /// Writing a row again must leave the same result as writing it once, where the system behind allows it.
    async fn write(&self, batch: &RecordBatch) -> Result<Vec<Rejection>, ConnectorError>;

    /// As [`Sink::write`], with deletions between the rows. In the end an id is there if a row of it comes after its
    /// last deletion; rows before that need not be written. Doing it again leaves the same result.
    ///
    /// Asked only of sinks for which [`crate::deleting`] says that they can; others need not implement it.
    async fn write_and_delete(&self, _: &RecordBatch, _: &[Deletion]) -> Result<Rejections, ConnectorError> {
        Err(ConnectorError::Internal("this sink cannot delete rows".into()))
    }

    /// Forgets what was written and is not durable yet, where it has not left this process: its epoch was given up, and
    /// another consumer writes its rows. By default there is nothing to forget.
    async fn discard(&self) {}

    /// Returns when everything written so far is durable.
    async fn flush(&self) -> Result<(), ConnectorError>;

    /// Flushes and lets go.
    async fn close(&self) -> Result<(), ConnectorError>;
}

/// A deletion between the rows of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The key of the record that deletes. It names what is deleted.
    pub key: Option<Vec<u8>>,
    /// The index of the first row of the batch that comes after it.
    pub before: usize,
}

/// What a sink refuses of rows and deletions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejections {
    /// The rows.
    pub rows: Vec<Rejection>,
    /// The deletions; `row` is the index of the deletion.
    pub deletions: Vec<Rejection>,
}

/// A row that a sink refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The row's index in the batch that was written.
    pub row: usize,
    /// Why, in a sentence.
    pub reason: String,
}

/// The space that the vectors written to a sink live in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorSpace {
    /// Numbers in a vector.
    pub dimension: usize,
    /// The model's name, for people.
    pub model: String,
    /// A short hexadecimal digest of what decides the vectors (weights, tokenizer, processor): vectors of different
    /// fingerprints cannot be compared.
    pub fingerprint: String,
}
