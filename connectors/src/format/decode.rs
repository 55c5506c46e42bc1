//! One JSON value to one cell of a declared type.

use std::borrow::Cow;
use std::collections::HashMap;

use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use arrow::temporal_conversions::{
    date32_to_datetime, timestamp_ms_to_datetime, timestamp_ns_to_datetime, timestamp_s_to_datetime,
    timestamp_us_to_datetime,
};
use chrono::{NaiveDate, Utc};
use serde_json::value::RawValue;

use super::describe::{describe, sql_type};
use super::{BytesEncoding, bytes, decimal, floats, is_json};

/// A decoded value. Which variants a column holds is decided by its [`Shape`].
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Text(String),
    /// Integers, decimals (unscaled), timestamps (in the column's unit) and dates (days).
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Bytes(Vec<u8>),
    /// The items of a list or the fields of a struct.
    Nested(Vec<Cell>),
    /// The items of a list of FLOAT, where each is a number.
    Floats(Vec<f32>),
}

impl Cell {
    /// What it takes in memory besides itself.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Null | Self::Integer(_) | Self::Float(_) | Self::Boolean(_) => 0,
            Self::Text(text) => text.capacity(),
            Self::Bytes(bytes) => bytes.capacity(),
            Self::Floats(floats) => floats.capacity() * size_of::<f32>(),
            Self::Nested(cells) => {
                cells.capacity() * size_of::<Self>() + cells.iter().map(Self::held_bytes).sum::<usize>()
            }
        }
    }
}

/// How a column's values are read.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Text,
    Json,
    Integer { min: i128, max: i128 },
    Float32,
    Float64,
    Boolean,
    Timestamp(TimeUnit),
    Date,
    Decimal { precision: u8, scale: i8 },
    Bytes { length: Option<usize> },
    List { item: Box<Column>, length: Option<usize> },
    Struct(Vec<Column>),
}

/// A declared column (or a list's item, or a struct's field).
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) field: FieldRef,
    pub(super) shape: Shape,
    bytes: BytesEncoding,
}

