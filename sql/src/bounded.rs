//! Tables that are read as a whole.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use sightstream_connectors::{ConnectorError, RejectedRecord, Source, SourceRecord};

/// All rows of a bounded table.
pub(crate) struct Whole {
    pub rows: RecordBatch,
    /// The record behind each row.
    pub records: Vec<SourceRecord>,
    pub rejected: Vec<RejectedRecord>,
    pub dropped: usize,
}

/// Reads `source` to its end.
pub(crate) async fn read_whole(source: Arc<dyn Source>) -> Result<Whole, ConnectorError> {
    let (mut batches, mut records, mut rejected, mut dropped) = (Vec::new(), Vec::new(), Vec::new(), 0);
    while let Some(epoch) = source.next_epoch().await? {
        batches.push(epoch.batch);
        records.extend(epoch.records);
        rejected.extend(epoch.rejected);
        dropped += epoch.dropped;
    }
    source.close().await?;
    let rows = concat_batches(&source.schema(), &batches)
        .map_err(|error| ConnectorError::Internal(format!("a source's batches differ: {error}")))?;
    Ok(Whole {
        rows,
        records,
        rejected,
        dropped,
    })
}
