//! SQL values to payload values.
//!
//! | SQL | payload |
//! | --- | --- |
//! | integers, floats, BOOLEAN, TEXT, NULL | the same in JSON; NaN and the infinities as the texts `NaN`, `Infinity`, `-Infinity` |
//! | TIMESTAMP, DATE | RFC 3339 text: `2024-05-01T12:00:00Z` (in UTC), `2024-05-01`: what Qdrant's datetime filters read |
//! | TIME, INTERVAL, DECIMAL | text |
//! | BYTEA | base64 text |
//! | JSON | the value itself, nested |
//! | lists, structs, maps | lists and objects |

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Field, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Number, Value};

use crate::format::is_json;

/// Whether a payload can hold values of `data_type`.
pub(crate) fn is_supported(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(_, _) | DataType::RunEndEncoded(_, _) | DataType::ListView(_) | DataType::LargeListView(_) => {
            false
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            is_supported(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().all(|field| is_supported(field.data_type())),
        DataType::Map(entries, _) => is_supported(entries.data_type()),
        DataType::Dictionary(_, value) => is_supported(value),
        _ => true,
    }
}

/// The columns of a batch that make the payload.
#[derive(Debug, Clone)]
pub(crate) struct PayloadColumns {
    columns: Vec<PayloadColumn>,
}

#[derive(Debug, Clone)]
struct PayloadColumn {
    index: usize,
    name: String,
    json: bool,
}

impl PayloadColumns {
    /// Those columns of `fields` for which `keep` holds.
    pub fn new<'a>(fields: impl Iterator<Item = &'a Field>, keep: impl Fn(&Field) -> bool) -> Self {
        let columns = fields
            .enumerate()
            .filter(|(_, field)| keep(field))
            .map(|(index, field)| PayloadColumn {
                index,
                name: field.name().clone(),
                json: is_json(field),
            })
            .collect();
        Self { columns }
    }

    /// The payload of the row `row`.
    pub fn read(&self, batch: &RecordBatch, row: usize) -> Result<Map<String, Value>, String> {
        self.columns
            .iter()
            .map(|column| {
                let array = batch.column(column.index);
                let value = if column.json || is_json(batch.schema().field(column.index)) {
                    json_value(array, row)
                } else {
                    value(array, row)
                };
                match value {
                    Ok(value) => Ok((column.name.clone(), value)),
                    Err(reason) => Err(format!("column `{}`: {reason}", column.name)),
                }
            })
            .collect()
    }
}

/// The JSON in the row `row` of a text column; other columns as [`value`] gives them.
pub(crate) fn json_value(array: &ArrayRef, row: usize) -> Result<Value, String> {
    match text(array, row) {
        Some(json) => serde_json::from_str(json).map_err(|error| format!("not valid JSON: {error}")),
        None => value(array, row),
    }
}

/// The text in the row `row`; `None` if it is NULL or the column is no text.
pub(crate) fn text(array: &dyn Array, row: usize) -> Option<&str> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Some(array.as_string_view().value(row)),
        _ => None,
    }
}

/// The bytes in the row `row`; `None` if it is NULL or the column holds no bytes.
pub(crate) fn bytes(array: &dyn Array, row: usize) -> Option<&[u8]> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Binary => Some(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => Some(array.as_fixed_size_binary().value(row)),
        _ => None,
    }
}

/// The items of the list in the row `row`; `None` if it is NULL or the column holds no lists.
pub(crate) fn list_items(array: &dyn Array, row: usize) -> Option<ArrayRef> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::List(_) => Some(array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Some(array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(_, _) => Some(array.as_fixed_size_list().value(row)),
        _ => None,
    }
}

