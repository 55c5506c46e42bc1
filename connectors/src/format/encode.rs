//! Rows to JSON objects.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, RecordBatch, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::writer::{NullableEncoder, make_encoder};
use arrow::json::{Encoder, EncoderFactory, EncoderOptions};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::value::RawValue;

use super::{BytesEncoding, JsonOptions, is_json};
use crate::ConnectorError;

/// RFC 3339 without an offset, as Arroyo writes it: a timestamp without a time zone is UTC.
const TIMESTAMP_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.f";

/// Milliseconds in a day.
const DAY: i64 = 86_400_000;

/// How timestamps are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Timestamps {
    /// `2025-01-31T12:00:00.500`, and `2025-01-31` for a date.
    #[default]
    Rfc3339,
    /// Milliseconds since 1970, for dates too.
    UnixMillis,
}

/// How decimals are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Decimals {
    /// `12.50`, a number.
    #[default]
    Number,
    /// `"12.50"`.
    String,
    /// Base64 of the unscaled value: 16 bytes, two's complement, the highest first.
    Bytes,
}

/// Writes rows as JSON objects with every column, NULL as null.
#[derive(Debug, Clone)]
pub struct JsonEncoder {
    options: EncoderOptions,
}

impl JsonEncoder {
    /// An encoder that writes as `options` say.
    pub fn new(options: JsonOptions) -> Self {
        let options = EncoderOptions::default()
            .with_explicit_nulls(true)
            .with_timestamp_format(TIMESTAMP_FORMAT.into())
            .with_encoder_factory(Arc::new(Factory(options)));
        Self { options }
    }

    /// One JSON object for each row of `batch`, on one line and without a line end.
    ///
    /// # Errors
    /// [`ConnectorError::Internal`] for a column type that JSON has no place for.
    pub fn encode(&self, batch: &RecordBatch) -> Result<Vec<Vec<u8>>, ConnectorError> {
        let field: FieldRef = Arc::new(Field::new_struct("", batch.schema().fields().clone(), false));
        let rows = StructArray::from(batch.clone());
        let mut encoder = make_encoder(&field, &rows, &self.options)
            .map_err(|error| ConnectorError::Internal(format!("rows cannot be written as JSON: {error}")))?;
        Ok((0..rows.len())
            .map(|row| {
                let mut json = Vec::new();
                encoder.encode(row, &mut json);
                json
            })
            .collect())
    }
}

/// Bytes, JSON columns, timestamps and decimals, which Arrow's encoders write in other ways.
#[derive(Debug)]
struct Factory(JsonOptions);

impl EncoderFactory for Factory {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder> = match array.data_type() {
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                // The slice is the array behind an Arc: no bytes are copied for a Binary column.
                let bytes = cast(&array.slice(0, array.len()), &DataType::LargeBinary)?;
                Box::new(Bytes {
                    bytes,
                    encoding: self.0.bytes,
                })
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_json(field) => {
                Box::new(InlineJson(cast(&array.slice(0, array.len()), &DataType::LargeUtf8)?))
            }
            DataType::Timestamp(..) if self.0.timestamps == Timestamps::UnixMillis => {
                let millis = cast(
                    &array.slice(0, array.len()),
                    &DataType::Timestamp(TimeUnit::Millisecond, None),
                )?;
                Box::new(Integers {
                    values: cast(&millis, &DataType::Int64)?,
                    factor: 1,
                })
            }
            DataType::Date32 if self.0.timestamps == Timestamps::UnixMillis => {
                let days = cast(&array.slice(0, array.len()), &DataType::Int32)?;
                Box::new(Integers {
                    values: cast(&days, &DataType::Int64)?,
                    factor: DAY,
                })
            }
            DataType::Decimal128(..) if self.0.decimals != Decimals::Number => Box::new(Decimal {
                values: array.as_primitive::<Decimal128Type>().clone(),
                encoding: self.0.decimals,
            }),
            // Nanoseconds do not reach beyond the year 2262.
            DataType::Date32
            | DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond, None) => {
                let texts = calendar(array)?;
                let is_written = |row: usize| array.is_null(row) || texts[row].is_some();
                if (0..array.len()).all(is_written) {
                    return Ok(None);
                }
                let width = if *array.data_type() == DataType::Date32 {
                    DataType::Int32
                } else {
                    DataType::Int64
                };
                let numbers = cast(&cast(&array.slice(0, array.len()), &width)?, &DataType::Int64)?;
                Box::new(BeyondCalendar { texts, numbers })
            }
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct Bytes {
    bytes: ArrayRef,
    encoding: BytesEncoding,
}

impl Encoder for Bytes {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let bytes = self.bytes.as_binary::<i64>().value(row);
        out.push(b'"');
        match self.encoding {
            BytesEncoding::Base64 => out.extend_from_slice(BASE64_STANDARD.encode(bytes).as_bytes()),
            BytesEncoding::Hex => out.extend(bytes.iter().flat_map(|byte| {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
            })),
        }
        out.push(b'"');
    }
}

/// JSON texts in place. A text that is not JSON is written as a string, so that the record stays readable.
struct InlineJson(ArrayRef);

impl Encoder for InlineJson {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let text = self.0.as_string::<i64>().value(row);
        let compact = match serde_json::from_str::<&RawValue>(text) {
            // A record is one line.
            Ok(raw) if raw.get().contains(['\n', '\r']) => {
                serde_json::from_str::<serde_json::Value>(text).map(|value| value.to_string())
            }
            Ok(raw) => Ok(raw.get().to_string()),
            Err(error) => Err(error),
        };
        let json = compact.unwrap_or_else(|_| serde_json::Value::from(text).to_string());
        out.extend_from_slice(json.as_bytes());
    }
}

/// Dates or timestamps of which some are beyond the years that RFC 3339 can name: those are written as the numbers that they
/// are, which are read back as the same. Arrow would write a text that says so.
struct BeyondCalendar {
    texts: Vec<Option<String>>,
    numbers: ArrayRef,
}

impl Encoder for BeyondCalendar {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let number = || self.numbers.as_primitive::<Int64Type>().value(row).to_string();
        let written = self.texts[row]
            .as_ref()
            .map_or_else(number, |text| format!("\"{text}\""));
        out.extend_from_slice(written.as_bytes());
    }
}

/// Each date or timestamp of `array` as text, where there is one for it: RFC 3339 has the years 0 to 9999.
fn calendar(array: &dyn Array) -> Result<Vec<Option<String>>, ArrowError> {
    let options = FormatOptions::new()
        .with_display_error(false)
        .with_timestamp_format(Some(TIMESTAMP_FORMAT));
    let formatter = ArrayFormatter::try_new(array, &options)?;
    Ok((0..array.len())
        .map(|row| formatter.value(row).try_to_string().ok())
        // Other years have a sign.
        .map(|text| text.filter(|text| text.starts_with(|first: char| first.is_ascii_digit())))
        .collect())
}

/// Numbers of 64 bits, each times a factor.
struct Integers {
    values: ArrayRef,
    factor: i64,
}

impl Encoder for Integers {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        // Days are of 32 bits: their milliseconds fit.
        let value = self.values.as_primitive::<Int64Type>().value(row) * self.factor;
        out.extend_from_slice(value.to_string().as_bytes());
    }
}

struct Decimal {
    values: Decimal128Array,
    encoding: Decimals,
}

impl Encoder for Decimal {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let text = match self.encoding {
            Decimals::Bytes => BASE64_STANDARD.encode(self.values.value(row).to_be_bytes()),
            Decimals::String | Decimals::Number => self.values.value_as_string(row),
        };
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
}
