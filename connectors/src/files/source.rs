//! Files as a source of epochs.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::FileFormat;
use super::lines::{Line, read_line};
use super::parquet::ParquetFile;
use crate::error::io_error;
use crate::format::{BadData, JsonOptions, RecordDecoder};
use crate::{
    Admission, ConnectorError, Epoch, EpochLimits, Origin, OriginKind, Position, RejectedRecord, Source, SourceRecord,
    TableDefinition,
};

/// The most bytes in a line. A file without line ends is not one record, and would be read into memory as one.
pub(super) const MAX_LINE: usize = 64 << 20;

/// A source's options, checked.
pub(super) struct Config {
    pub(super) table: TableDefinition,
    pub(super) path: PathBuf,
    pub(super) directory: bool,
    pub(super) format: FileFormat,
    pub(super) json: JsonOptions,
    pub(super) decoder: RecordDecoder,
    pub(super) bad_data: BadData,
    pub(super) limits: EpochLimits,
    /// [`MAX_LINE`], smaller in tests.
    pub(super) max_line: usize,
}

/// What [`Source::next_epoch`] gives.
type NextEpoch = Result<Option<Epoch>, ConnectorError>;

/// Reads a file, or the files of a directory (and those below it) in the order of their paths. Files whose names start
/// with `.` or `_` are left out.
pub struct FileSource {
    schema: SchemaRef,
    reader: Arc<Mutex<Reader>>,
    /// The epoch that is being read. It stays here when a caller gives up waiting, so that no epoch is lost.
    reading: tokio::sync::Mutex<Option<JoinHandle<NextEpoch>>>,
    stopped: AtomicBool,
}

impl FileSource {
    /// Finds the files.
    pub(super) fn open(config: Config) -> Result<Self, ConnectorError> {
        let files = find(&config)?;
        tracing::info!(table = config.table.name, path = %config.path.display(), files = files.len(), "reading files");
        Ok(Self {
            schema: config.table.schema.clone(),
            reader: Arc::new(Mutex::new(Reader {
                config,
                files,
                current: None,
                ready: VecDeque::new(),
            })),
            reading: tokio::sync::Mutex::default(),
            stopped: AtomicBool::new(false),
        })
    }
}

#[async_trait]
impl Source for FileSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    async fn next_epoch(&self) -> Result<Option<Epoch>, ConnectorError> {
        let mut reading = self.reading.lock().await;
        if self.stopped.load(Ordering::Acquire) {
            return Ok(None);
        }
        let handle = reading.get_or_insert_with(|| {
            let reader = Arc::clone(&self.reader);
            tokio::task::spawn_blocking(move || reader.lock().unwrap_or_else(PoisonError::into_inner).next())
        });
        let epoch = handle.await;
        *reading = None;
        epoch.map_err(|error| ConnectorError::Internal(format!("reading a file: {error}")))?
    }

    async fn admit(&self, _: &Position) -> Option<Admission> {
        Some(Admission { guard: None })
    }

    async fn commit(&self, _: &Position) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        self.stop();
        Ok(())
    }

    fn backlog(&self) -> Option<u64> {
        None
    }
}

struct Reader {
    config: Config,
    /// Those not begun.
    files: VecDeque<PathBuf>,
    current: Option<Current>,
    /// Epochs of a Parquet batch that was too large for one.
    ready: VecDeque<Epoch>,
}

enum Current {
    Lines {
        path: PathBuf,
        lines: BufReader<File>,
        line: i64,
    },
    Parquet(Box<ParquetFile>),
}

impl Reader {
    /// The next epoch. Blocks.
    fn next(&mut self) -> Result<Option<Epoch>, ConnectorError> {
        let epoch = match self.config.format {
            FileFormat::Json => self.next_of_lines()?,
            FileFormat::Parquet => self.next_of_parquet()?,
        };
        let Some(mut epoch) = epoch else { return Ok(None) };
        let table = &self.config.table.name;
        metrics::counter!("sightstream_source_records_total", "table" => table.clone())
            .increment((epoch.records.len() + epoch.rejected.len()) as u64);
        metrics::counter!("sightstream_source_rejected_total", "table" => table.clone())
            .increment(epoch.rejected.len() as u64);
        match (self.config.bad_data, epoch.rejected.first()) {
            (BadData::DeadLetter, _) | (_, None) => {}
            (BadData::Drop, Some(_)) => {
                epoch.dropped = epoch.rejected.len();
                for RejectedRecord { reason, .. } in epoch.rejected.drain(..) {
                    tracing::warn!(table, reason, "a bad record is dropped");
                }
            }
            (BadData::Fail, Some(first)) => {
                return Err(ConnectorError::Refused {
                    system: self.config.path.display().to_string(),
                    message: format!("{} (bad_data = 'fail')", first.reason),
                });
            }
        }
        Ok(Some(epoch))
    }

    fn open_next(&mut self) -> Result<bool, ConnectorError> {
        let Some(path) = self.files.pop_front() else {
            return Ok(false);
        };
        tracing::debug!(table = self.config.table.name, path = %path.display(), "a file is begun");
        let file = File::open(&path).map_err(io_error(&path))?;
        self.current = Some(match self.config.format {
            FileFormat::Json => Current::Lines {
                lines: BufReader::new(file),
                path,
                line: 0,
            },
            FileFormat::Parquet => {
                let Config {
                    table, json, limits, ..
                } = &self.config;
                Current::Parquet(Box::new(ParquetFile::open(file, &path, table, *json, *limits)?))
            }
        });
        Ok(true)
    }

