//! Rows to points.
//!
//! The column `id` is the point's id, `vector` its vector, and the other columns its payload. A row whose id is a text
//! that Qdrant cannot hold keeps the text in the payload, under `id`.
//!
//! A table whose columns are `collection_name`, `id`, `vector` and `payload` (JSON, or a struct) takes the records that
//! people send to the Kafka Connect sink qdrant-kafka: the payload's entries are the payload, and `collection_name`
//! names the collection unless the table's options do.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Int64Type, Schema, UInt64Type};
use serde_json::{Map, Value};

use super::ids::PointId;
use super::payload::{self, PayloadColumns};
use crate::format::is_json;

/// A point's vectors.
#[derive(Debug, Clone, PartialEq)]
pub enum Vectors {
    /// The one vector of a collection that has one.
    Unnamed(Vec<f32>),
    /// Vectors by name.
    Named(BTreeMap<String, Vec<f32>>),
}

impl Vectors {
    /// The vectors with their names; the unnamed one has the empty name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f32])> {
        let (unnamed, named) = match self {
            Self::Unnamed(values) => (Some(("", values.as_slice())), None),
            Self::Named(vectors) => (None, Some(vectors)),
        };
        let named = named
            .into_iter()
            .flatten()
            .map(|(name, values)| (name.as_str(), values.as_slice()));
        unnamed.into_iter().chain(named)
    }
}

/// A point to be written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    /// Its id.
    pub id: PointId,
    /// Its vectors: not empty, and every number finite.
    pub vectors: Vectors,
    /// Its payload.
    pub payload: Map<String, Value>,
}

/// A row as a point.
#[derive(Debug, PartialEq)]
pub(crate) struct RowPoint {
    /// The collection that the row itself names.
    pub collection: Option<String>,
    /// The point.
    pub point: Point,
}

/// Reads the rows of one table.
#[derive(Debug, Clone)]
pub(crate) struct PointReader {
    id: usize,
    key: KeyKind,
    vector: usize,
    payload: PayloadSource,
}

/// What a record's key is read as, where it names a point.
#[derive(Debug, Clone, Copy)]
enum KeyKind {
    Text,
    Signed,
    Unsigned,
}

#[derive(Debug, Clone)]
enum PayloadSource {
    /// All columns but `id` and `vector`.
    Columns(PayloadColumns),
    /// The records of qdrant-kafka.
    Record { collection: usize, payload: usize },
}

impl PointReader {
    /// A reader for tables of these columns; the error says what is wrong with them.
    pub fn new(schema: &Schema) -> Result<Self, String> {
        let id = position(schema, "id").ok_or("a Qdrant table needs a column `id`: TEXT or BIGINT")?;
        let vector = position(schema, "vector").ok_or("a Qdrant table needs a column `vector`: FLOAT[]")?;
        let id_type = schema.field(id).data_type();
        if !is_text(id_type) && !id_type.is_integer() {
            return Err(format!(
                "the column `id` is {id_type}, and a point's id is TEXT or BIGINT"
            ));
        }
        let key = if is_text(id_type) {
            KeyKind::Text
        } else if id_type.is_unsigned_integer() {
            KeyKind::Unsigned
        } else {
            KeyKind::Signed
        };
        let vector_type = schema.field(vector).data_type();
        if !is_vector(vector_type) {
            return Err(format!(
                "the column `vector` is {vector_type}, and a vector is FLOAT[], BYTEA or JSON"
            ));
        }
        if let Some((collection, payload)) = record_columns(schema) {
            return Ok(Self {
                id,
                key,
                vector,
                payload: PayloadSource::Record { collection, payload },
            });
        }
        let others = || {
            schema
                .fields()
                .iter()
                .filter(|field| !matches!(field.name().as_str(), "id" | "vector"))
        };
        if let Some(field) = others().find(|field| !payload::is_supported(field.data_type())) {
            return Err(format!(
                "the column `{}` is {}, which a payload cannot hold",
                field.name(),
                field.data_type()
            ));
        }
        let fields = schema.fields().iter().map(AsRef::as_ref);
        let columns = PayloadColumns::new(fields, |field| !matches!(field.name().as_str(), "id" | "vector"));
        Ok(Self {
            id,
            key,
            vector,
            payload: PayloadSource::Columns(columns),
        })
    }

