//! Files: newline-delimited JSON and Parquet, no broker needed.
//!
//! | option | values |
//! | --- | --- |
//! | `connector` | `single_file`: one file; `filesystem`: the files of a directory |
//! | `path` | a path or a `file:` URL |
//! | `type` | `source` or `sink` |
//! | `format` | `json` (a JSON object a line) or `parquet` |
//! | `bad_data` | sources: `dead_letter` (default), `drop`, `fail` |
//! | `parquet.compression` | sinks: `zstd` (default), `snappy`, `gzip`, `lz4_raw`, `uncompressed` |
//! | `json.…` | see [`crate::format`] |
//!
//! A source ends at the end of its last file. Files keep no position: a restart reads them again, which a sink that
//! knows its rows by an id (Qdrant) takes without doubling them.
//!
//! A line of a source may have at most 64 MiB. A longer one is a bad record, of which the first 64 KiB are kept.
//!
//! A `single_file` sink appends JSON lines; several processes may append to one file. A `filesystem` sink writes a new part at every flush, aside, and gives it
//! its name when it is whole and durable. Rows that are replayed after a crash are written again. A disk that is full is
//! waited for.

mod lines;
mod parquet;
mod probe;
mod sink;
mod source;
mod space;

use std::path::PathBuf;
use std::sync::Arc;

use ::parquet::basic::{Compression, ZstdLevel};
use url::Url;

pub(crate) use lines::{Line, LinesFile, read_line};
pub(crate) use probe::{probe_sink, probe_source};
pub use sink::{LinesSink, PartsSink};
pub use source::FileSource;
pub(crate) use space::when_there_is_space;

use crate::format::{BadData, JsonOptions, RecordDecoder, take_format};
use crate::{ConnectorError, Options, Sink, SinkContext, Source, SourceContext, TableDefinition};

/// How rows stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileFormat {
    Json,
    Parquet,
}

impl FileFormat {
    /// The endings of the files of a directory that are read.
    fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Json => &["jsonl", "json", "ndjson"],
            Self::Parquet => &["parquet"],
        }
    }
}

/// The options that sources and sinks share.
struct Common {
    path: PathBuf,
    format: FileFormat,
    json: JsonOptions,
    /// Whether the table is a directory (`filesystem`).
    directory: bool,
}

fn common(table: &TableDefinition, options: &mut Options, role: &str) -> Option<Common> {
    options.take("connector");
    options.attempt(|options| options.require_role(role));
    let path = options.attempt(path);
    let format = options.attempt(|options| {
        Ok(match take_format(options, &["json", "parquet"])? {
            "parquet" => FileFormat::Parquet,
            _ => FileFormat::Json,
        })
    });
    let json = options.attempt(JsonOptions::take);
    Some(Common {
        path: path?,
        format: format?,
        json: json?,
        directory: table.connector() == "filesystem",
    })
}

fn path(options: &mut Options) -> Result<PathBuf, ConnectorError> {
    let path = options.require("path")?;
    if path.starts_with("file:") {
        let local = Url::parse(&path).ok().and_then(|url| url.to_file_path().ok());
        return local.ok_or_else(|| {
            let message = format!("the option 'path' cannot be '{path}'; a file URL is file:///directory/file");
            options.error_at("path", message)
        });
    }
    if path.contains("://") {
        let message = format!("the option 'path' is a local path or a file: URL and cannot be '{path}'");
        return Err(options.error_at("path", message));
    }
    Ok(PathBuf::from(path))
}

fn source(table: &TableDefinition, context: &SourceContext) -> Result<source::Config, ConnectorError> {
    let mut options = table.options();
    let common = common(table, &mut options, "source");
    let bad_data = options.attempt(BadData::take);
    let json = common.as_ref().map(|common| common.json).unwrap_or_default();
    let decoder = options.attempt(|_| RecordDecoder::new(table, json));
    options.finish(|| {
        let common = common?;
        Some(source::Config {
            table: table.clone(),
            path: common.path,
            directory: common.directory,
            format: common.format,
            json,
            decoder: decoder?,
            bad_data: bad_data?,
            limits: context.limits,
            max_line: source::MAX_LINE,
        })
    })
}

enum SinkConfig {
    Lines {
        path: PathBuf,
        json: JsonOptions,
    },
    Parts {
        directory: PathBuf,
        encoding: sink::PartEncoding,
    },
}

fn sink(table: &TableDefinition) -> Result<SinkConfig, ConnectorError> {
    let mut options = table.options();
    let common = common(table, &mut options, "sink");
    let config = options.attempt(|options| match common {
        None => Ok(None),
        Some(common) => sink_config(common, options).map(Some),
    });
    options.finish(|| config.flatten())
}

fn sink_config(common: Common, options: &mut Options) -> Result<SinkConfig, ConnectorError> {
    let Common {
        path,
        format,
        json,
        directory,
    } = common;
    Ok(match (directory, format) {
        (false, FileFormat::Json) => SinkConfig::Lines { path, json },
        (false, FileFormat::Parquet) => {
            return Err(options.error_at(
                "format",
                "rows cannot be added to one Parquet file; write connector = 'filesystem' and the path of a \
                 directory, or format = 'json'",
            ));
        }
        (true, FileFormat::Json) => SinkConfig::Parts {
            directory: path,
            encoding: sink::PartEncoding::Json(json),
        },
        (true, FileFormat::Parquet) => SinkConfig::Parts {
            directory: path,
            encoding: sink::PartEncoding::Parquet(compression(options)?),
        },
    })
}

fn compression(options: &mut Options) -> Result<Compression, ConnectorError> {
    Ok(match options.take("parquet.compression").as_deref() {
        None | Some("zstd") => Compression::ZSTD(ZstdLevel::default()),
        Some("snappy") => Compression::SNAPPY,
        Some("gzip") => Compression::GZIP(Default::default()),
        Some("lz4_raw") => Compression::LZ4_RAW,
        Some("uncompressed") => Compression::UNCOMPRESSED,
        Some(other) => {
            return Err(options.error_at(
                "parquet.compression",
                format!(
                    "'parquet.compression' is 'zstd', 'snappy', 'gzip', 'lz4_raw' or 'uncompressed' and cannot be \
                     '{other}'"
                ),
            ));
        }
    })
}

/// Checks the options of a source without touching the files.
pub(crate) fn validate_source(table: &TableDefinition) -> Result<(), ConnectorError> {
    source(table, &SourceContext::for_validation()).map(drop)
}

/// Checks the options of a sink without touching the files.
pub(crate) fn validate_sink(table: &TableDefinition) -> Result<(), ConnectorError> {
    sink(table).map(drop)
}

/// Opens files to read from.
pub(crate) fn open_source(table: &TableDefinition, context: &SourceContext) -> Result<Arc<dyn Source>, ConnectorError> {
    Ok(Arc::new(FileSource::open(source(table, context)?)?))
}

/// Opens a file or a directory to write to.
pub(crate) fn open_sink(table: &TableDefinition, context: &SinkContext) -> Result<Arc<dyn Sink>, ConnectorError> {
    let (schema, waits) = (table.schema.clone(), context.waits.clone());
    Ok(match sink(table)? {
        SinkConfig::Lines { path, json } => Arc::new(LinesSink::open(path, schema, json, waits)?),
        SinkConfig::Parts { directory, encoding } => Arc::new(PartsSink::open(directory, schema, encoding, waits)?),
    })
}
