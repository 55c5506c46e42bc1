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
        let (mut connection, json) = common(&mut options, "source");
        let reset = connection
            .as_mut()
            .and_then(|connection| connection.client.remove("auto.offset.reset"));
        let start = options.attempt(|options| start(options, reset.as_deref()));
        let read_committed = options.attempt(read_committed);
        let (group, prefix) = (options.take("source.group_id"), options.take("source.group_id_prefix"));
        let bad_data = options.attempt(BadData::take);
        let tombstones = options.attempt(|options| Ok(options.parse(TOMBSTONES)?.unwrap_or_default()));
        if let Some(connection) = &connection {
            options.attempt(|options| refuse_incremental_rebalance(connection, options));
        }
        let decoder = options.attempt(|_| RecordDecoder::new(table, json.unwrap_or_default()));
        options.finish(|| {
            let connection = connection?;
            let default_group = format!("sightstream-{}-{}", connection.topic, table.name);
            let group = match (group, prefix) {
                (Some(group), _) => group,
                (None, Some(prefix)) => format!("{prefix}-{default_group}"),
                (None, None) => default_group,
            };
            Some(Self {
                table: table.name.clone(),
                connection,
                group,
                start: start?,
                read_committed: read_committed?,
                bad_data: bad_data?,
                tombstones: tombstones?,
                decoder: decoder?,
            })
        })
    }
}

fn start(options: &mut Options, reset: Option<&str>) -> Result<Start, ConnectorError> {
    const OFFSET: &str = "source.offset";
    let offset = options.take(OFFSET);
    if reset.is_some() && offset.as_deref() != Some("group") {
        return Err(options.error_at(
            "client_configs",
            "'auto.offset.reset' in 'client_configs' goes with 'source.offset' = 'group'; otherwise write \
             'source.offset' = 'earliest' or 'latest'",
        ));
    }
    match (offset.as_deref(), reset) {
        (Some("earliest"), _) | (Some("group"), Some("earliest" | "smallest" | "beginning")) => Ok(Start::Earliest),
        (None | Some("latest"), _) | (Some("group"), None | Some("latest" | "largest" | "end")) => Ok(Start::Latest),
        (Some("group"), Some(other)) => Err(options.error_at(
            "client_configs",
            format!("'auto.offset.reset' is 'earliest' or 'latest', not '{other}'"),
        )),
        (Some(other), _) => Err(options.error_at(
            OFFSET,
            format!("'source.offset' is 'earliest', 'latest' or 'group' and cannot be '{other}'"),
        )),
    }
}

fn read_committed(options: &mut Options) -> Result<bool, ConnectorError> {
    const MODE: &str = "source.read_mode";
    match options.take(MODE).as_deref() {
        None | Some("read_uncommitted") => Ok(false),
        Some("read_committed") => Ok(true),
        Some(other) => Err(options.error_at(
            MODE,
            format!("'source.read_mode' is 'read_committed' or 'read_uncommitted' and cannot be '{other}'"),
        )),
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
        let (connection, json) = common(&mut options, "sink");
        options.attempt(commit_mode);
        let schema = &table.schema;
        let key = options.attempt(|options| column(options, "sink.key_field", schema));
        let timestamp = options.attempt(|options| timestamp_column(options, schema));
        let headers = options.attempt(|options| {
            const FIELD: &str = "sink.headers_field";
            let index = column(options, FIELD, schema)?;
            match index.map_or(Ok(()), |index| check_headers(schema, index)) {
                Ok(()) => Ok(index),
                Err(reason) => Err(options.error_at(FIELD, reason)),
            }
        });
        options.attempt(|options| match table.metadata_columns.first() {
            None => Ok(()),
            Some(metadata) => Err(options.error(format!(
                "column `{}` is METADATA, which only a source has; for a key write 'sink.key_field', for headers \
                 'sink.headers_field'",
                metadata.column
            ))),
        });
        options.finish(|| {
            Some(Self {
                table: table.name.clone(),
                connection: connection?,
                schema: table.schema.clone(),
                json: json?,
                key: key?,
                timestamp: timestamp?,
                headers: headers?,
            })
        })
    }
}