    /// Whether the rows name their collections.
    pub fn rows_name_collections(&self) -> bool {
        matches!(self.payload, PayloadSource::Record { .. })
    }

    /// The index of the column of the ids.
    pub fn id_column(&self) -> usize {
        self.id
    }

    /// The id of the point that a tombstone's key names: the UTF-8 text of a text id, the digits of a number. The error is
    /// the reason why it names none.
    pub fn id_of_key(&self, key: Option<&[u8]>) -> Result<PointId, String> {
        let key = key.ok_or("the tombstone has no key, so it names no point")?;
        let text = std::str::from_utf8(key)
            .map_err(|_| "the tombstone's key is not UTF-8, so it names no point".to_string())?;
        let number = |expected| {
            let shown: String = text.chars().take(40).collect();
            format!("the tombstone's key '{shown}' is not {expected}, as the ids of the table are")
        };
        match self.key {
            KeyKind::Text => Ok(PointId::from_text(text)),
            KeyKind::Signed => text
                .parse()
                .map(PointId::from_signed)
                .map_err(|_| number("a whole number of 64 bits")),
            KeyKind::Unsigned => text
                .parse()
                .map(PointId::Number)
                .map_err(|_| number("a whole number from 0 up")),
        }
    }

    /// The row `row` as a point; the error is the reason why it can be none.
    pub fn read(&self, batch: &RecordBatch, row: usize) -> Result<RowPoint, String> {
        let json_id = is_json(batch.schema_ref().field(self.id));
        let (id, id_text) = read_id(batch.column(self.id), row, json_id)?;
        let vectors = read_vectors(batch.column(self.vector), row)?;
        let (collection, mut payload) = match &self.payload {
            PayloadSource::Columns(columns) => (None, columns.read(batch, row)?),
            PayloadSource::Record { collection, payload } => {
                let name = payload::text(batch.column(*collection), row).map(str::to_string);
                (name, read_record_payload(batch.column(*payload), row)?)
            }
        };
        if let Some(text) = id_text.filter(|text| *text != id.to_string()) {
            payload.insert("id".to_string(), Value::String(text));
        }
        Ok(RowPoint {
            collection,
            point: Point { id, vectors, payload },
        })
    }
}

fn position(schema: &Schema, name: &str) -> Option<usize> {
    schema.fields().iter().position(|field| field.name() == name)
}

fn record_columns(schema: &Schema) -> Option<(usize, usize)> {
    let (collection, payload) = (position(schema, "collection_name")?, position(schema, "payload")?);
    let field = schema.field(payload);
    let holds_entries = is_json(field) || matches!(field.data_type(), DataType::Struct(_) | DataType::Map(_, _));
    (schema.fields().len() == 4 && is_text(schema.field(collection).data_type()) && holds_entries)
        .then_some((collection, payload))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_vector(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            item.data_type().is_numeric()
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => true,
        other => is_text(other),
    }
}

/// The id, and its text where the column is one or the number is negative.
fn read_id(array: &ArrayRef, row: usize, json: bool) -> Result<(PointId, Option<String>), String> {
    if array.is_null(row) {
        return Err("the id is NULL".to_string());
    }
    if let Some(text) = payload::text(array, row) {
        let text = if json { json_id_text(text)? } else { text.to_string() };
        return Ok((PointId::from_text(&text), Some(text)));
    }
    if array.data_type().is_unsigned_integer() {
        let numbers = cast(&array.slice(row, 1), &DataType::UInt64).map_err(|error| error.to_string())?;
        return Ok((PointId::Number(numbers.as_primitive::<UInt64Type>().value(0)), None));
    }
    let numbers = cast(&array.slice(row, 1), &DataType::Int64).map_err(|error| error.to_string())?;
    let number = numbers.as_primitive::<Int64Type>().value(0);
    Ok((PointId::from_signed(number), (number < 0).then(|| number.to_string())))
}

