//! Files as sinks of rows.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use chrono::Utc;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use uuid::Uuid;

use super::{LinesFile, when_there_is_space};
use crate::error::{blocking, io_error};
use crate::format::{Conformed, JsonEncoder, JsonOptions, conform};
use crate::{ConnectorError, Rejection, Sink, Waits};

/// Appends rows to one file, a JSON object a line. Several processes may append to the same file.
pub struct LinesSink {
    path: PathBuf,
    schema: SchemaRef,
    encoder: JsonEncoder,
    waits: Waits,
    file: Arc<Mutex<LinesFile>>,
}

impl LinesSink {
    /// Opens or makes the file. A last line that was cut short by a crash is taken off: its row was not
    /// acknowledged, so it comes again.
    pub(super) fn open(
        path: PathBuf,
        schema: SchemaRef,
        json: JsonOptions,
        waits: Waits,
    ) -> Result<Self, ConnectorError> {
        let file = LinesFile::open(&path).map_err(io_error(&path))?;
        Ok(Self {
            path,
            schema,
            encoder: JsonEncoder::new(json),
            waits,
            file: Arc::new(Mutex::new(file)),
        })
    }
}

#[async_trait]
impl Sink for LinesSink {
    async fn write(&self, batch: &RecordBatch) -> Result<Vec<Rejection>, ConnectorError> {
        let Conformed { batch, rejections, .. } = conform(batch, &self.schema)?;
        let text = Arc::new(lines(&self.encoder, &batch)?);
        let file = Arc::clone(&self.file);
        let append = move || locked(&file).append(&text);
        when_there_is_space(&self.waits, &self.path, append).await?;
        Ok(rejections)
    }

    async fn flush(&self) -> Result<(), ConnectorError> {
        let file = Arc::clone(&self.file);
        blocking(move || locked(&file).sync())
            .await?
            .map_err(io_error(&self.path))
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
    waits: Waits,
    /// Written since the last flush.
    batches: Mutex<Vec<RecordBatch>>,
}

impl PartsSink {
    /// Makes the directory if it is not there.
    pub(super) fn open(
        directory: PathBuf,
        schema: SchemaRef,
        encoding: PartEncoding,
        waits: Waits,
    ) -> Result<Self, ConnectorError> {
        fs::create_dir_all(&directory).map_err(io_error(&directory))?;
        Ok(Self {
            directory,
            schema,
            encoding,
            waits,
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

    async fn discard(&self) {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn flush(&self) -> Result<(), ConnectorError> {
        // Kept until they are durable: a flush that failed can be tried again.
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if batches.is_empty() {
            return Ok(());
        }
        let (schema, encoding) = (self.schema.clone(), self.encoding);
        let count = batches.len();
        let (bytes, extension) = blocking(move || encode_part(&batches, &schema, encoding)).await??;
        let (directory, bytes) = (self.directory.clone(), Arc::new(bytes));
        let write = move || write_part(&directory, extension, &bytes);
        when_there_is_space(&self.waits, &self.directory, write).await?;
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

/// Writes a part; if that fails, nothing of it is left.
fn write_part(directory: &Path, extension: &str, bytes: &[u8]) -> std::io::Result<()> {
    let unique = Uuid::new_v4().simple().to_string();
    let name = format!(
        "{}-{}.{extension}",
        Utc::now().format("%Y%m%dT%H%M%S%.6f"),
        &unique[..8]
    );
    // Hidden from sources until it is whole.
    let aside = directory.join(format!(".{name}.part"));
    let written = File::create(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, directory.join(name))
    });
    if let Err(error) = written {
        // On a full disk it would take the space that is waited for.
        if let Err(error) = fs::remove_file(&aside) {
            tracing::debug!(path = %aside.display(), %error, "what was written of a part cannot be removed");
        }
        return Err(error);
    }
    // The new name is durable only when the directory is.
    File::open(directory)?.sync_all()
}

fn locked(file: &Mutex<LinesFile>) -> MutexGuard<'_, LinesFile> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lines(encoder: &JsonEncoder, batch: &RecordBatch) -> Result<Vec<u8>, ConnectorError> {
    let mut text = Vec::new();
    for line in encoder.encode(batch)? {
        text.extend_from_slice(&line);
        text.push(b'\n');
    }
    Ok(text)
}
