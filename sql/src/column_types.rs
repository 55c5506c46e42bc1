//! The types of declared columns: what Arroyo takes, under its names, and some more.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL_DEFAULT_SCALE, DECIMAL128_MAX_PRECISION, DataType, Field, TimeUnit};
use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo};
use sightstream_connectors::format::{TYPE_JSON, TYPE_KEY};

/// The field of a column declared as `name sql_type`.
///
/// # Errors
/// A sentence that lists the types, if `sql_type` is none of them.
pub(crate) fn field(name: &str, sql_type: &SqlType, nullable: bool) -> Result<Field, String> {
    Ok(marked(Field::new(name, data_type(sql_type)?, nullable), sql_type))
}

/// `field`, with the mark of JSON: connectors read and write it as JSON, not as a string.
fn marked(field: Field, sql_type: &SqlType) -> Field {
    match sql_type {
        SqlType::JSON | SqlType::JSONB => field.with_metadata([(TYPE_KEY.to_string(), TYPE_JSON.to_string())].into()),
        _ => field,
    }
}

fn data_type(sql_type: &SqlType) -> Result<DataType, String> {
    Ok(match sql_type {
        SqlType::Text
        | SqlType::String(_)
        | SqlType::Varchar(_)
        | SqlType::Char(_)
        | SqlType::Character(_)
        | SqlType::CharacterVarying(_)
        | SqlType::JSON
        | SqlType::JSONB => DataType::Utf8,
        SqlType::Boolean | SqlType::Bool => DataType::Boolean,
        SqlType::TinyInt(_) => DataType::Int8,
        SqlType::SmallInt(_) | SqlType::Int2(_) => DataType::Int16,
        SqlType::Int(_) | SqlType::Integer(_) | SqlType::Int4(_) => DataType::Int32,
        SqlType::BigInt(_) | SqlType::Int8(_) => DataType::Int64,
        SqlType::TinyIntUnsigned(_) => DataType::UInt8,
        SqlType::SmallIntUnsigned(_) | SqlType::Int2Unsigned(_) => DataType::UInt16,
        SqlType::IntUnsigned(_) | SqlType::IntegerUnsigned(_) | SqlType::UnsignedInteger | SqlType::Int4Unsigned(_) => {
            DataType::UInt32
        }
        SqlType::BigIntUnsigned(_) | SqlType::Int8Unsigned(_) => DataType::UInt64,
        SqlType::Float(_) | SqlType::Real | SqlType::Float4 => DataType::Float32,
        SqlType::Double(_) | SqlType::DoublePrecision | SqlType::Float8 => DataType::Float64,
        SqlType::Numeric(digits) | SqlType::Decimal(digits) => decimal(digits)?,
        SqlType::Timestamp(precision, _) => DataType::Timestamp(unit(*precision)?, None),
        SqlType::Datetime(_) => DataType::Timestamp(TimeUnit::Nanosecond, None),
        SqlType::Date => DataType::Date32,
        SqlType::Bytea | SqlType::Binary(_) | SqlType::Varbinary(_) | SqlType::Bytes(_) => DataType::Binary,
        SqlType::Array(ArrayElemTypeDef::SquareBracket(item, Some(length))) => {
            let length = i32::try_from(*length).map_err(|_| format!("a list cannot have {length} items"))?;
            DataType::FixedSizeList(Arc::new(list_item(item)?), length)
        }
        SqlType::Array(ArrayElemTypeDef::SquareBracket(item, None) | ArrayElemTypeDef::AngleBracket(item)) => {
            DataType::List(Arc::new(list_item(item)?))
        }
        SqlType::Struct(fields, _) => DataType::Struct(
            fields
                .iter()
                .map(|part| {
                    let name = part
                        .field_name
                        .as_ref()
                        .ok_or("a STRUCT's parts need names: STRUCT<width INT>")?;
                    Ok(Field::new(&name.value, data_type(&part.field_type)?, true))
                })
                .collect::<Result<Vec<_>, String>>()?
                .into(),
        ),
        other => {
            return Err(format!(
                "the type {other} is not known here; write one of TEXT, BOOLEAN, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, \
                 DECIMAL, TIMESTAMP, DATE, BYTEA, JSON, STRUCT<…>, or a list of one, such as FLOAT[]"
            ));
        }
    })
}

fn list_item(sql_type: &SqlType) -> Result<Field, String> {
    Ok(marked(Field::new_list_field(data_type(sql_type)?, true), sql_type))
}

/// The unit of a TIMESTAMP of so many digits behind the second; without a number, nanoseconds.
fn unit(precision: Option<u64>) -> Result<TimeUnit, String> {
    match precision {
        Some(0) => Ok(TimeUnit::Second),
        Some(3) => Ok(TimeUnit::Millisecond),
        Some(6) => Ok(TimeUnit::Microsecond),
        Some(9) | None => Ok(TimeUnit::Nanosecond),
        Some(other) => Err(format!(
            "TIMESTAMP({other}) is not known here; write TIMESTAMP(0) for seconds, TIMESTAMP(3) for milliseconds, \
             TIMESTAMP(6) for microseconds, or TIMESTAMP for nanoseconds"
        )),
    }
}

fn decimal(digits: &ExactNumberInfo) -> Result<DataType, String> {
    let (precision, scale) = match *digits {
        ExactNumberInfo::None => (DECIMAL128_MAX_PRECISION, DECIMAL_DEFAULT_SCALE),
        ExactNumberInfo::Precision(precision) => (u8::try_from(precision).unwrap_or(u8::MAX), 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (
            u8::try_from(precision).unwrap_or(u8::MAX),
            i8::try_from(scale).unwrap_or(i8::MAX),
        ),
    };
    if !(1..=DECIMAL128_MAX_PRECISION).contains(&precision) || scale < 0 || scale.unsigned_abs() > precision {
        return Err(format!(
            "DECIMAL has 1 to {DECIMAL128_MAX_PRECISION} digits, and not more behind the point than in all: \
             DECIMAL(10, 2)"
        ));
    }
    Ok(DataType::Decimal128(precision, scale))
}
