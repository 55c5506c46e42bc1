//! A row before a parser looks at it: what JSON and Parquet have in common.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// Bytes, which JSON does not have.
    Bytes(Arc<[u8]>),
    /// Several.
    List(Vec<Value>),
    /// Named ones, in order.
    Record(Vec<(String, Value)>),
}

impl Value {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Record(_) => "an object",
        }
    }

    /// Whether there is nothing.
    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// A field of a record; what is absent is null.
    pub fn get(&self, name: &str) -> &Value {
        static NULL: Value = Value::Null;
        match self {
            Self::Record(fields) => fields
                .iter()
                .find(|(field, _)| field == name)
                .map_or(&NULL, |(_, value)| value),
            _ => &NULL,
        }
    }

    /// A text, or `None` where there is nothing or no character.
    ///
    /// # Errors
    /// Any other value: `name` is the field, for the message.
    pub fn text(&self, name: &str) -> Result<Option<&str>, String> {
        match self {
            Self::Null => Ok(None),
            Self::Text(text) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            other => Err(format!("`{name}` is {}; it should be text", other.kind())),
        }
    }

    /// A value of one line of JSON.
    pub fn from_json(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(bool) => Self::Bool(bool),
            serde_json::Value::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Array(values) => Self::List(values.into_iter().map(Self::from_json).collect()),
            serde_json::Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name, Self::from_json(value)));
                Self::Record(fields.collect())
            }
        }
    }

    /// A value of a column.
    ///
    /// # Errors
    /// A type that no parser reads: the message names it.
    pub fn from_arrow(column: &dyn Array, row: usize) -> Result<Self, String> {
        if column.is_null(row) {
            return Ok(Self::Null);
        }
        let text = |text: &str| Ok(Self::Text(text.to_owned()));
        let bytes = |bytes: &[u8]| Ok(Self::Bytes(bytes.into()));
        match column.data_type() {
            DataType::Null => Ok(Self::Null),
            DataType::Boolean => Ok(Self::Bool(column.as_boolean().value(row))),
            DataType::Utf8 => text(column.as_string::<i32>().value(row)),
            DataType::LargeUtf8 => text(column.as_string::<i64>().value(row)),
            DataType::Utf8View => text(column.as_string_view().value(row)),
            DataType::Binary => bytes(column.as_binary::<i32>().value(row)),
            DataType::LargeBinary => bytes(column.as_binary::<i64>().value(row)),
            DataType::BinaryView => bytes(column.as_binary_view().value(row)),
            DataType::FixedSizeBinary(_) => bytes(column.as_fixed_size_binary().value(row)),
            DataType::List(_) => Self::list(&*column.as_list::<i32>().value(row)),
            DataType::LargeList(_) => Self::list(&*column.as_list::<i64>().value(row)),
            DataType::FixedSizeList(..) => Self::list(&*column.as_fixed_size_list().value(row)),
            DataType::Struct(fields) => {
                let columns = column.as_struct().columns();
                let values = fields.iter().zip(columns);
                let record = values.map(|(field, column)| Ok((field.name().clone(), Self::from_arrow(column, row)?)));
                Ok(Self::Record(record.collect::<Result<_, String>>()?))
            }
            DataType::Dictionary(_, values) => {
                let plain = cast(&*column.slice(row, 1), values).map_err(|error| error.to_string())?;
                Self::from_arrow(&plain, 0)
            }
            kind if kind.is_numeric() => {
                let number = cast(&*column.slice(row, 1), &DataType::Float64).map_err(|error| error.to_string())?;
                Ok(Self::Number(number.as_primitive::<Float64Type>().value(0)))
            }
            kind => Err(format!("it has the type {kind}, which no dataset here has")),
        }
    }

    fn list(values: &dyn Array) -> Result<Self, String> {
        let values = (0..values.len()).map(|row| Self::from_arrow(values, row));
        Ok(Self::List(values.collect::<Result<_, _>>()?))
    }
}
