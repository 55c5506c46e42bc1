//! Tables, rows and folders to read and write.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use sightstream_connectors::{Epoch, EpochLimits, Source, SourceContext, TableDefinition, open_source};
use tempfile::TempDir;

pub fn table(connector: &str, role: &str, path: &Path, format: &str) -> TableDefinition {
    let path = path.to_str().expect("the path is UTF-8");
    let options = [
        ("connector", connector),
        ("type", role),
        ("path", path),
        ("format", format),
    ];
    TableDefinition {
        name: "media".into(),
        schema: Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
        ])),
        metadata_columns: Vec::new(),
        options: options
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
    }
}

pub async fn open(table: &TableDefinition, records: usize) -> Arc<dyn Source> {
    let limits = EpochLimits {
        records,
        ..EpochLimits::default()
    };
    let context = SourceContext {
        limits,
        until_caught_up: false,
        member: "test".into(),
        waits: Default::default(),
    };
    open_source(table, &context).await.expect("the files open")
}

pub async fn epochs(table: &TableDefinition, records: usize) -> Vec<Epoch> {
    let source = open(table, records).await;
    let mut epochs = Vec::new();
    while let Some(epoch) = source.next_epoch().await.expect("the files can be read") {
        assert!(source.admit(&epoch.position).await.is_some());
        source.commit(&epoch.position).await.expect("files take any position");
        epochs.push(epoch);
    }
    epochs
}

pub fn ids(epochs: &[Epoch]) -> Vec<String> {
    epochs
        .iter()
        .flat_map(|epoch| {
            epoch.batch["id"]
                .as_string::<i32>()
                .iter()
                .flatten()
                .map(str::to_string)
        })
        .collect()
}

pub fn rows(ids: &[&str]) -> RecordBatch {
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(StringViewArray::from_iter_values(ids))),
        ("n", Arc::new(Int64Array::from_iter_values(0..ids.len() as i64))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .expect("the columns are of one length")
}

pub fn parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
            .expect("the columns are of one length");
    let file = fs::File::create(path).expect("the file can be made");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("the types are Parquet's");
    writer.write(&batch).expect("the rows are written");
    writer.close().expect("the file is complete");
}

pub fn parts(directory: &TempDir) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory.path()).expect("the directory is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}
