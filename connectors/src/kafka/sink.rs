//! A topic as a sink of rows.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use async_trait::async_trait;
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::{Map, Value};

use super::config::SinkConfig;
use super::{Outgoing, TopicWriter};
use crate::format::{Conformed, JsonEncoder, conform};
use crate::{ConnectorError, Deletion, Rejection, Rejections, Sink, Waits};

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
    pub(super) async fn open(config: SinkConfig, waits: &Waits) -> Result<Self, ConnectorError> {
        let writer = TopicWriter::open(config.connection.clone(), waits).await?;
        Ok(Self {
            encoder: JsonEncoder::new(config.json),
            config,
            writer,
        })
    }

    /// The record of each row, or the reason why the row can be none.
    fn records(&self, batch: &RecordBatch) -> Result<Vec<Result<Outgoing, String>>, ConnectorError> {
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
        let headers = self
            .config
            .headers
            .map(|index| cast(batch.column(index), &DataType::LargeUtf8))
            .transpose()
            .map_err(internal)?;
        let values = self.encoder.encode(&self.value_columns(batch).map_err(internal)?)?;
        Ok(values
            .into_iter()
            .enumerate()
            .map(|(row, value)| {
                let headers = headers.as_ref().filter(|headers| headers.is_valid(row));
                Ok(Outgoing {
                    key: keys
                        .as_ref()
                        .filter(|keys| keys.is_valid(row))
                        .map(|keys| keys.as_binary::<i64>().value(row).to_vec()),
                    value: Some(value),
                    timestamp: times
                        .as_ref()
                        .filter(|times| times.is_valid(row))
                        .map(|times| times.as_primitive::<Int64Type>().value(row)),
                    headers: match headers {
                        Some(headers) => self.headers(headers.as_string::<i64>().value(row))?,
                        None => None,
                    },
                    partition: None,
                })
            })
            .collect())
    }

    /// The columns that make the value: all but that of the headers.
    fn value_columns(&self, batch: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
        let columns: Vec<usize> = (0..batch.num_columns())
            .filter(|index| Some(*index) != self.config.headers)
            .collect();
        batch.project(&columns)
    }

    fn headers(&self, text: &str) -> Result<Option<OwnedHeaders>, String> {
        let column = || {
            let index = self.config.headers.unwrap_or_default();
            self.config.schema.field(index).name()
        };
        parse_headers(text).map_err(|reason| format!("column `{}`: {reason}", column()))
    }
}

/// The headers in a JSON object, in its order. The values are as a source's `headers` column has them: a text, null for
/// a header without a value, a list where a name repeats.
fn parse_headers(text: &str) -> Result<Option<OwnedHeaders>, String> {
    let no_object = || "headers are a JSON object of names and texts".to_string();
    let entries: Option<Map<String, Value>> = serde_json::from_str(text).map_err(|_| no_object())?;
    let Some(entries) = entries else { return Ok(None) };
    let mut headers = OwnedHeaders::new_with_capacity(entries.len());
    for (name, value) in &entries {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            let value = match value {
                Value::Null => None,
                Value::String(text) => Some(text.as_str()),
                _ => return Err(format!("the header '{name}' is not a text")),
            };
            headers = headers.insert(Header { key: name, value });
        }
    }
    Ok(Some(headers))
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

/// What a record to be written was: its index among the rows, or among the deletions.
enum Place {
    Row(usize),
    Deletion(usize),
}

#[async_trait]
impl Sink for KafkaSink {
    async fn write(&self, batch: &RecordBatch) -> Result<Vec<Rejection>, ConnectorError> {
        self.write_and_delete(batch, &[])
            .await
            .map(|rejections| rejections.rows)
    }

    /// A deletion is written as a record of its key and no value, between the rows.
    async fn write_and_delete(
        &self,
        batch: &RecordBatch,
        deletions: &[Deletion],
    ) -> Result<Rejections, ConnectorError> {
        let Conformed {
            batch,
            rows,
            rejections,
        } = conform(batch, &self.config.schema)?;
        let mut rejections = Rejections {
            rows: rejections,
            deletions: Vec::new(),
        };
        let (mut records, mut places) = (Vec::new(), Vec::new());
        let mut deletions = deletions.iter().enumerate().peekable();
        let mut delete_before = |row: usize, records: &mut Vec<Outgoing>, places: &mut Vec<Place>| {
            while let Some((index, deletion)) = deletions.next_if(|(_, deletion)| deletion.before <= row) {
                if deletion.key.is_none() {
                    let reason = "the tombstone has no key, so it names no row".to_string();
                    rejections.deletions.push(Rejection { row: index, reason });
                    continue;
                }
                let key = deletion.key.clone();
                records.push(Outgoing {
                    key,
                    ..Outgoing::default()
                });
                places.push(Place::Deletion(index));
            }
        };
        for (row, record) in rows.into_iter().zip(self.records(&batch)?) {
            delete_before(row, &mut records, &mut places);
            match record {
                Ok(record) => {
                    records.push(record);
                    places.push(Place::Row(row));
                }
                Err(reason) => rejections.rows.push(Rejection { row, reason }),
            }
        }
        delete_before(usize::MAX, &mut records, &mut places);
        let refused = self.writer.write(&records).await?;
        let written = records.len() - refused.len();
        metrics::counter!("sightstream_sink_rows_total", "table" => self.config.table.clone())
            .increment(written as u64);
        for (index, reason) in refused {
            match places[index] {
                Place::Row(row) => rejections.rows.push(Rejection { row, reason }),
                Place::Deletion(row) => rejections.deletions.push(Rejection { row, reason }),
            }
        }
        rejections.rows.sort_by_key(|rejection| rejection.row);
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