/// The text of an id that is written as JSON: of a string its content, of a number its digits.
fn json_id_text(json: &str) -> Result<String, String> {
    match serde_json::from_str(json) {
        Ok(Value::String(text)) => Ok(text),
        Ok(Value::Number(number)) => Ok(number.to_string()),
        Ok(Value::Null) => Err("the id is null".to_string()),
        Ok(other) => Err(format!("the id is neither a text nor a number: {other}")),
        Err(error) => Err(format!("the id is not valid JSON: {error}")),
    }
}

fn read_vectors(array: &ArrayRef, row: usize) -> Result<Vectors, String> {
    if array.is_null(row) {
        return Err("the vector is NULL".to_string());
    }
    let vectors = if let Some(items) = payload::list_items(array, row) {
        let numbers = cast(&items, &DataType::Float32).map_err(|error| format!("the vector: {error}"))?;
        if numbers.null_count() > items.null_count() {
            return Err("the vector holds a number that is too large".to_string());
        }
        if numbers.null_count() > 0 {
            return Err("the vector holds a NULL".to_string());
        }
        Vectors::Unnamed(numbers.as_primitive::<Float32Type>().values().to_vec())
    } else if let Some(bytes) = payload::bytes(array, row) {
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(format!(
                "the vector has {} bytes, which is no whole number of 4-byte floats",
                bytes.len()
            ));
        }
        Vectors::Unnamed(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
    } else if let Some(text) = payload::text(array, row) {
        json_vectors(serde_json::from_str(text).map_err(|error| format!("the vector is not valid JSON: {error}"))?)?
    } else {
        return Err(format!("the vector is {}, which is none", array.data_type()));
    };
    check_numbers(&vectors)?;
    Ok(vectors)
}

fn check_numbers(vectors: &Vectors) -> Result<(), String> {
    if matches!(vectors, Vectors::Named(named) if named.is_empty()) {
        return Err("the vector is empty".to_string());
    }
    for (name, values) in vectors.iter() {
        let label = if name.is_empty() {
            "the vector".to_string()
        } else {
            format!("the vector `{name}`")
        };
        if values.is_empty() {
            return Err(format!("{label} is empty"));
        }
        if let Some(place) = values.iter().position(|number| !number.is_finite()) {
            return Err(format!("{label} holds {} at position {place}", values[place]));
        }
    }
    Ok(())
}

fn json_vectors(json: Value) -> Result<Vectors, String> {
    match json {
        Value::Array(items) => Ok(Vectors::Unnamed(json_numbers("the vector", items)?)),
        Value::Object(entries) => {
            let named = entries.into_iter().map(|(name, value)| match value {
                Value::Array(items) => {
                    json_numbers(&format!("the vector `{name}`"), items).map(|values| (name, values))
                }
                Value::Object(_) => Err(format!(
                    "the vector `{name}` is sparse; only lists of numbers can be written"
                )),
                _ => Err(format!("the vector `{name}` is no list of numbers")),
            });
            Ok(Vectors::Named(named.collect::<Result<_, _>>()?))
        }
        Value::Null => Err("the vector is null".to_string()),
        _ => Err("the vector is no list of numbers".to_string()),
    }
}

fn json_numbers(label: &str, items: Vec<Value>) -> Result<Vec<f32>, String> {
    items
        .iter()
        .map(|item| match item {
            Value::Number(number) => number
                .as_f64()
                .map(|number| number as f32)
                .ok_or_else(|| format!("{label} holds {number}")),
            Value::Array(_) => Err(format!(
                "{label} is a list of vectors; only lists of numbers can be written"
            )),
            other => Err(format!("{label} holds {other}, which is no number")),
        })
        .collect()
}

fn read_record_payload(array: &ArrayRef, row: usize) -> Result<Map<String, Value>, String> {
    match payload::json_value(array, row).map_err(|reason| format!("column `payload`: {reason}"))? {
        Value::Object(entries) => Ok(entries),
        Value::Null => Ok(Map::new()),
        other => Err(format!("column `payload`: an object is needed, and this is {other}")),
    }
}
