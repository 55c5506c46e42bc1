//! Types and values as messages show them.

use arrow::datatypes::{DataType, Field};

use super::is_json;

/// The type's name as it is written in SQL.
pub(super) fn sql_type(field: &Field) -> String {
    match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_json(field) => "JSON".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "TINYINT UNSIGNED".into(),
        DataType::UInt16 => "SMALLINT UNSIGNED".into(),
        DataType::UInt32 => "INT UNSIGNED".into(),
        DataType::UInt64 => "BIGINT UNSIGNED".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Timestamp(..) => "TIMESTAMP".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "BYTEA".into()
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::FixedSizeList(item, _) => {
            format!("{}[]", sql_type(item))
        }
        DataType::Struct(_) => "STRUCT".into(),
        other => other.to_string(),
    }
}

/// `json` as an error shows it, cut to a readable length. Of a URL only the scheme is shown: what follows may be a
/// password, or a signature.
pub(super) fn describe(json: &str) -> String {
    const SHOWN: usize = 60;
    let kind = match json.as_bytes().first() {
        Some(b'"') => "the string",
        Some(b'[') => "the array",
        Some(b'{') => "the object",
        Some(b't' | b'f') => "the boolean",
        Some(b'n') => "null",
        _ => "the number",
    };
    if kind == "null" {
        return kind.into();
    }
    let public = scheme_end(json).map_or(json, |end| &json[..end]);
    let mut shown: String = public.chars().take(SHOWN).collect();
    if shown.len() < json.len() {
        shown.push('…');
    }
    format!("{kind} {shown}")
}

/// The end of the first scheme in `json`: `https://`, or a colon where slashes are escaped, or left out.
fn scheme_end(json: &str) -> Option<usize> {
    let bytes = json.as_bytes();
    let colon = (1..bytes.len()).find(|&index| {
        let before_path = matches!(bytes.get(index + 1), Some(b'/' | b'\\'));
        bytes[index] == b':' && (before_path || bytes[index - 1].is_ascii_alphabetic())
    })?;
    let slashes = if json[colon + 1..].starts_with("//") { 2 } else { 0 };
    Some(colon + 1 + slashes)
}
