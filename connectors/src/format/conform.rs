//! Batches as a plan gives them to batches of the declared types.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::{ConnectorError, Rejection};

/// A batch of exactly the declared types.
#[derive(Debug)]
pub struct Conformed {
    /// The rows that fit.
    pub batch: RecordBatch,
    /// For each row of `batch`, its index in the batch that was given.
    pub rows: Vec<usize>,
    /// The rows that do not fit.
    pub rejections: Vec<Rejection>,
}

/// Casts the columns of `batch`, by position, to those of `schema`. A plan hands over string views, dictionaries or
/// large lists where plain ones are declared. A row whose value does not fit its column (a number out of range, NULL
/// in a NOT NULL column) is rejected by itself.
///
/// # Errors
/// [`ConnectorError::Internal`] if the number of columns differs or a type cannot be cast at all.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<Conformed, ConnectorError> {
    if batch.num_columns() != schema.fields().len() {
        return Err(ConnectorError::Internal(format!(
            "a batch of {} columns was written to a table of {}",
            batch.num_columns(),
            schema.fields().len()
        )));
    }
    if let Ok(whole) = cast_batch(batch, schema) {
        return Ok(Conformed {
            rows: (0..batch.num_rows()).collect(),
            batch: whole,
            rejections: Vec::new(),
        });
    }
    let (mut good, mut rows, mut rejections) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..batch.num_rows() {
        match cast_batch(&batch.slice(row, 1), schema) {
            Ok(one) => {
                good.push(one);
                rows.push(row);
            }
            Err(reason) => rejections.push(Rejection { row, reason }),
        }
    }
    let batch = concat_batches(schema, &good).map_err(internal)?;
    Ok(Conformed {
        batch,
        rows,
        rejections,
    })
}

fn cast_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(format!(
                "column `{}` is NOT NULL and the row has NULL there",
                field.name()
            ));
        }
        cast_column(column, field.data_type()).map_err(|error| format!("column `{}`: {error}", field.name()))
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|error| error.to_string())
}

fn cast_column(column: &ArrayRef, data_type: &arrow::datatypes::DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == data_type {
        return Ok(Arc::clone(column));
    }
    // Not `safe`: that would turn what does not fit into NULL without a word.
    cast_with_options(
        column,
        data_type,
        &CastOptions {
            safe: false,
            ..Default::default()
        },
    )
}

fn internal(error: ArrowError) -> ConnectorError {
    ConnectorError::Internal(error.to_string())
}
