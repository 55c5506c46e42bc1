//! Files as sinks of rows.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use chrono::Utc;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use uuid::Uuid;

use super::{LinesFile, io_error};
use crate::format::{Conformed, JsonEncoder, JsonOptions, conform};
use crate::{ConnectorError, Rejection, Sink};

/// Appends rows to one file, a JSON object a line. Several processes may append to the same file.
pub struct LinesSink {
    path: PathBuf,
    schema: SchemaRef,
    encoder: JsonEncoder,
    file: Arc<Mutex<LinesFile>>,
}

impl LinesSink {
    /// Opens or makes the file. A last line that was cut short by a crash is taken off: its row was not
    /// acknowledged, so it comes again.
    pub(super) fn open(path: PathBuf, schema: SchemaRef, json: JsonOptions) -> Result<Self, ConnectorError> {
        let file = LinesFile::open(&path).map_err(io_error(&path))?;
        Ok(Self {
            path,
            schema,
            encoder: JsonEncoder::new(json),
            file: Arc::new(Mutex::new(file)),
        })
    }

    async fn with_file<F>(&self, work: F) -> Result<(), ConnectorError>
    where
        F: FnOnce(&mut LinesFile) -> std::io::Result<()> + Send + 'static,
    {
        let file = Arc::clone(&self.file);
        blocking(move || work(&mut file.lock().unwrap_or_else(PoisonError::into_inner)))
            .await?
            .map_err(io_error(&self.path))
    }
}

#[async_trait]
impl Sink for LinesSink {
    async fn write(&self, batch: &RecordBatch) -> Result<Vec<Rejection>, ConnectorError> {
        let Conformed { batch, rejections, .. } = conform(batch, &self.schema)?;
        let text = lines(&self.encoder, &batch)?;
        self.with_file(move |file| file.append(&text)).await?;
        Ok(rejections)
    }

    async fn flush(&self) -> Result<(), ConnectorError> {
        self.with_file(LinesFile::sync).await
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        self.flush().await
    }
}

/// How a part is encoded.
#[derive(Debug, Clone, Copy)]
pub(super) enum PartEncoding {
    Json(JsonOptions),
    Parquet(Compression),
}

/// Writes the rows between two flushes as one new file of a directory. The names sort by time.
pub struct PartsSink {
    directory: PathBuf,
    schema: SchemaRef,
    encoding: PartEncoding,
    /// Written since the last flush.
    batches: Mutex<Vec<RecordBatch>>,
}

impl PartsSink {
    /// Makes the directory if it is not there.
    pub(super) fn open(directory: PathBuf, schema: SchemaRef, encoding: PartEncoding) -> Result<Self, ConnectorError> {
        fs::create_dir_all(&directory).map_err(io_error(&directory))?;
        Ok(Self {
            directory,
            schema,
            encoding,
            batches: Mutex::default(),
        })
    }
}

#[async_trait]
impl Sink for PartsSink {
    async fn write(&self, batch: &RecordBatch) -> Result<Vec<Rejection>, ConnectorError> {
        let Conformed { batch, rejections, .. } = conform(batch, &self.schema)?;
        if batch.num_rows() > 0 {
            self.batches.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
        }
        Ok(rejections)
    }

    async fn flush(&self) -> Result<(), ConnectorError> {
        // Kept until they are durable: a flush that failed can be tried again.
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if batches.is_empty() {
            return Ok(());
        }
        let (directory, schema, encoding) = (self.directory.clone(), self.schema.clone(), self.encoding);
        let count = batches.len();
        blocking(move || {
            let (bytes, extension) = encode_part(&batches, &schema, encoding)?;
            write_part(&directory, extension, &bytes).map_err(io_error(&directory))
        })
        .await??;
        self.batches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..count);
        Ok(())
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        self.flush().await
    }
}

fn encode_part(
    batches: &[RecordBatch],
    schema: &SchemaRef,
    encoding: PartEncoding,
) -> Result<(Vec<u8>, &'static str), ConnectorError> {
    match encoding {
        PartEncoding::Json(json) => {
            let encoder = JsonEncoder::new(json);
            let texts = batches
                .iter()
                .map(|batch| lines(&encoder, batch))
                .collect::<Result<Vec<_>, _>>()?;
            Ok((texts.concat(), "jsonl"))
        }
        PartEncoding::Parquet(compression) => {
            let internal = |error| ConnectorError::Internal(format!("rows cannot be written as Parquet: {error}"));
            let properties = WriterProperties::builder().set_compression(compression).build();
            let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).map_err(internal)?;
            batches
                .iter()
                .try_for_each(|batch| writer.write(batch))
                .map_err(internal)?;
            Ok((writer.into_inner().map_err(internal)?, "parquet"))
        }
    }
}

fn write_part(directory: &Path, extension: &str, bytes: &[u8]) -> std::io::Result<()> {
    let unique = Uuid::new_v4().simple().to_string();
    let name = format!(
        "{}-{}.{extension}",
        Utc::now().format("%Y%m%dT%H%M%S%.6f"),
        &unique[..8]
    );
    // Hidden from sources until it is whole.
    let aside = directory.join(format!(".{name}.part"));
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, directory.join(name))?;
    // The new name is durable only when the directory is.
    File::open(directory)?.sync_all()
}

fn lines(encoder: &JsonEncoder, batch: &RecordBatch) -> Result<Vec<u8>, ConnectorError> {
    let mut text = Vec::new();
    for line in encoder.encode(batch)? {
        text.extend_from_slice(&line);
        text.push(b'\n');
    }
    Ok(text)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ConnectorError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ConnectorError::Internal(error.to_string()))
}