    fn next_of_lines(&mut self) -> Result<Option<Epoch>, ConnectorError> {
        let EpochLimits {
            records: most,
            bytes: most_bytes,
            ..
        } = self.config.limits;
        let (mut rows, mut records, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
        let (mut position, mut bytes) = (Position::default(), 0);
        while rows.len() + rejected.len() < most.max(1) && bytes < most_bytes.max(1) {
            if self.current.is_none() && !self.open_next()? {
                break;
            }
            let Some(Current::Lines { path, lines, line }) = &mut self.current else {
                break;
            };
            let (mut value, too_long) = match read_line(lines, self.config.max_line).map_err(io_error(path))? {
                None => {
                    self.current = None;
                    continue;
                }
                Some(Line::Whole(value)) => (value, false),
                Some(Line::TooLong(excerpt)) => (excerpt, true),
            };
            let offset = *line;
            *line += 1;
            value.truncate(value.trim_ascii_end().len());
            if value.is_empty() && !too_long {
                continue;
            }
            bytes += value.len();
            let topic = path.display().to_string();
            position.offsets.insert(topic.clone(), *line);
            let mut record = record(&self.config.table.name, topic, offset, value);
            record.truncated = too_long;
            let decoded = if too_long {
                Err(too_long_reason(self.config.max_line, &record))
            } else {
                self.config.decoder.decode(&record)
            };
            match decoded {
                Ok(row) => {
                    rows.push(row);
                    records.push(record);
                }
                Err(reason) => {
                    let reason = format!("{}, line {}: {reason}", record.origin.topic, offset + 1);
                    rejected.push(RejectedRecord { record, reason });
                }
            }
        }
        if position.offsets.is_empty() {
            return Ok(None);
        }
        Ok(Some(Epoch {
            batch: self.config.decoder.batch(&rows)?,
            records,
            rejected,
            dropped: 0,
            tombstones: Vec::new(),
            position,
        }))
    }

    fn next_of_parquet(&mut self) -> Result<Option<Epoch>, ConnectorError> {
        loop {
            if let Some(epoch) = self.ready.pop_front() {
                return Ok(Some(epoch));
            }
            if self.current.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let Some(Current::Parquet(file)) = &mut self.current else {
                return Ok(None);
            };
            match file.next()? {
                Some(epochs) => self.ready = epochs.into(),
                None => self.current = None,
            }
        }
    }
}

fn too_long_reason(limit: usize, record: &SourceRecord) -> String {
    let kept = record.value.as_ref().map_or(0, Vec::len);
    format!("the line has more than {limit} bytes, of which the first {kept} are kept here")
}

/// A record of a file.
pub(super) fn record(table: &str, path: String, row: i64, value: Vec<u8>) -> SourceRecord {
    SourceRecord {
        value: Some(value),
        key: None,
        headers: Vec::new(),
        truncated: false,
        origin: Origin {
            kind: OriginKind::File,
            table: table.to_string(),
            topic: path,
            partition: 0,
            offset: row,
            timestamp_ms: None,
        },
    }
}

pub(super) fn find(config: &Config) -> Result<VecDeque<PathBuf>, ConnectorError> {
    let path = &config.path;
    let kind = fs::metadata(path).map_err(io_error(path))?;
    if kind.is_file() {
        return Ok([path.clone()].into());
    }
    if !config.directory {
        return Err(config.table.options().error(format!(
            "{} is a directory; write connector = 'filesystem' to read the files in it",
            path.display()
        )));
    }
    let mut files = Vec::new();
    let (mut directories, mut others) = (vec![path.clone()], 0);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(io_error(&directory))? {
            let path = entry.map_err(io_error(&directory))?.path();
            let hidden = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']));
            if hidden {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else if has_extension(&path, config.format.extensions()) {
                files.push(path);
            } else {
                others += 1;
            }
        }
    }
    if files.is_empty() && others > 0 {
        return Err(config.table.options().error(format!(
            "there is no file ending in .{} in {}",
            config.format.extensions().join(" or ."),
            path.display()
        )));
    }
    files.sort();
    Ok(files.into())
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| extensions.contains(&extension))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Schema};
    use tempfile::TempDir;

    use super::*;
    use crate::SourceContext;

    #[tokio::test]
    async fn a_line_beyond_the_limit_is_rejected_by_itself() {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("in.jsonl");
        let long = format!("{{\"id\": \"{}\"}}", "x".repeat(100));
        fs::write(&path, format!("{{\"id\": \"a\"}}\n{long}\n{{\"id\": \"b\"}}\n{long}")).expect("a new file");
        let options = [
            ("connector", "single_file"),
            ("type", "source"),
            ("path", path.to_str().expect("the path is UTF-8")),
            ("format", "json"),
        ];
        let table = TableDefinition {
            name: "media".into(),
            schema: Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)])),
            metadata_columns: Vec::new(),
            options: options.map(|(key, value)| (key.into(), value.into())).into(),
        };
        let context = SourceContext {
            limits: EpochLimits::default(),
            until_caught_up: false,
            member: String::new(),
            waits: Default::default(),
        };
        let mut config = super::super::source(&table, &context).expect("the options are right");
        config.max_line = 20;
        let source = FileSource::open(config).expect("the file opens");
        let epoch = source.next_epoch().await.expect("it can be read").expect("it has rows");
        let ids: Vec<_> = epoch.batch["id"].as_string::<i32>().iter().flatten().collect();
        assert_eq!(ids, ["a", "b"]);
        let places: Vec<_> = epoch.rejected.iter().map(|bad| bad.record.origin.offset).collect();
        assert_eq!(places, [1, 3], "the line, counted from 0");
        let RejectedRecord { record, reason } = &epoch.rejected[0];
        assert!(
            reason.ends_with("line 2: the line has more than 20 bytes, of which the first 21 are kept here"),
            "{reason}"
        );
        assert_eq!(record.value.as_deref(), Some(&long.as_bytes()[..21]));
    }
}
