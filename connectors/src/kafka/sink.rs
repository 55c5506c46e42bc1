//! A topic as a sink of rows.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use async_trait::async_trait;

use super::config::SinkConfig;
use super::{Outgoing, TopicWriter};
use crate::format::{Conformed, JsonEncoder, conform};
use crate::{ConnectorError, Rejection, Sink};

/// Writes each row as one JSON record.
///
/// [`Sink::write`] returns when all in-sync replicas have the rows. The producer is idempotent, so its own retries
/// write nothing twice; rows that are replayed after a crash are written again.
pub struct KafkaSink {
    config: SinkConfig,
    encoder: JsonEncoder,
    writer: TopicWriter,
}

impl KafkaSink {
    /// Connects. Waits for brokers that are away.
    pub(super) async fn open(config: SinkConfig) -> Result<Self, ConnectorError> {
        let writer = TopicWriter::open(config.connection.clone()).await?;
        Ok(Self {
            encoder: JsonEncoder::new(config.json),
            config,
            writer,
        })
    }

    fn records(&self, batch: &RecordBatch) -> Result<Vec<Outgoing>, ConnectorError> {
        let internal = |error: arrow::error::ArrowError| ConnectorError::Internal(error.to_string());
        let keys = self
            .config
            .key
            .map(|index| key_bytes(batch.column(index)))
            .transpose()
            .map_err(internal)?;
        let times = self.config.timestamp.map(|index| {
            let millis = cast(batch.column(index), &DataType::Timestamp(TimeUnit::Millisecond, None))?;
            cast(&millis, &DataType::Int64)
        });
        let times = times.transpose().map_err(internal)?;
        let values = self.encoder.encode(batch)?;
        Ok(values
            .into_iter()
            .enumerate()
            .map(|(row, value)| Outgoing {
                key: keys
                    .as_ref()
                    .filter(|keys| keys.is_valid(row))
                    .map(|keys| keys.as_binary::<i64>().value(row).to_vec()),
                value: Some(value),
                timestamp: times
                    .as_ref()
                    .filter(|times| times.is_valid(row))
                    .map(|times| times.as_primitive::<Int64Type>().value(row)),
                headers: None,
            })
            .collect())
    }
}

/// A key column's bytes: those of BYTEA as they are, anything else as its text.
fn key_bytes(column: &ArrayRef) -> Result<ArrayRef, arrow::error::ArrowError> {
    match column.data_type() {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            cast(column, &DataType::LargeBinary)
        }
        _ => cast(&cast(column, &DataType::LargeUtf8)?, &DataType::LargeBinary),
    }
}

#[async_trait]
impl Sink for KafkaSink {
    async fn write(&self, batch: &RecordBatch) -> Result<Vec<Rejection>, ConnectorError> {
        let Conformed {
            batch,
            rows,
            mut rejections,
        } = conform(batch, &self.config.schema)?;
        let refused = self.writer.write(&self.records(&batch)?).await?;
        let written = batch.num_rows() - refused.len();
        metrics::counter!("sightstream_sink_rows_total", "table" => self.config.table.clone())
            .increment(written as u64);
        rejections.extend(refused.into_iter().map(|(index, reason)| Rejection {
            row: rows[index],
            reason,
        }));
        rejections.sort_by_key(|rejection| rejection.row);
        Ok(rejections)
    }

    async fn flush(&self) -> Result<(), ConnectorError> {
        // `write` has waited for every acknowledgement.
        Ok(())
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        Ok(())
    }
}
