//! Kafka: topics to read from and to write to. Option names are Arroyo's.
//!
//! | option | of | values |
//! | --- | --- | --- |
//! | `bootstrap_servers` | both | `host:port,host:port` |
//! | `topic` | both | the topic, which must exist |
//! | `type` | both | `source` or `sink` |
//! | `format` | both | `json` |
//! | `source.offset` | source | `latest` (default), `earliest`, `group`: where a group without a committed offset starts; a committed offset always wins. `group` leaves it to `auto.offset.reset` in `client_configs`, else `latest` |
//! | `source.group_id` | source | the consumer group; without it `sightstream-<topic>-<table>`, the same at every start, so that a restart goes on where the last run stopped |
//! | `source.group_id_prefix` | source | put before that name: `<prefix>-sightstream-<topic>-<table>` |
//! | `source.read_mode` | source | `read_uncommitted` (default) or `read_committed` |
//! | `bad_data` | source | `dead_letter` (default), `drop` (counted and skipped), `fail` (the job stops there) |
//! | `source.tombstones` | source | what a record without a value does: `ignore` (default), or `delete`: it deletes the row that its key names |
//! | `sink.key_field` | sink | the column whose value is the record's key |
//! | `sink.headers_field` | sink | the JSON or TEXT column whose entries are the record's headers, left out of the value |
//! | `sink.timestamp_field` | sink | the TIMESTAMP column that is the record's time |
//! | `sink.commit_mode` | sink | `at_least_once` |
//! | `client_configs` | both | `name=value,name=value` for librdkafka |
//! | `auth.type` | both | `none` (default) or `sasl`, with `auth.mechanism`, `auth.protocol`, `auth.username`, `auth.password` |
//! | `json.…` | both | see [`crate::format`] |

mod client;
mod config;
mod probe;
mod sink;
mod snapshot;
mod source;
mod unreadable;
mod writer;

use std::sync::Arc;

pub use client::Connection;
pub use config::{TOMBSTONES, Tombstones};
pub(crate) use probe::{probe_sink, probe_source, probe_topic};
pub use sink::KafkaSink;
pub(crate) use snapshot::{Committed, TopicSnapshot};
pub use source::KafkaSource;
pub(crate) use writer::{Outgoing, TopicWriter};

use crate::{ConnectorError, Sink, SinkContext, Source, SourceContext, TableDefinition};
use config::{SinkConfig, SourceConfig};

/// Checks the options of a source without connecting.
pub(crate) fn validate_source(table: &TableDefinition) -> Result<(), ConnectorError> {
    SourceConfig::new(table).map(drop)
}

/// Checks the options of a sink without connecting.
pub(crate) fn validate_sink(table: &TableDefinition) -> Result<(), ConnectorError> {
    SinkConfig::new(table).map(drop)
}

/// The column whose value is the key by which rows are deleted.
///
/// # Errors
/// [`ConnectorError::Option`] if the records have no key.
pub(crate) fn deletion_key(table: &TableDefinition) -> Result<usize, ConnectorError> {
    SinkConfig::new(table)?.key.ok_or_else(|| {
        table.options().error(format!(
            "tombstones are to delete rows, and the records of this topic have no key to delete them by; write \
             'sink.key_field', or '{TOMBSTONES}' = 'ignore' in the source's table"
        ))
    })
}

/// The topic that `table` reads from; `None` if it is no Kafka source.
///
/// # Errors
/// [`ConnectorError::Option`] for options that cannot be used.
pub fn source_connection(table: &TableDefinition) -> Result<Option<Connection>, ConnectorError> {
    let is_source = table.connector() == "kafka" && table.options.get("type").is_some_and(|role| role == "source");
    is_source
        .then(|| SourceConfig::new(table).map(|config| config.connection))
        .transpose()
}

/// Opens a topic to read from.
pub(crate) async fn open_source(
    table: &TableDefinition,
    context: &SourceContext,
) -> Result<Arc<dyn Source>, ConnectorError> {
    Ok(Arc::new(KafkaSource::open(SourceConfig::new(table)?, context).await?))
}

/// Opens a topic to write to.
pub(crate) async fn open_sink(table: &TableDefinition, context: &SinkContext) -> Result<Arc<dyn Sink>, ConnectorError> {
    Ok(Arc::new(
        KafkaSink::open(SinkConfig::new(table)?, &context.waits).await?,
    ))
}
