//! Source records to rows: the value's fields and the record's metadata.

use std::collections::HashMap;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{SchemaRef, TimeUnit};
use serde_json::{Map, Value};

use super::JsonOptions;
use super::columns::build;
use super::decode::{Cell, Column, Shape, fields, text};
use super::describe::sql_type;
use crate::{ConnectorError, SourceRecord, TableDefinition};

/// A decoded record, still apart from its neighbours.
#[derive(Debug, Clone)]
pub struct Row(Vec<Cell>);

impl Row {
    /// What it takes in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        let cells = self.0.capacity() * size_of::<Cell>();
        cells + self.0.iter().map(Cell::held_bytes).sum::<usize>()
    }
}

/// Decodes the JSON records of one table.
#[derive(Debug, Clone)]
pub struct RecordDecoder {
    /// Whether records are taken as a whole, and are not read.
    unstructured: bool,
    schema: SchemaRef,
    columns: Vec<(Column, Fill)>,
}

/// Where a column's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fill {
    Value,
    /// The record as a whole.
    Whole,
    Offset,
    Partition,
    Topic,
    Timestamp,
    Key,
    Headers,
}

impl Fill {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "offset_id" => Self::Offset,
            "partition" => Self::Partition,
            "topic" => Self::Topic,
            "timestamp" => Self::Timestamp,
            "key" => Self::Key,
            "headers" => Self::Headers,
            _ => return None,
        })
    }

    /// Whether a column of `shape` can take this metadata, and which types can.
    fn fits(self, shape: &Shape) -> Result<(), &'static str> {
        let (fits, types) = match self {
            Self::Value | Self::Whole => (true, ""),
            Self::Offset | Self::Partition => (matches!(shape, Shape::Integer { .. }), "BIGINT or INT"),
            Self::Topic => (matches!(shape, Shape::Text), "TEXT"),
            Self::Timestamp => (
                matches!(shape, Shape::Integer { .. } | Shape::Timestamp(_)),
                "TIMESTAMP, or BIGINT for milliseconds since 1970",
            ),
            Self::Key => (matches!(shape, Shape::Text | Shape::Bytes { .. }), "BYTEA or TEXT"),
            Self::Headers => (matches!(shape, Shape::Text | Shape::Json), "TEXT or JSON"),
        };
        if fits { Ok(()) } else { Err(types) }
    }
}

impl RecordDecoder {
    /// A decoder to the columns of `table`.
    ///
    /// # Errors
    /// [`ConnectorError::Option`] that names a column whose type JSON cannot be read into, a metadata column of an
    /// unknown name or of a type that cannot hold it, or, with `json.unstructured`, a column other than `value JSON`.
    pub fn new(table: &TableDefinition, json: JsonOptions) -> Result<Self, ConnectorError> {
        let options = table.options();
        let columns = table.schema.fields().iter().map(|field| {
            let name = field.name();
            let column = Column::new(field, json.bytes)
                .map_err(|other| options.error(format!("column `{name}`: {other} cannot be read from JSON")))?;
            let Some(metadata) = table.metadata_columns.iter().find(|metadata| metadata.column == *name) else {
                return match (json.unstructured, &column.shape) {
                    (false, _) => Ok((column, Fill::Value)),
                    (true, Shape::Json) if name == "value" => Ok((column, Fill::Whole)),
                    (true, _) => Err(options.error_at(
                        "json.unstructured",
                        format!(
                            "with 'json.unstructured' the record as a whole is one column `value` of type JSON, and \
                             there can be none but it and METADATA; take `{name}` out"
                        ),
                    )),
                };
            };
            let key = &metadata.key;
            let fill = Fill::parse(key).ok_or_else(|| {
                options.error(format!(
                    "column `{name}`: there is no metadata '{key}'; there are offset_id, partition, topic, timestamp, \
                     key and headers"
                ))
            })?;
            fill.fits(&column.shape).map_err(|types| {
                options.error(format!(
                    "column `{name}`: the metadata '{key}' needs the type {types}, not {}",
                    sql_type(field)
                ))
            })?;
            Ok((column, fill))
        });
        Ok(Self {
            unstructured: json.unstructured,
            schema: table.schema.clone(),
            columns: columns.collect::<Result<_, _>>()?,
        })
    }

