//! What a Kafka table's options say.

use std::collections::BTreeMap;
use std::str::FromStr;

use arrow::datatypes::{DataType, SchemaRef};

use super::client::Connection;
use crate::format::{BadData, JsonOptions, RecordDecoder, take_format};
use crate::{ConnectorError, Options, TableDefinition};

/// Where a group without a committed offset starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Earliest,
    Latest,
}

/// The option that says what a record without a value does.
pub const TOMBSTONES: &str = "source.tombstones";

/// What a record without a value (a tombstone) does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tombstones {
    /// Nothing: it is counted and passed over.
    #[default]
    Ignore,
    /// It deletes the row that its key names.
    Delete,
}

impl Tombstones {
    /// The name in options and flags.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Delete => "delete",
        }
    }
}

impl FromStr for Tombstones {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::Ignore, Self::Delete];
        let found = all.into_iter().find(|tombstones| tombstones.as_str() == name);
        found.ok_or_else(|| "write ignore or delete".to_string())
    }
}

/// The settings of librdkafka that decide whether a record can be lost or read twice.
const OWN_SETTINGS: [(&str, &str); 10] = [
    ("bootstrap.servers", "is the option 'bootstrap_servers'"),
    ("metadata.broker.list", "is the option 'bootstrap_servers'"),
    ("group.id", "is the option 'source.group_id'"),
    ("isolation.level", "is the option 'source.read_mode'"),
    (
        "enable.auto.commit",
        "cannot be changed: offsets are committed when the rows are durable",
    ),
    (
        "enable.auto.offset.store",
        "cannot be changed: offsets are committed when the rows are durable",
    ),
    ("enable.partition.eof", "cannot be changed"),
    ("enable.idempotence", "cannot be changed: the producer is idempotent"),
    ("transactional.id", "cannot be set: rows are written at least once"),
    (
        "acks",
        "cannot be changed: a record is written when all in-sync replicas have it",
    ),
];

/// A source's options, checked.
pub(super) struct SourceConfig {
    pub(super) table: String,
    pub(super) connection: Connection,
    pub(super) group: String,
    pub(super) start: Start,
    pub(super) read_committed: bool,
    pub(super) bad_data: BadData,
    pub(super) tombstones: Tombstones,
    pub(super) decoder: RecordDecoder,
}

impl SourceConfig {
    pub(super) fn new(table: &TableDefinition) -> Result<Self, ConnectorError> {
        let mut options = table.options();
        let (mut connection, json) = common(&mut options, "source")?;
        let offset = options.take("source.offset");
        let reset = connection.client.remove("auto.offset.reset");
        if reset.is_some() && offset.as_deref() != Some("group") {
            return Err(options.error(
                "'auto.offset.reset' in 'client_configs' goes with 'source.offset' = 'group'; otherwise write \
                 'source.offset' = 'earliest' or 'latest'",
            ));
        }
        let start = match (offset.as_deref(), reset.as_deref()) {
            (Some("earliest"), _) | (Some("group"), Some("earliest" | "smallest" | "beginning")) => Start::Earliest,
            (None | Some("latest"), _) | (Some("group"), None | Some("latest" | "largest" | "end")) => Start::Latest,
            (Some("group"), Some(other)) => {
                return Err(options.error(format!("'auto.offset.reset' is 'earliest' or 'latest', not '{other}'")));
            }
            (Some(other), _) => {
                return Err(options.error(format!(
                    "'source.offset' is 'earliest', 'latest' or 'group' and cannot be '{other}'"
                )));
            }
        };
        let read_committed = match options.take("source.read_mode").as_deref() {
            None | Some("read_uncommitted") => false,
            Some("read_committed") => true,
            Some(other) => {
                return Err(options.error(format!(
                    "'source.read_mode' is 'read_committed' or 'read_uncommitted' and cannot be '{other}'"
                )));
            }
        };
        let default_group = format!("sightstream-{}-{}", connection.topic, table.name);
        let group = match (options.take("source.group_id"), options.take("source.group_id_prefix")) {
            (Some(group), _) => group,
            (None, Some(prefix)) => format!("{prefix}-{default_group}"),
            (None, None) => default_group,
        };
        let bad_data = BadData::take(&mut options)?;
        let tombstones = options.parse(TOMBSTONES)?.unwrap_or_default();
        refuse_incremental_rebalance(&connection, &options)?;
        options.finish()?;
        let decoder = RecordDecoder::new(table, json)?;
        Ok(Self {
            table: table.name.clone(),
            connection,
            group,
            start,
            read_committed,
            bad_data,
            tombstones,
            decoder,
        })
    }
}

/// A sink's options, checked.
pub(super) struct SinkConfig {
    pub(super) table: String,
    pub(super) connection: Connection,
    pub(super) schema: SchemaRef,
    pub(super) json: JsonOptions,
    /// Column indices.
    pub(super) key: Option<usize>,
    pub(super) timestamp: Option<usize>,
    pub(super) headers: Option<usize>,
}