impl Column {
    /// `Err` is the name of the type that JSON cannot be read into.
    pub(super) fn new(field: &FieldRef, bytes: BytesEncoding) -> Result<Self, String> {
        let integer = |min: i128, max: i128| Shape::Integer { min, max };
        let list = |item: &FieldRef, length: Option<usize>| -> Result<Shape, String> {
            Ok(Shape::List {
                item: Box::new(Column::new(item, bytes)?),
                length,
            })
        };
        let shape = match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_json(field) => Shape::Json,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Shape::Text,
            DataType::Int8 => integer(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => integer(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => integer(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => integer(i64::MIN.into(), i64::MAX.into()),
            DataType::UInt8 => integer(0, u8::MAX.into()),
            DataType::UInt16 => integer(0, u16::MAX.into()),
            DataType::UInt32 => integer(0, u32::MAX.into()),
            DataType::UInt64 => integer(0, u64::MAX.into()),
            DataType::Float32 => Shape::Float32,
            DataType::Float64 => Shape::Float64,
            DataType::Boolean => Shape::Boolean,
            DataType::Timestamp(unit, _) => Shape::Timestamp(*unit),
            DataType::Date32 => Shape::Date,
            DataType::Decimal128(precision, scale) => Shape::Decimal {
                precision: *precision,
                scale: *scale,
            },
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Shape::Bytes { length: None },
            DataType::FixedSizeBinary(length) => Shape::Bytes {
                length: usize::try_from(*length).ok(),
            },
            DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) => list(item, None)?,
            DataType::FixedSizeList(item, length) => list(item, usize::try_from(*length).ok())?,
            DataType::Struct(fields) => Shape::Struct(
                fields
                    .iter()
                    .map(|field| Column::new(field, bytes))
                    .collect::<Result<_, _>>()?,
            ),
            other => return Err(other.to_string()),
        };
        Ok(Self {
            field: field.clone(),
            shape,
            bytes,
        })
    }

    /// The cell of a value that may be missing. `path` names the column in the error.
    pub(super) fn decode(&self, raw: Option<&RawValue>, path: &str) -> Result<Cell, String> {
        let cell = match raw {
            None => Cell::Null,
            Some(raw) if raw.get() == "null" => Cell::Null,
            Some(raw) => self.decode_present(raw.get(), path)?,
        };
        if cell == Cell::Null && !self.field.is_nullable() {
            let found = if raw.is_some() { "is null" } else { "is missing" };
            return Err(format!("column `{path}` is NOT NULL and {found} in the record"));
        }
        Ok(cell)
    }

    fn decode_present(&self, json: &str, path: &str) -> Result<Cell, String> {
        let mismatch = || {
            format!(
                "column `{path}`: expected {}, found {}",
                sql_type(&self.field),
                describe(json)
            )
        };
        let text = || string(json).ok_or_else(mismatch);
        let number = || number(json).ok_or_else(mismatch);
        match &self.shape {
            Shape::Json => Ok(Cell::Text(compact(json))),
            Shape::Text => Ok(Cell::Text(text()?.into_owned())),
            Shape::Boolean => json.parse().map(Cell::Boolean).map_err(|_| mismatch()),
            Shape::Integer { min, max } => {
                let value = integer(json).ok_or_else(mismatch)?;
                if value < *min || value > *max {
                    return Err(format!("{}, which is out of its range", mismatch()));
                }
                Ok(Cell::Integer(value))
            }
            Shape::Float64 => finite(&number()?).map(Cell::Float).ok_or_else(mismatch),
            Shape::Float32 => {
                // Parsed as f32 at once: by way of f64 a few values would be rounded twice.
                let value: f32 = number()?.parse().map_err(|_| mismatch())?;
                if !value.is_finite() {
                    return Err(format!("{}, which is out of its range", mismatch()));
                }
                Ok(Cell::Float(value.into()))
            }
            Shape::Decimal { precision, scale } => decimal::parse(&number()?, *precision, *scale)
                .map(Cell::Integer)
                .ok_or_else(mismatch),
            Shape::Timestamp(unit) => timestamp(json, *unit)
                .map(|value| Cell::Integer(value.into()))
                .ok_or_else(mismatch),
            Shape::Date => date(json).map(|days| Cell::Integer(days.into())).ok_or_else(mismatch),
            Shape::Bytes { length } => {
                let bytes = bytes::decode(&text()?, self.bytes).ok_or_else(mismatch)?;
                match length {
                    Some(length) if bytes.len() != *length => Err(format!(
                        "column `{path}`: expected {length} bytes, found {}",
                        bytes.len()
                    )),
                    _ => Ok(Cell::Bytes(bytes)),
                }
            }
            Shape::List { item, length } => {
                if matches!(item.shape, Shape::Float32) {
                    let vector = if json.starts_with('"') {
                        let bytes = bytes::decode(&text()?, self.bytes).ok_or_else(mismatch)?;
                        Some(bytes::vector(&bytes).map_err(|reason| format!("column `{path}`: {reason}"))?)
                    } else {
                        floats::parse(json)
                    };
                    if let Some(vector) = vector {
                        check_length(path, *length, vector.len())?;
                        return Ok(Cell::Floats(vector));
                    }
                }
                let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| mismatch())?;
                check_length(path, *length, items.len())?;
                let cells = items.iter().enumerate().map(|(i, raw)| {
                    // The item's own path is made for an error only: lists have thousands of items.
                    let cell = item.decode(Some(raw), path);
                    cell.or_else(|_| item.decode(Some(raw), &format!("{path}[{i}]")))
                });
                Ok(Cell::Nested(cells.collect::<Result<_, _>>()?))
            }
            Shape::Struct(fields) => {
                let values: HashMap<String, &RawValue> = serde_json::from_str(json).map_err(|_| mismatch())?;
                let cells = fields.iter().map(|column| {
                    let name = column.field.name();
                    column.decode(values.get(name).copied(), &format!("{path}.{name}"))
                });
                Ok(Cell::Nested(cells.collect::<Result<_, _>>()?))
            }
        }
    }
}