    /// The declared columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Decodes one record. `Err` is the reason why it does not fit.
    pub fn decode(&self, record: &SourceRecord) -> Result<Row, String> {
        let value = record.value.as_deref().ok_or("the record has no value")?;
        let values = if self.unstructured {
            HashMap::new()
        } else {
            fields(value)?
        };
        let cells = self.columns.iter().map(|(column, fill)| {
            let name = column.field.name();
            match fill {
                Fill::Value => column.decode(values.get(name).copied(), name),
                Fill::Whole => text(value).map(|text| Cell::Text(text.to_string())),
                fill => {
                    let cell = metadata(*fill, &column.shape, record)?;
                    if !in_range(&cell, &column.shape) {
                        return Err(format!("column `{name}`: the record's metadata is out of its range"));
                    }
                    if cell == Cell::Null && !column.field.is_nullable() {
                        return Err(format!(
                            "column `{name}` is NOT NULL and the record has no such metadata"
                        ));
                    }
                    Ok(cell)
                }
            }
        });
        cells.collect::<Result<_, _>>().map(Row)
    }

    /// The batch of `rows`.
    ///
    /// # Errors
    /// [`ConnectorError::Internal`]: decoding has checked whatever can be wrong with a row.
    pub fn batch(&self, rows: &[Row]) -> Result<RecordBatch, ConnectorError> {
        let internal = |error| ConnectorError::Internal(format!("decoded rows make no batch: {error}"));
        let arrays = self.columns.iter().enumerate().map(|(i, (column, _))| {
            let cells: Vec<&Cell> = rows.iter().map(|row| &row.0[i]).collect();
            build(column, &cells)
        });
        let arrays = arrays.collect::<Result<Vec<_>, _>>().map_err(internal)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options).map_err(internal)
    }
}

fn metadata(fill: Fill, shape: &Shape, record: &SourceRecord) -> Result<Cell, String> {
    let origin = &record.origin;
    Ok(match fill {
        Fill::Value | Fill::Whole => Cell::Null,
        Fill::Offset => Cell::Integer(origin.offset.into()),
        Fill::Partition => Cell::Integer(origin.partition.into()),
        Fill::Topic => Cell::Text(origin.topic.clone()),
        Fill::Timestamp => origin
            .timestamp_ms
            .map_or(Cell::Null, |ms| Cell::Integer(in_unit(ms, shape))),
        Fill::Key => match (&record.key, shape) {
            (None, _) => Cell::Null,
            (Some(key), Shape::Bytes { .. }) => Cell::Bytes(key.clone()),
            (Some(key), _) => Cell::Text(
                String::from_utf8(key.clone())
                    .map_err(|_| "the key is not UTF-8; declare its column as BYTEA".to_string())?,
            ),
        },
        Fill::Headers => Cell::Text(headers(record).to_string()),
    })
}

fn in_range(cell: &Cell, shape: &Shape) -> bool {
    match (cell, shape) {
        (Cell::Integer(value), Shape::Integer { min, max }) => min <= value && value <= max,
        (Cell::Integer(value), _) => i64::try_from(*value).is_ok(),
        _ => true,
    }
}

/// Milliseconds in the unit of a timestamp column; an integer column keeps milliseconds.
fn in_unit(ms: i64, shape: &Shape) -> i128 {
    let ms = i128::from(ms);
    match shape {
        Shape::Timestamp(TimeUnit::Second) => ms.div_euclid(1000),
        Shape::Timestamp(TimeUnit::Microsecond) => ms * 1000,
        Shape::Timestamp(TimeUnit::Nanosecond) => ms * 1_000_000,
        _ => ms,
    }
}

/// The headers as a JSON object: text values (bytes that are not UTF-8 are replaced), null for a header without a
/// value, and an array where a name repeats.
fn headers(record: &SourceRecord) -> Value {
    let mut object = Map::new();
    for (name, value) in &record.headers {
        let value = value
            .as_ref()
            .map_or(Value::Null, |bytes| String::from_utf8_lossy(bytes).into_owned().into());
        match object.get_mut(name) {
            None => {
                object.insert(name.clone(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(object)
}