/// The value in the row `row` of `array` as JSON.
pub(crate) fn value(array: &ArrayRef, row: usize) -> Result<Value, String> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    if let Some(text) = text(array, row) {
        return Ok(Value::from(text));
    }
    if let Some(bytes) = bytes(array, row) {
        return Ok(Value::from(STANDARD.encode(bytes)));
    }
    if let Some(items) = list_items(array, row) {
        return (0..items.len())
            .map(|item| value(&items, item))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array);
    }
    match array.data_type() {
        DataType::Null => Ok(Value::Null),
        DataType::Boolean => Ok(Value::Bool(array.as_boolean().value(row))),
        DataType::Int8 => Ok(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Ok(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Ok(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Ok(array.as_primitive::<Int64Type>().value(row).into()),
        DataType::UInt8 => Ok(array.as_primitive::<UInt8Type>().value(row).into()),
        DataType::UInt16 => Ok(array.as_primitive::<UInt16Type>().value(row).into()),
        DataType::UInt32 => Ok(array.as_primitive::<UInt32Type>().value(row).into()),
        DataType::UInt64 => Ok(array.as_primitive::<UInt64Type>().value(row).into()),
        DataType::Float16 => Ok(float(array.as_primitive::<Float16Type>().value(row).to_f64())),
        DataType::Float32 => Ok(single(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => Ok(float(array.as_primitive::<Float64Type>().value(row))),
        DataType::Timestamp(unit, _) => timestamp(array, *unit, row),
        DataType::Date32 => date(array.as_primitive::<Date32Type>().value_as_date(row)),
        DataType::Date64 => date(array.as_primitive::<Date64Type>().value_as_date(row)),
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            let entries = fields.iter().zip(columns.columns()).map(|(field, column)| {
                let value = if is_json(field) {
                    json_value(column, row)
                } else {
                    value(column, row)
                };
                value
                    .map(|value| (field.name().clone(), value))
                    .map_err(|reason| format!("`{}`: {reason}", field.name()))
            });
            entries.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let pairs = (0..entries.len()).map(|entry| {
                let key = match value(keys, entry)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                Ok((key, value(values, entry)?))
            });
            pairs.collect::<Result<Map<_, _>, String>>().map(Value::Object)
        }
        DataType::Dictionary(_, values) => {
            let plain = cast(&array.slice(row, 1), values).map_err(|error| error.to_string())?;
            value(&plain, 0)
        }
        _ => formatted(array, row),
    }
}

/// A 32-bit float by its shortest decimal form, so that `0.1` does not become `0.10000000149011612`.
fn single(number: f32) -> Value {
    if number.is_finite() {
        number
            .to_string()
            .parse()
            .map_or_else(|_| float(f64::from(number)), float)
    } else {
        float(f64::from(number))
    }
}

fn float(number: f64) -> Value {
    match Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => Value::from("NaN"),
        None => Value::from(if number > 0.0 { "Infinity" } else { "-Infinity" }),
    }
}

fn timestamp(array: &ArrayRef, unit: TimeUnit, row: usize) -> Result<Value, String> {
    let (count, instant) = match unit {
        TimeUnit::Second => {
            let seconds = array.as_primitive::<TimestampSecondType>().value(row);
            (seconds, DateTime::from_timestamp(seconds, 0))
        }
        TimeUnit::Millisecond => {
            let millis = array.as_primitive::<TimestampMillisecondType>().value(row);
            (millis, DateTime::from_timestamp_millis(millis))
        }
        TimeUnit::Microsecond => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            (micros, DateTime::from_timestamp_micros(micros))
        }
        TimeUnit::Nanosecond => {
            let nanos = array.as_primitive::<TimestampNanosecondType>().value(row);
            (nanos, Some(DateTime::from_timestamp_nanos(nanos)))
        }
    };
    match instant {
        Some(instant) => Ok(Value::from(rfc3339(instant))),
        None => Err(format!("the timestamp {count} is beyond the years that can be written")),
    }
}

fn rfc3339(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn date(date: Option<chrono::NaiveDate>) -> Result<Value, String> {
    date.map(|date| Value::from(date.to_string()))
        .ok_or_else(|| "the date is beyond the years that can be written".to_string())
}

fn formatted(array: &ArrayRef, row: usize) -> Result<Value, String> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array, &options).map_err(|error| error.to_string())?;
    formatter
        .value(row)
        .try_to_string()
        .map(Value::from)
        .map_err(|error| error.to_string())
}
