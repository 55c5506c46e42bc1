//! Between bytes and typed rows: JSON as Arroyo reads and writes it.
//!
//! Decoding goes by the declared columns. A record that does not fit them is rejected by itself, with a reason that
//! names the column and what was found; a column that the record lacks is NULL; fields that no column names are
//! ignored.
//!
//! | column | JSON |
//! | --- | --- |
//! | TEXT | a string; a number or a boolean is refused, as in Arroyo |
//! | SMALLINT, INT, BIGINT | a number, of which what is behind the point is cut off, or a string of digits |
//! | DECIMAL | a number, or a string that holds one; digits beyond the scale are cut off |
//! | FLOAT, DOUBLE | a number, or a string that holds one; not finite is written as null |
//! | BOOLEAN | true or false |
//! | TIMESTAMP | RFC 3339 (without an offset: UTC), or a number in the column's unit since 1970 (nanoseconds for a plain TIMESTAMP); written in UTC without an offset |
//! | DATE | `2025-01-31`, or a number of days since 1970 |
//! | BYTEA | base64, with or without padding; hexadecimal with `json.bytes_encoding = 'hex'` |
//! | T\[\], STRUCT | an array, an object; FLOAT\[\] also the bytes of a vector, as a BYTEA column has them |
//! | JSON | any value, as its text without white space |
//!
//! BYTEA is never guessed at: hexadecimal digits are valid base64 too. Arroyo wrote hexadecimal until October 2025 and
//! base64 since.

mod bytes;
mod columns;
mod conform;
mod decimal;
mod decode;
mod describe;
mod encode;
mod floats;
mod record;

pub use conform::{Conformed, conform};
pub use encode::{Decimals, JsonEncoder, Timestamps};
pub use record::{RecordDecoder, Row};

use arrow::datatypes::Field;

use crate::{ConnectorError, Options};

/// The key of a field's metadata that marks a TEXT column as JSON: its values are JSON texts, read from and written to
/// a record in place instead of as a string.
pub const TYPE_KEY: &str = "sightstream.type";

/// The value of [`TYPE_KEY`] for JSON columns.
pub const TYPE_JSON: &str = "json";

/// Whether `field` is a JSON column.
pub fn is_json(field: &Field) -> bool {
    field.metadata().get(TYPE_KEY).is_some_and(|kind| kind == TYPE_JSON)
}

/// How bytes stand in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BytesEncoding {
    /// Standard base64 (RFC 4648); padding is written and not asked for.
    #[default]
    Base64,
    /// Hexadecimal digits, as Arroyo wrote them until October 2025.
    Hex,
}

/// What a table says about its JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JsonOptions {
    /// `json.bytes_encoding`: `base64` (default) or `hex`.
    pub bytes: BytesEncoding,
    /// `json.timestamp_format`, for sinks: `rfc3339` (default) or `unix_millis`.
    pub timestamps: Timestamps,
    /// `json.decimal_encoding`, for sinks: `number` (default), `string` or `bytes`.
    pub decimals: Decimals,
    /// `json.unstructured`, for sources: the record as a whole is the value of the one column `value`.
    pub unstructured: bool,
}

impl JsonOptions {
    /// Takes the `json.*` options.
    pub(crate) fn take(options: &mut Options) -> Result<Self, ConnectorError> {
        let bytes = match options.take("json.bytes_encoding").as_deref() {
            None | Some("base64") => BytesEncoding::Base64,
            Some("hex") => BytesEncoding::Hex,
            Some(other) => {
                return Err(options.error_at(
                    "json.bytes_encoding",
                    format!("'json.bytes_encoding' is 'base64' or 'hex' and cannot be '{other}'"),
                ));
            }
        };
        let timestamps = match options.take("json.timestamp_format").as_deref() {
            None | Some("rfc3339" | "RFC3339") => Timestamps::Rfc3339,
            Some("unix_millis" | "UnixMillis") => Timestamps::UnixMillis,
            Some(other) => {
                return Err(options.error_at(
                    "json.timestamp_format",
                    format!("'json.timestamp_format' is 'rfc3339' or 'unix_millis' and cannot be '{other}'"),
                ));
            }
        };
        let decimals = match options.take("json.decimal_encoding").as_deref() {
            None | Some("number") => Decimals::Number,
            Some("string") => Decimals::String,
            Some("bytes") => Decimals::Bytes,
            Some(other) => {
                return Err(options.error_at(
                    "json.decimal_encoding",
                    format!("'json.decimal_encoding' is 'number', 'string' or 'bytes' and cannot be '{other}'"),
                ));
            }
        };
        let unstructured = match options.take("json.unstructured").as_deref() {
            None | Some("false" | "no") => false,
            Some("true" | "yes") => true,
            Some(other) => {
                return Err(options.error_at(
                    "json.unstructured",
                    format!("'json.unstructured' is 'true' or 'false' and cannot be '{other}'"),
                ));
            }
        };
        Ok(Self {
            bytes,
            timestamps,
            decimals,
            unstructured,
        })
    }
}

/// What happens to a record that cannot be decoded: the option `bad_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadData {
    /// `dead_letter` (default): it is handed over as rejected.
    DeadLetter,
    /// `drop`: it is counted, logged and skipped.
    Drop,
    /// `fail`: the source fails there.
    Fail,
}

impl BadData {
    pub(crate) fn take(options: &mut Options) -> Result<Self, ConnectorError> {
        match options.take("bad_data").as_deref() {
            None | Some("dead_letter") => Ok(Self::DeadLetter),
            Some("drop") => Ok(Self::Drop),
            Some("fail") => Ok(Self::Fail),
            Some(other) => Err(options.error_at(
                "bad_data",
                format!("'bad_data' is 'dead_letter', 'drop' or 'fail' and cannot be '{other}'"),
            )),
        }
    }
}

/// Takes the option `format`, which must be one of `allowed`.
pub(crate) fn take_format(options: &mut Options, allowed: &[&'static str]) -> Result<&'static str, ConnectorError> {
    let given = options.require("format")?;
    allowed.iter().find(|name| **name == given).copied().ok_or_else(|| {
        options.error_at(
            "format",
            format!(
                "the option 'format' cannot be '{given}' here; it can be '{}'",
                allowed.join("' or '")
            ),
        )
    })
}
