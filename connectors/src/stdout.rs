//! Rows on standard output, a JSON object a line.

use std::io::{ErrorKind, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use crate::format::{Conformed, JsonEncoder, JsonOptions, conform, take_format};
use crate::{ConnectorError, Rejection, Sink, TableDefinition};

/// Writes rows as lines of JSON. A reader that goes away (`… | head`) ends the job with
/// [`ConnectorError::ReaderGone`].
pub struct StdoutSink {
    schema: SchemaRef,
    encoder: JsonEncoder,
    writer: Mutex<Box<dyn Write + Send>>,
}

impl StdoutSink {
    /// A sink of rows of `schema` to `writer`.
    pub fn new(schema: SchemaRef, json: JsonOptions, writer: Box<dyn Write + Send>) -> Self {
        Self {
            schema,
            encoder: JsonEncoder::new(json),
            writer: Mutex::new(writer),
        }
    }

    fn with_writer(&self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), ConnectorError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        write(&mut *writer).map_err(|source| match source.kind() {
            ErrorKind::BrokenPipe => ConnectorError::ReaderGone,
            _ => ConnectorError::Io {
                path: "standard output".into(),
                source,
            },
        })
    }
}

#[async_trait]
impl Sink for StdoutSink {
    async fn write(&self, batch: &RecordBatch) -> Result<Vec<Rejection>, ConnectorError> {
        let Conformed { batch, rejections, .. } = conform(batch, &self.schema)?;
        let lines = self.encoder.encode(&batch)?;
        self.with_writer(|writer| {
            lines.iter().try_for_each(|line| {
                writer.write_all(line)?;
                writer.write_all(b"\n")
            })
        })?;
        Ok(rejections)
    }

    async fn flush(&self) -> Result<(), ConnectorError> {
        self.with_writer(|writer| writer.flush())
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        self.flush().await
    }
}

/// Checks the options of a table.
pub(crate) fn validate(table: &TableDefinition) -> Result<(), ConnectorError> {
    options(table).map(drop)
}

/// The sink of a table with `connector = 'stdout'`.
pub(crate) fn open_sink(table: &TableDefinition) -> Result<Arc<dyn Sink>, ConnectorError> {
    let writer = Box::new(std::io::BufWriter::new(std::io::stdout()));
    Ok(Arc::new(StdoutSink::new(table.schema.clone(), options(table)?, writer)))
}

fn options(table: &TableDefinition) -> Result<JsonOptions, ConnectorError> {
    let mut options = table.options();
    options.take("connector");
    options.attempt(|options| match options.take("type").as_deref() {
        None | Some("sink") => Ok(()),
        Some(role) => Err(options.error_at("type", format!("standard output is a sink; type cannot be '{role}'"))),
    });
    if table.options.contains_key("format") {
        options.attempt(|options| take_format(options, &["json"]));
    }
    let json = options.attempt(JsonOptions::take);
    options.finish(|| json)
}
