//! Writes files of pairs.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::Serialize;

use super::item::{ItemRow, PairRow};
use crate::error::JobError;
use crate::whole::{WholeFile, failure};

/// How many rows a row group has: few, so that a row is read without many others.
const GROUP: usize = 1024;

/// A row as a line: one positive stands there as it is, and empty lists do not.
#[derive(Serialize)]
struct Line<'a> {
    query: &'a ItemRow,
    positive: Positive<'a>,
    #[serde(skip_serializing_if = "<[ItemRow]>::is_empty")]
    negatives: &'a [ItemRow],
    #[serde(skip_serializing_if = "<[ItemRow]>::is_empty")]
    candidates: &'a [ItemRow],
}

#[derive(Serialize)]
#[serde(untagged)]
enum Positive<'a> {
    One(&'a ItemRow),
    Several(&'a [ItemRow]),
}

impl<'a> Line<'a> {
    fn of(row: &'a PairRow) -> Self {
        Self {
            query: &row.query,
            positive: match row.positive.as_slice() {
                [one] => Positive::One(one),
                several => Positive::Several(several),
            },
            negatives: &row.negatives,
            candidates: &row.candidates,
        }
    }
}

/// Writes a file of pairs that is whole or absent: beside it at first, and under its name in the end.
#[derive(Debug)]
pub struct PairWriter {
    path: PathBuf,
    rows: Rows,
    written: u64,
}

#[derive(Debug)]
enum Rows {
    Jsonl(BufWriter<WholeFile>),
    Parquet {
        writer: Box<ArrowWriter<WholeFile>>,
        schema: SchemaRef,
        waiting: Vec<PairRow>,
    },
}

impl PairWriter {
    /// Begins a file: Parquet if it is called so, else JSONL. One that is there stays until this one is whole.
    ///
    /// # Errors
    /// [`JobError::Io`] where nothing can be written.
    pub fn create(path: &Path) -> Result<Self, JobError> {
        let file = WholeFile::create(path)?;
        let is_parquet = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
        let rows = match is_parquet {
            false => Rows::Jsonl(BufWriter::new(file)),
            true => {
                let schema = schema();
                let level = ZstdLevel::try_new(3).expect("zstd has a level 3");
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(level))
                    .build();
                let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties));
                Rows::Parquet {
                    writer: Box::new(writer.map_err(|error| failure(path)(std::io::Error::other(error)))?),
                    schema,
                    waiting: Vec::new(),
                }
            }
        };
        Ok(Self {
            path: path.to_owned(),
            rows,
            written: 0,
        })
    }

    /// Writes a row.
    ///
    /// # Errors
    /// [`JobError::Io`].
    pub fn write(&mut self, row: &PairRow) -> Result<(), JobError> {
        let written = match &mut self.rows {
            Rows::Jsonl(file) => serde_json::to_writer(&mut *file, &Line::of(row))
                .map_err(std::io::Error::from)
                .and_then(|()| file.write_all(b"\n")),
            Rows::Parquet {
                writer,
                schema,
                waiting,
            } => {
                waiting.push(row.clone());
                match waiting.len() < GROUP {
                    true => Ok(()),
                    false => group(writer, schema, waiting),
                }
            }
        };
        self.written += 1;
        written.map_err(failure(&self.path))
    }

    /// Puts the file under its name, on the disk. How many rows it has.
    ///
    /// # Errors
    /// [`JobError::Io`]; then it is not there.
    pub fn finish(self) -> Result<u64, JobError> {
        let written = match self.rows {
            Rows::Jsonl(file) => file.into_inner().map_err(std::io::IntoInnerError::into_error),
            Rows::Parquet {
                mut writer,
                schema,
                mut waiting,
            } => group(&mut writer, &schema, &mut waiting)
                .and_then(|()| writer.into_inner().map_err(std::io::Error::other)),
        };
        written.map_err(failure(&self.path))?.finish()?;
        Ok(self.written)
    }
}

/// Writes the rows that wait as a row group.
fn group(writer: &mut ArrowWriter<WholeFile>, schema: &SchemaRef, waiting: &mut Vec<PairRow>) -> std::io::Result<()> {
    if waiting.is_empty() {
        return Ok(());
    }
    let other = std::io::Error::other::<arrow::error::ArrowError>;
    let mut decoder = ReaderBuilder::new(Arc::clone(schema))
        .with_batch_size(GROUP)
        .build_decoder()
        .map_err(other)?;
    decoder.serialize(waiting).map_err(other)?;
    waiting.clear();
    if let Some(rows) = decoder.flush().map_err(other)? {
        writer.write(&rows).map_err(std::io::Error::other)?;
        writer.flush().map_err(std::io::Error::other)?;
    }
    Ok(())
}

fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let item = DataType::Struct(Fields::from(vec![text("url"), text("text"), text("instruction")]));
    let items = DataType::List(Arc::new(Field::new("item", item.clone(), true)));
    Arc::new(Schema::new(vec![
        Field::new("query", item, true),
        Field::new("positive", items.clone(), true),
        Field::new("negatives", items.clone(), true),
        Field::new("candidates", items, true),
    ]))
}