/// Checks the number of items in a list of a declared `length`.
fn check_length(path: &str, length: Option<usize>, found: usize) -> Result<(), String> {
    match length {
        Some(length) if length != found => Err(format!("column `{path}`: expected {length} items, found {found}")),
        _ => Ok(()),
    }
}

/// A record's text.
pub(super) fn text(value: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(value).map_err(|error| format!("the value is not UTF-8 (at byte {})", error.valid_up_to()))
}

/// Splits a record into its fields, unparsed.
pub(super) fn fields(value: &[u8]) -> Result<HashMap<String, &RawValue>, String> {
    let text = text(value)?;
    // Allowed to be passed over (RFC 8259, section 8.1), and the first bytes of many a file that Windows wrote.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Err("the value is empty".into());
    }
    if let Ok(fields) = serde_json::from_str(text) {
        return Ok(fields);
    }
    // Read again to say what it is instead.
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| format!("the value is not JSON: {error}"))?;
    if !raw.get().starts_with('{') {
        return Err(format!("expected a JSON object, found {}", describe(raw.get())));
    }
    serde_json::from_str(raw.get()).map_err(|error| format!("the value is not JSON: {error}"))
}

/// `json`, valid JSON, without the white space between its parts.
fn compact(json: &str) -> String {
    let (mut within, mut escaped) = (false, false);
    let kept = json.chars().filter(|&character| {
        let kept = within || !character.is_ascii_whitespace();
        within ^= character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        kept
    });
    kept.collect()
}

fn string(json: &str) -> Option<Cow<'_, str>> {
    if !json.starts_with('"') {
        return None;
    }
    serde_json::from_str(json).ok().map(Cow::Owned)
}

/// The digits of a JSON number, or of a string that holds one.
fn number(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(json)),
        b'"' => string(json),
        _ => None,
    }
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// The whole number in `json`. What is behind the point of a number is cut off, as Arroyo does; a string must be digits.
fn integer(json: &str) -> Option<i128> {
    if json.starts_with('"') {
        return string(json)?.parse().ok();
    }
    let text = number(json)?;
    // A float beyond an `i128` becomes the largest or the smallest one, which no column takes.
    text.parse().ok().or_else(|| finite(&text).map(|value| value as i128))
}

fn timestamp(json: &str, unit: TimeUnit) -> Option<i64> {
    if !json.starts_with('"') {
        let value = integer(json).and_then(|value| i64::try_from(value).ok())?;
        return is_instant(value, unit).then_some(value);
    }
    let time = string_to_datetime(&Utc, &string(json)?).ok()?;
    match unit {
        TimeUnit::Second => Some(time.timestamp()),
        TimeUnit::Millisecond => Some(time.timestamp_millis()),
        TimeUnit::Microsecond => Some(time.timestamp_micros()),
        TimeUnit::Nanosecond => time.timestamp_nanos_opt(),
    }
}

fn date(json: &str) -> Option<i32> {
    if !json.starts_with('"') {
        let days = integer(json).and_then(|value| i32::try_from(value).ok())?;
        return date32_to_datetime(days).map(|_| days);
    }
    let date = NaiveDate::parse_from_str(string(json)?.trim(), "%Y-%m-%d").ok()?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// Whether the number names an instant that has a date: the largest name years that nothing can write.
fn is_instant(value: i64, unit: TimeUnit) -> bool {
    let instant = match unit {
        TimeUnit::Second => timestamp_s_to_datetime(value),
        TimeUnit::Millisecond => timestamp_ms_to_datetime(value),
        TimeUnit::Microsecond => timestamp_us_to_datetime(value),
        TimeUnit::Nanosecond => timestamp_ns_to_datetime(value),
    };
    instant.is_some()
}
