//! A Parquet file as epochs.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::source::record;
use crate::format::{Conformed, JsonEncoder, JsonOptions, conform};
use crate::{ConnectorError, Epoch, EpochLimits, Position, RejectedRecord, SourceRecord, TableDefinition};

/// An open file. Columns are found by name and cast to the declared types; one that the file lacks is NULL.
pub(super) struct ParquetFile {
    path: String,
    batches: ParquetRecordBatchReader,
    table: TableDefinition,
    encoder: JsonEncoder,
    limits: EpochLimits,
    /// The number of the next row.
    row: i64,
}

impl ParquetFile {
    pub(super) fn open(
        file: File,
        path: &Path,
        table: &TableDefinition,
        json: JsonOptions,
        limits: EpochLimits,
    ) -> Result<Self, ConnectorError> {
        let path = path.display().to_string();
        let unreadable = |error| unreadable(&path, error);
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(unreadable)?;
        let columns = builder.schema().fields().iter().enumerate();
        let wanted = columns.filter(|(_, field)| {
            let metadata = table
                .metadata_columns
                .iter()
                .any(|metadata| metadata.column == *field.name());
            !metadata && table.schema.index_of(field.name()).is_ok()
        });
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.map(|(index, _)| index));
        let batches = builder
            .with_projection(mask)
            .with_batch_size(limits.records.max(1))
            .build()
            .map_err(unreadable)?;
        Ok(Self {
            batches,
            table: table.clone(),
            encoder: JsonEncoder::new(json),
            limits,
            row: 0,
            path,
        })
    }

    /// The epochs of the file's next batch.
    pub(super) fn next(&mut self) -> Result<Option<Vec<Epoch>>, ConnectorError> {
        let Some(batch) = self
            .batches
            .next()
            .transpose()
            .map_err(|error| unreadable(&self.path, error))?
        else {
            return Ok(None);
        };
        let first = self.row;
        self.row += batch.num_rows() as i64;
        let records: Vec<SourceRecord> = self
            .encoder
            .encode(&batch)?
            .into_iter()
            .zip(first..)
            .map(|(json, row)| record(&self.table.name, self.path.clone(), row, json))
            .collect();
        let rows = self.declared(&batch, first)?;

        let mut epochs = Vec::new();
        let mut start = 0;
        while start < records.len() {
            let mut bytes = 0;
            let fitting = records[start..].iter().take_while(|record| {
                bytes += record.value.as_ref().map_or(0, Vec::len);
                bytes <= self.limits.bytes
            });
            let end = start + fitting.count().max(1);
            epochs.push(self.epoch(&rows.slice(start, end - start), &records[start..end])?);
            start = end;
        }
        Ok(Some(epochs))
    }

    /// The declared columns of `batch`, not yet cast.
    fn declared(&self, batch: &RecordBatch, first: i64) -> Result<RecordBatch, ConnectorError> {
        let count = batch.num_rows();
        let columns = self.table.schema.fields().iter().map(|field| {
            let name = field.name();
            let metadata = self
                .table
                .metadata_columns
                .iter()
                .find(|metadata| metadata.column == *name);
            let column: ArrayRef = match metadata.map(|metadata| metadata.key.as_str()) {
                Some("offset_id") => Arc::new(Int64Array::from_iter_values(first..first + count as i64)),
                Some("partition") => Arc::new(Int64Array::from_value(0, count)),
                Some("topic") => Arc::new(StringArray::from_iter_values((0..count).map(|_| &self.path))),
                Some(_) => new_null_array(&DataType::Null, count),
                None => match batch.column_by_name(name) {
                    Some(column) => Arc::clone(column),
                    None => new_null_array(&DataType::Null, count),
                },
            };
            (Field::new(name, column.data_type().clone(), true), column)
        });
        let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = columns.unzip();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
            .map_err(|error| unreadable(&self.path, error))
    }

    fn epoch(&self, rows: &RecordBatch, records: &[SourceRecord]) -> Result<Epoch, ConnectorError> {
        let Conformed {
            batch,
            rows,
            rejections,
        } = conform(rows, &self.table.schema)?;
        let rejected = rejections.into_iter().map(|rejection| {
            let record = records[rejection.row].clone();
            let reason = format!("{}, row {}: {}", self.path, record.origin.offset + 1, rejection.reason);
            RejectedRecord { record, reason }
        });
        let mut position = Position::default();
        if let Some(last) = records.last() {
            position.offsets.insert(self.path.clone(), last.origin.offset + 1);
        }
        Ok(Epoch {
            batch,
            records: rows.iter().map(|row| records[*row].clone()).collect(),
            rejected: rejected.collect(),
            dropped: 0,
            tombstones: Vec::new(),
            position,
        })
    }
}

fn unreadable(path: &str, error: impl std::fmt::Display) -> ConnectorError {
    ConnectorError::Refused {
        system: path.to_string(),
        message: format!("cannot be read as Parquet: {error}"),
    }
}
