//! Files of rows, and what they should become.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use sightstream_jobs::data::{Dataset, DatasetOptions, Item, ItemWords, Medium, Pair};
use tempfile::TempDir;

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

pub fn write(folder: &TempDir, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("written");
    path
}

/// A Parquet file of small row groups with several pages, as large files have.
pub fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)));
    let rows = rows.expect("columns of one length");
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(4))
        .set_data_page_row_count_limit(2)
        .set_write_batch_size(1)
        .build();
    let file = File::create(path).expect("created");
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).expect("a writer");
    writer.write(&rows).expect("written");
    writer.close().expect("closed");
}

pub fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// What `datasets` writes of a column of images.
pub fn images(values: &[(Option<&[u8]>, Option<&str>)]) -> ArrayRef {
    let (bytes, paths): (Vec<_>, Vec<_>) = values.iter().copied().unzip();
    let columns: Vec<ArrayRef> = vec![Arc::new(BinaryArray::from(bytes)), text(&paths)];
    let fields = vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ];
    Arc::new(StructArray::new(Fields::from(fields), columns, None))
}

pub fn open(options: &DatasetOptions) -> Dataset {
    Dataset::open(options).expect("opens")
}

pub fn at(folder: &TempDir, name: &str) -> Option<Medium> {
    let path = folder.path().join(name);
    Some(Medium::Url(path.to_str().expect("UTF-8").to_owned()))
}

pub fn given(instruction: Option<&str>, text: Option<&str>) -> ItemWords {
    ItemWords::Given {
        instruction: instruction.map(str::to_owned),
        text: text.map(str::to_owned),
    }
}

pub fn around(before: &str, after: &str) -> ItemWords {
    ItemWords::Around {
        before: before.to_owned(),
        after: after.to_owned(),
    }
}

pub fn only(pair: &Pair) -> (&Item, &Item) {
    assert_eq!((pair.positives.len(), pair.candidates.len()), (1, 0));
    (&pair.query, &pair.positives[0])
}

pub fn text_column() -> ArrayRef {
    text(&[Some("a")])
}
