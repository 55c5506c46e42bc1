//! Cells to arrays of the declared types.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Array, Decimal128Array, Float32Array, Float32Builder,
    Float64Builder, ListArray, StringBuilder, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::array::{Int8Array, Int16Array, Int32Array, Int64Array, UInt8Array, UInt16Array, UInt32Array, UInt64Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;

use super::decode::{Cell, Column, Shape};

/// The array of `cells`, of the type that `column` declares.
pub(super) fn build(column: &Column, cells: &[&Cell]) -> Result<ArrayRef, ArrowError> {
    let array: ArrayRef = match &column.shape {
        Shape::Text | Shape::Json => {
            let mut builder = StringBuilder::new();
            cells.iter().for_each(|cell| builder.append_option(text(cell)));
            Arc::new(builder.finish())
        }
        Shape::Boolean => {
            let mut builder = BooleanBuilder::new();
            cells.iter().for_each(|cell| builder.append_option(boolean(cell)));
            Arc::new(builder.finish())
        }
        Shape::Float32 => {
            let mut builder = Float32Builder::new();
            // The cell came from an f32, so nothing is rounded here.
            cells
                .iter()
                .for_each(|cell| builder.append_option(float(cell).map(|value| value as f32)));
            Arc::new(builder.finish())
        }
        Shape::Float64 => {
            let mut builder = Float64Builder::new();
            cells.iter().for_each(|cell| builder.append_option(float(cell)));
            Arc::new(builder.finish())
        }
        Shape::Bytes { .. } => {
            let mut builder = BinaryBuilder::new();
            cells.iter().for_each(|cell| builder.append_option(bytes(cell)));
            Arc::new(builder.finish())
        }
        Shape::Integer { .. } => integers(column.field.data_type(), cells)?,
        Shape::Date => Arc::new(Date32Array::from_iter(narrow::<i32>(cells)?)),
        Shape::Decimal { precision, scale } => {
            let array = Decimal128Array::from_iter(cells.iter().map(|cell| integer(cell)));
            Arc::new(array.with_precision_and_scale(*precision, *scale)?)
        }
        Shape::Timestamp(unit) => {
            let values = narrow::<i64>(cells)?;
            match unit {
                TimeUnit::Second => Arc::new(TimestampSecondArray::from_iter(values)),
                TimeUnit::Millisecond => Arc::new(TimestampMillisecondArray::from_iter(values)),
                TimeUnit::Microsecond => Arc::new(TimestampMicrosecondArray::from_iter(values)),
                TimeUnit::Nanosecond => Arc::new(TimestampNanosecondArray::from_iter(values)),
            }
        }
        Shape::List { item, .. } if cells.iter().any(|cell| matches!(cell, Cell::Floats(_))) => {
            float_lists(column, item, cells)?
        }
        Shape::List { item, .. } => {
            let lengths = cells.iter().map(|cell| nested(cell).map_or(0, <[Cell]>::len));
            let items: Vec<&Cell> = cells.iter().filter_map(|cell| nested(cell)).flatten().collect();
            let values = build(item, &items)?;
            Arc::new(ListArray::try_new(
                item.field.clone(),
                OffsetBuffer::from_lengths(lengths),
                values,
                Some(validity(cells)),
            )?)
        }
        Shape::Struct(fields) => {
            let arrays = fields.iter().enumerate().map(|(i, field)| {
                let values: Vec<&Cell> = cells
                    .iter()
                    .map(|cell| nested(cell).map_or(&Cell::Null, |values| &values[i]))
                    .collect();
                build(field, &values)
            });
            let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
            let declared = fields.iter().map(|field| field.field.clone()).collect();
            Arc::new(StructArray::try_new_with_length(
                declared,
                arrays,
                Some(validity(cells)),
                cells.len(),
            )?)
        }
    };
    if array.data_type() == column.field.data_type() {
        return Ok(array);
    }
    cast_with_options(
        &array,
        column.field.data_type(),
        &CastOptions {
            safe: false,
            ..Default::default()
        },
    )
}

/// Lists of FLOAT, most of them plain numbers.
fn float_lists(column: &Column, item: &Column, cells: &[&Cell]) -> Result<ArrayRef, ArrowError> {
    if cells.iter().any(|cell| matches!(cell, Cell::Nested(_))) {
        let as_cells = |floats: &[f32]| floats.iter().map(|&value| Cell::Float(value.into())).collect();
        let nested: Vec<Cell> = cells
            .iter()
            .map(|cell| floats(cell).map_or_else(|| Cell::clone(cell), |floats| Cell::Nested(as_cells(floats))))
            .collect();
        return build(column, &nested.iter().collect::<Vec<_>>());
    }
    let lists = || cells.iter().map(|cell| floats(cell).unwrap_or_default());
    let mut values = Vec::with_capacity(lists().map(<[f32]>::len).sum());
    lists().for_each(|list| values.extend_from_slice(list));
    Ok(Arc::new(ListArray::try_new(
        item.field.clone(),
        OffsetBuffer::from_lengths(lists().map(<[f32]>::len)),
        Arc::new(Float32Array::from(values)),
        Some(validity(cells)),
    )?))
}

fn integers(data_type: &DataType, cells: &[&Cell]) -> Result<ArrayRef, ArrowError> {
    Ok(match data_type {
        DataType::Int8 => Arc::new(Int8Array::from_iter(narrow::<i8>(cells)?)),
        DataType::Int16 => Arc::new(Int16Array::from_iter(narrow::<i16>(cells)?)),
        DataType::Int32 => Arc::new(Int32Array::from_iter(narrow::<i32>(cells)?)),
        DataType::UInt8 => Arc::new(UInt8Array::from_iter(narrow::<u8>(cells)?)),
        DataType::UInt16 => Arc::new(UInt16Array::from_iter(narrow::<u16>(cells)?)),
        DataType::UInt32 => Arc::new(UInt32Array::from_iter(narrow::<u32>(cells)?)),
        DataType::UInt64 => Arc::new(UInt64Array::from_iter(narrow::<u64>(cells)?)),
        _ => Arc::new(Int64Array::from_iter(narrow::<i64>(cells)?)),
    })
}

/// The cells as the narrower integers that decoding has checked them to be.
fn narrow<T: TryFrom<i128>>(cells: &[&Cell]) -> Result<Vec<Option<T>>, ArrowError> {
    cells
        .iter()
        .map(|cell| {
            integer(cell)
                .map(|value| T::try_from(value).map_err(|_| ArrowError::CastError(format!("{value} is out of range"))))
                .transpose()
        })
        .collect()
}

fn validity(cells: &[&Cell]) -> NullBuffer {
    cells.iter().map(|cell| **cell != Cell::Null).collect()
}

fn text(cell: &Cell) -> Option<&str> {
    if let Cell::Text(value) = cell {
        Some(value)
    } else {
        None
    }
}

fn boolean(cell: &Cell) -> Option<bool> {
    if let Cell::Boolean(value) = cell {
        Some(*value)
    } else {
        None
    }
}

fn integer(cell: &Cell) -> Option<i128> {
    if let Cell::Integer(value) = cell {
        Some(*value)
    } else {
        None
    }
}

fn float(cell: &Cell) -> Option<f64> {
    if let Cell::Float(value) = cell {
        Some(*value)
    } else {
        None
    }
}

fn bytes(cell: &Cell) -> Option<&[u8]> {
    if let Cell::Bytes(value) = cell {
        Some(value)
    } else {
        None
    }
}

fn floats(cell: &Cell) -> Option<&[f32]> {
    if let Cell::Floats(values) = cell {
        Some(values)
    } else {
        None
    }
}

fn nested(cell: &Cell) -> Option<&[Cell]> {
    if let Cell::Nested(values) = cell {
        Some(values)
    } else {
        None
    }
}