impl SinkConfig {
    pub(super) fn new(table: &TableDefinition) -> Result<Self, ConnectorError> {
        let mut options = table.options();
        let (connection, json) = common(&mut options, "sink")?;
        match options.take("sink.commit_mode").as_deref() {
            None | Some("at_least_once") => {}
            Some("exactly_once") => {
                return Err(options.error(
                    "'sink.commit_mode' = 'exactly_once' is not there: rows are written at least once, so a restart \
                     may write the last ones again; give the topic's readers a key to tell them by \
                     ('sink.key_field'), or run the query on Arroyo",
                ));
            }
            Some(other) => {
                return Err(options.error(format!("'sink.commit_mode' is 'at_least_once' and cannot be '{other}'")));
            }
        }
        let mut column = |option: &str| {
            let Some(name) = options.take(option) else {
                return Ok(None);
            };
            table.schema.index_of(&name).map(Some).map_err(|_| {
                options.error(format!(
                    "'{option}' names the column `{name}`, which the table does not have"
                ))
            })
        };
        let key = column("sink.key_field")?;
        let timestamp = column("sink.timestamp_field")?;
        if let Some(index) = timestamp
            && !matches!(table.schema.field(index).data_type(), DataType::Timestamp(..))
        {
            return Err(options.error(format!(
                "'sink.timestamp_field' names the column `{}`, which is no TIMESTAMP",
                table.schema.field(index).name()
            )));
        }
        let headers = column("sink.headers_field")?;
        if let Some(index) = headers {
            check_headers(&table.schema, index).map_err(|reason| options.error(reason))?;
        }
        if let Some(metadata) = table.metadata_columns.first() {
            return Err(options.error(format!(
                "column `{}` is METADATA, which only a source has; for a key write 'sink.key_field', for headers \
                 'sink.headers_field'",
                metadata.column
            )));
        }
        options.finish()?;
        Ok(Self {
            table: table.name.clone(),
            connection,
            schema: table.schema.clone(),
            json,
            key,
            timestamp,
            headers,
        })
    }
}

/// Whether the column at `index` can hold headers, and leaves others for the value.
fn check_headers(schema: &SchemaRef, index: usize) -> Result<(), String> {
    let field = schema.field(index);
    let name = field.name();
    if !matches!(
        field.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    ) {
        return Err(format!(
            "'sink.headers_field' names the column `{name}`, which is neither JSON nor TEXT"
        ));
    }
    if schema.fields().len() == 1 {
        return Err(format!(
            "'sink.headers_field' names the column `{name}`, which is left out of the record's value, and the table has \
             no other"
        ));
    }
    Ok(())
}

/// The options that sources and sinks share.
fn common(options: &mut Options, role: &str) -> Result<(Connection, JsonOptions), ConnectorError> {
    options.take("connector");
    let declared = options.require("type")?;
    if declared != role {
        return Err(options.error(format!(
            "the table is declared with type = '{declared}' and used as a {role}; write type = '{role}'"
        )));
    }
    take_format(options, &["json"])?;
    let servers = options.require("bootstrap_servers")?;
    let topic = options.require("topic")?;
    let mut client = authentication(options)?;
    if let Some(given) = options.take("client_configs") {
        client.extend(client_configs(&given, options)?);
    }
    let json = JsonOptions::take(options)?;
    let connection = Connection { servers, topic, client };
    connection.check().map_err(|reason| options.error(reason))?;
    Ok((connection, json))
}

fn client_configs(given: &str, options: &Options) -> Result<BTreeMap<String, String>, ConnectorError> {
    let mut settings = BTreeMap::new();
    for pair in given.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(options.error(format!(
                "'client_configs' is 'name=value,name=value'; '{pair}' has no '='"
            )));
        };
        let (name, value) = (name.trim(), value.trim());
        if let Some((_, reason)) = OWN_SETTINGS.iter().find(|(own, _)| *own == name) {
            return Err(options.error(format!("'{name}' in 'client_configs' {reason}")));
        }
        settings.insert(name.to_string(), value.to_string());
    }
    Ok(settings)
}

fn authentication(options: &mut Options) -> Result<BTreeMap<String, String>, ConnectorError> {
    match options.take("auth.type").as_deref() {
        None | Some("none") => Ok(BTreeMap::new()),
        Some("sasl") => Ok([
            ("sasl.mechanism".to_string(), options.require("auth.mechanism")?),
            ("security.protocol".to_string(), options.require("auth.protocol")?),
            ("sasl.username".to_string(), options.require("auth.username")?),
            ("sasl.password".to_string(), options.require("auth.password")?),
        ]
        .into()),
        Some(other) => Err(options.error(format!(
            "'auth.type' is 'none' or 'sasl' and cannot be '{other}'; certificates and Kerberos are set in \
             'client_configs' (security.protocol=SSL,ssl.ca.location=…)"
        ))),
    }
}

/// A rebalance must take all partitions away, so that what was read and not committed is read again by whoever gets
/// them. The incremental protocols leave some in place.
fn refuse_incremental_rebalance(connection: &Connection, options: &Options) -> Result<(), ConnectorError> {
    let setting = |name: &str| connection.client.get(name).map(String::as_str).unwrap_or_default();
    if setting("partition.assignment.strategy").contains("cooperative") || setting("group.protocol") == "consumer" {
        return Err(options.error(
            "in 'client_configs', cooperative rebalancing and group.protocol=consumer cannot be used; \
             partition.assignment.strategy may be range or roundrobin",
        ));
    }
    Ok(())
}