fn commit_mode(options: &mut Options) -> Result<(), ConnectorError> {
    const MODE: &str = "sink.commit_mode";
    match options.take(MODE).as_deref() {
        None | Some("at_least_once") => Ok(()),
        Some("exactly_once") => Err(options.error_at(
            MODE,
            "'sink.commit_mode' = 'exactly_once' is not there: rows are written at least once, so a restart may write \
             the last ones again; give the topic's readers a key to tell them by ('sink.key_field'), or run the query \
             on Arroyo",
        )),
        Some(other) => Err(options.error_at(
            MODE,
            format!("'sink.commit_mode' is 'at_least_once' and cannot be '{other}'"),
        )),
    }
}

/// The index of the column that `option` names.
fn column(options: &mut Options, option: &str, schema: &SchemaRef) -> Result<Option<usize>, ConnectorError> {
    let Some(name) = options.take(option) else {
        return Ok(None);
    };
    schema.index_of(&name).map(Some).map_err(|_| {
        options.error_at(
            option,
            format!("'{option}' names the column `{name}`, which the table does not have"),
        )
    })
}

fn timestamp_column(options: &mut Options, schema: &SchemaRef) -> Result<Option<usize>, ConnectorError> {
    const FIELD: &str = "sink.timestamp_field";
    let index = column(options, FIELD, schema)?;
    match index.map(|index| schema.field(index)) {
        Some(field) if !matches!(field.data_type(), DataType::Timestamp(..)) => Err(options.error_at(
            FIELD,
            format!("'{FIELD}' names the column `{}`, which is no TIMESTAMP", field.name()),
        )),
        _ => Ok(index),
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
fn common(options: &mut Options, role: &str) -> (Option<Connection>, Option<JsonOptions>) {
    options.take("connector");
    options.attempt(|options| options.require_role(role));
    options.attempt(|options| take_format(options, &["json"]));
    let servers = options.attempt(|options| options.require("bootstrap_servers"));
    let topic = options.attempt(|options| options.require("topic"));
    let own = options.attempt(authentication);
    let given = options.attempt(client_configs);
    let json = options.attempt(JsonOptions::take);
    let (Some(own), Some(given)) = (own, given) else {
        return (None, json);
    };
    let mut connection = Connection {
        servers: servers.clone().unwrap_or_default(),
        topic: topic.clone().unwrap_or_default(),
        client: own,
    };
    connection.client.extend(given);
    let checked = options.attempt(|options| {
        connection
            .check()
            .map_err(|reason| options.error_at("client_configs", reason))
    });
    let complete = servers.is_some() && topic.is_some() && checked.is_some();
    (complete.then_some(connection), json)
}

fn client_configs(options: &mut Options) -> Result<BTreeMap<String, String>, ConnectorError> {
    const CONFIGS: &str = "client_configs";
    let given = options.take(CONFIGS).unwrap_or_default();
    let mut settings = BTreeMap::new();
    let mut before = None;
    for pair in given.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            // Not shown: it may be the rest of a password with a comma in it.
            let which = match before {
                Some(name) => format!("what follows the value of '{name}'"),
                None => "its beginning".to_string(),
            };
            return Err(options.error_at(
                CONFIGS,
                format!("'client_configs' is 'name=value,name=value', without commas in values; {which} has no '='"),
            ));
        };
        before = Some(name.trim());
        let (name, value) = (name.trim(), value.trim());
        if let Some((_, reason)) = OWN_SETTINGS.iter().find(|(own, _)| *own == name) {
            return Err(options.error_at(CONFIGS, format!("'{name}' in 'client_configs' {reason}")));
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
        Some(other) => Err(options.error_at(
            "auth.type",
            format!(
                "'auth.type' is 'none' or 'sasl' and cannot be '{other}'; certificates and Kerberos are set in \
                 'client_configs' (security.protocol=SSL,ssl.ca.location=…)"
            ),
        )),
    }
}

/// A rebalance must take all partitions away, so that what was read and not committed is read again by whoever gets
/// them. The incremental protocols leave some in place.
fn refuse_incremental_rebalance(connection: &Connection, options: &Options) -> Result<(), ConnectorError> {
    let setting = |name: &str| connection.client.get(name).map(String::as_str).unwrap_or_default();
    if setting("partition.assignment.strategy").contains("cooperative") || setting("group.protocol") == "consumer" {
        return Err(options.error_at(
            "client_configs",
            "in 'client_configs', cooperative rebalancing and group.protocol=consumer cannot be used; \
             partition.assignment.strategy may be range or roundrobin",
        ));
    }
    Ok(())
}
