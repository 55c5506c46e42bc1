//! The types of declared columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo};
use sightstream_connectors::format::{TYPE_JSON, TYPE_KEY};

/// The field of a column declared as `name sql_type`.
///
/// # Errors
/// A sentence that lists the types, if `sql_type` is none of them.
pub(crate) fn field(name: &str, sql_type: &SqlType, nullable: bool) -> Result<Field, String> {
    let field = Field::new(name, data_type(sql_type)?, nullable);
    Ok(match sql_type {
        // Connectors read and write it as JSON, not as a string.
        SqlType::JSON | SqlType::JSONB => field.with_metadata([(TYPE_KEY.to_string(), TYPE_JSON.to_string())].into()),
        _ => field,
    })
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
        SqlType::BigIntUnsigned(_) => DataType::UInt64,
        SqlType::IntUnsigned(_) | SqlType::IntegerUnsigned(_) => DataType::UInt32,
        SqlType::Float(ExactNumberInfo::None) | SqlType::Real | SqlType::Float4 => DataType::Float32,
        SqlType::Double(_) | SqlType::DoublePrecision | SqlType::Float8 => DataType::Float64,
        SqlType::Timestamp(_, _) | SqlType::Datetime(_) => DataType::Timestamp(TimeUnit::Nanosecond, None),
        SqlType::Date => DataType::Date32,
        SqlType::Bytea | SqlType::Binary(_) | SqlType::Varbinary(_) | SqlType::Bytes(_) => DataType::Binary,
        SqlType::Array(ArrayElemTypeDef::SquareBracket(item, None) | ArrayElemTypeDef::AngleBracket(item)) => {
            DataType::List(Arc::new(Field::new_list_field(data_type(item)?, true)))
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
                 TIMESTAMP, DATE, BYTEA, JSON, STRUCT<…>, or a list of one, such as FLOAT[]"
            ));
        }
    })
}
