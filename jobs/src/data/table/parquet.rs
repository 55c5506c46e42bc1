//! A Parquet file whose rows are read one by one.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::StructArray;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::file::metadata::PageIndexPolicy;

use super::TableRow;
use crate::data::value::Value;

/// A file whose metadata is read.
#[derive(Debug)]
pub(super) struct ParquetTable {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    columns: ProjectionMask,
    /// The number of rows up to the end of each row group.
    ends: Vec<usize>,
}

impl ParquetTable {
    pub(super) fn open(path: &Path, columns: &[&str]) -> Result<Self, String> {
        let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        // With an index of its pages a row is found without reading those before it.
        let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(&file, options).map_err(|error| unreadable(&error))?;
        let fields = metadata.schema().fields().iter().enumerate();
        let wanted: Vec<usize> = fields
            .filter(|(_, field)| columns.contains(&field.name().as_str()))
            .map(|(index, _)| index)
            .collect();
        if wanted.is_empty() {
            let found: Vec<&str> = metadata
                .schema()
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            return Err(unreadable(&format!(
                "it has the columns {}; none of {} is among them",
                found.join(", "),
                columns.join(", ")
            )));
        }
        let mut rows = 0;
        let ends = metadata.metadata().row_groups().iter().map(|group| {
            rows += usize::try_from(group.num_rows()).unwrap_or_default();
            rows
        });
        Ok(Self {
            path: path.to_owned(),
            ends: ends.collect(),
            columns: ProjectionMask::roots(metadata.parquet_schema(), wanted),
            metadata,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    pub(super) fn row(&self, row: usize) -> Result<TableRow, String> {
        let place = format!("{} row {}", self.path.display(), row + 1);
        let unreadable = |error: &dyn std::fmt::Display| format!("{place}: {error}");
        let group = self.ends.partition_point(|end| *end <= row);
        let before = row - group.checked_sub(1).map_or(0, |group| self.ends[group]);
        // Descriptors that are duplicated share their position, and others read at the same time: this reading has its own.
        let file = File::open(&self.path).map_err(|error| unreadable(&error))?;
        let selection = vec![RowSelector::skip(before), RowSelector::select(1)];
        let mut rows = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_projection(self.columns.clone())
            .with_row_groups(vec![group])
            .with_row_selection(RowSelection::from(selection))
            .with_batch_size(1)
            .build()
            .map_err(|error| unreadable(&error))?;
        let batch = match rows.next() {
            Some(Ok(batch)) => batch,
            Some(Err(error)) => return Err(unreadable(&error)),
            None => return Err(unreadable(&"the file ends before it")),
        };
        let values = Value::from_arrow(&StructArray::from(batch), 0).map_err(|error| unreadable(&error))?;
        Ok(TableRow { values, place })
    }
}
