//! An epoch's rows to their sinks, and what could not be written to its dead letters.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Field, Schema};
use sightstream_connectors::{Deletion, Rejection, Rejections, SourceRecord};
use sightstream_model::reference::without_credentials;

use crate::failpoints::die_at;
use crate::outputs::{self, Output};
use crate::pipeline::{InFlight, Pipeline, PipelineError, SharedSink, internal};

impl Pipeline {
    /// Returns when the epoch's rows are durable, in the sinks or in the dead letters.
    pub(crate) async fn write(&self, mut epoch: InFlight) -> Result<(), PipelineError> {
        let write_started = Instant::now();
        let mut outputs = Vec::with_capacity(self.statements.len());
        for (statement, computed) in self.statements.iter().zip(std::mem::take(&mut epoch.computed)) {
            for failure in computed.failures {
                epoch
                    .failures
                    .add_computed(&statement.sink.name, &epoch.records, failure);
            }
            outputs.push(Output {
                sink: Arc::clone(&statement.sink),
                rows: as_declared(&computed.rows, &statement.sink.schema)?,
                numbers: computed.numbers,
            });
        }
        if !epoch.tombstones.is_empty() {
            outputs = outputs::by_sink(outputs).map_err(internal)?;
            for output in &outputs {
                self.warn_of_other_keys(output, &epoch.records);
            }
        }
        let mut counts = Vec::with_capacity(outputs.len());
        for output in &outputs {
            counts.push(self.write_output(output, &mut epoch).await?);
        }
        die_at("after-write");
        for output in &outputs {
            output.sink.sink.lock().await.flush().await?;
        }
        self.failures.write(epoch.failures).await?;
        for (output, (written, deleted)) in outputs.iter().zip(counts) {
            self.progress.add_written(&output.sink.name, written);
            self.progress.add_deleted(&output.sink.name, deleted);
        }
        self.progress.add_read(&self.table, epoch.total);
        self.progress.add_dropped(&self.table, epoch.dropped);
        metrics::histogram!("sightstream_epoch_write_seconds", "table" => self.table.clone())
            .record(write_started.elapsed());
        metrics::histogram!("sightstream_epoch_seconds", "table" => self.table.clone()).record(epoch.started.elapsed());
        Ok(())
    }

    /// Tells, once, that tombstones do not delete what they seem to: the rows' ids are not their records' keys.
    fn warn_of_other_keys(&self, output: &Output, records: &[SourceRecord]) {
        if let Some((id, key)) = output.other_key(records) {
            let (source, table) = (&self.table, &output.sink.name);
            let (id, key) = (shown(&id), shown(&key));
            self.other_keys.call_once(|| {
                tracing::warn!(
                    source,
                    table,
                    id,
                    key,
                    "a row's id is not the key of its record; tombstones delete the rows whose ids are their keys"
                );
            });
        }
    }

    /// Writes the rows of `output` with the epoch's tombstones between them. Gives how many rows and tombstones the sink
    /// took.
    async fn write_output(&self, output: &Output, epoch: &mut InFlight) -> Result<(usize, usize), PipelineError> {
        let sink = &output.sink;
        let number = |row: usize| output.numbers.as_ref().map(|numbers| numbers.value(row));
        let (rows, kept) = self.take_out_nulls(sink, &output.rows, |row, reason| {
            epoch
                .failures
                .add_refused(&sink.name, &epoch.records, number(row), reason);
        })?;
        let place = |row: usize| kept.as_ref().map_or(row, |kept| kept.value(row) as usize);
        let sequence: Vec<u64> = (0..rows.num_rows()).filter_map(|row| number(place(row))).collect();
        if !epoch.tombstones.is_empty() && sequence.len() < rows.num_rows() {
            return Err(internal("rows of a stream have lost their numbers"));
        }
        let deletions: Vec<Deletion> = epoch
            .tombstones
            .iter()
            .map(|tombstone| Deletion {
                key: tombstone.record.key.clone(),
                before: sequence.partition_point(|&number| number < tombstone.preceding as u64),
            })
            .collect();
        if rows.num_rows() == 0 && deletions.is_empty() {
            return Ok((0, 0));
        }
        let rejections = if deletions.is_empty() {
            Rejections {
                rows: sink.sink.lock().await.write(&rows).await?,
                deletions: Vec::new(),
            }
        } else {
            sink.sink.lock().await.write_and_delete(&rows, &deletions).await?
        };
        let written = rows.num_rows() - rejections.rows.len();
        let deleted = deletions.len() - rejections.deletions.len();
        for rejection in rejections.rows {
            let number = number(place(rejection.row));
            epoch
                .failures
                .add_refused(&sink.name, &epoch.records, number, rejection.reason);
        }
        for Rejection { row, reason } in rejections.deletions {
            epoch
                .failures
                .add_tombstone(&sink.name, row, &epoch.tombstones[row].record, reason);
        }
        Ok((written, deleted))
    }

    /// The rows of `batch` that have a value in every `NOT NULL` column of `sink`, with their places in `batch` if any row
    /// is left out; `refuse` gets those.
    fn take_out_nulls(
        &self,
        sink: &SharedSink,
        batch: &RecordBatch,
        mut refuse: impl FnMut(usize, String),
    ) -> Result<(RecordBatch, Option<UInt32Array>), PipelineError> {
        let mut refused = vec![false; batch.num_rows()];
        for (field, column) in sink.schema.fields().iter().zip(batch.columns()) {
            if field.is_nullable() || column.null_count() == 0 {
                continue;
            }
            for row in (0..batch.num_rows()).filter(|&row| column.is_null(row)) {
                refused[row] = true;
                refuse(
                    row,
                    format!(
                        "the column {} of {} is NOT NULL, but the row has NULL there",
                        field.name(),
                        sink.name
                    ),
                );
            }
        }
        if !refused.contains(&true) {
            return Ok((batch.clone(), None));
        }
        let kept: UInt32Array = refused
            .iter()
            .enumerate()
            .filter(|(_, refused)| !**refused)
            .map(|(row, _)| row as u32)
            .collect();
        let rows = take_record_batch(batch, &kept).map_err(internal)?;
        Ok((rows, Some(kept)))
    }
}

/// An id or a key as a log line shows it: it may be a URL with a password in it, or long.
fn shown(id: &str) -> String {
    const SHOWN: usize = 60;
    let public = without_credentials(id);
    match public.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &public[..end]),
        None => public,
    }
}

/// `batch` with the names and the metadata of the declared columns: expressions do not keep which text is JSON. NULLs are
/// looked for row by row.
fn as_declared(batch: &RecordBatch, declared: &Schema) -> Result<RecordBatch, PipelineError> {
    let fields: Vec<Field> = declared
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| {
            Field::new(field.name(), column.data_type().clone(), true).with_metadata(field.metadata().clone())
        })
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), batch.columns().to_vec()).map_err(internal)
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn ids_are_shown_without_passwords_and_shortened() {
        assert_eq!(shown("https://me:s3cret@host/a.jpg"), "https://host/a.jpg");
        assert_eq!(shown(&"ä".repeat(100)), format!("{}…", "ä".repeat(60)));
    }
}
