//! Where dead letters are sent back to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rdkafka::message::{Header, OwnedHeaders};

use super::{DeadLetter, DeadLetterTarget};
use crate::kafka::{Connection, Outgoing};
use crate::{OriginKind, SourceRecord};

/// The header that counts how often a record was sent back.
pub const REPLAYS: &str = "sightstream.replays";

/// The header with the time of the record as it first was, in milliseconds since 1970. A record that is sent back has the time
/// of its sending: with its old one, a topic that keeps its records for some days might drop it before it is read.
const TIMESTAMP: &str = "sightstream.timestamp";

/// Where dead letters are sent back to.
#[derive(Debug, Clone)]
pub enum ReplayDestination {
    /// A Kafka cluster: each record to the topic and the partition that it came from. The connection's topic is empty.
    Cluster(Connection),
    /// One topic for all records.
    Topic(Connection),
    /// The topics of a job's source tables, by the table's name.
    Tables(BTreeMap<String, Connection>),
    /// A file of JSON lines, for records that came from files.
    File(PathBuf),
}

/// A record on its way back.
pub(super) struct Parcel {
    pub to: To,
    pub record: Outgoing,
    /// Bytes of its key and its value.
    pub bytes: usize,
}

/// Tells places apart: a cluster's servers (none for a file), and the topic or the path.
pub(super) type Address = (String, String);

/// Where a parcel goes.
pub(super) enum To {
    Topic(Connection),
    File(PathBuf),
}

impl To {
    /// The place among those of all clusters.
    pub fn address(&self) -> Address {
        match self {
            Self::Topic(connection) => (connection.servers.clone(), connection.topic.clone()),
            Self::File(path) => (String::new(), path.display().to_string()),
        }
    }

    /// The place, for people.
    pub fn name(&self) -> String {
        match self {
            Self::Topic(connection) => connection.topic.clone(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

impl ReplayDestination {
    /// Reads the text of a flag: `kafka://host:port[/topic][?librdkafka.setting=value]`, or a path.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it, without settings, which may hold passwords.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("kafka://") {
            let connection = super::target::parse_connection(rest)?;
            return Ok(if connection.topic.is_empty() {
                Self::Cluster(connection)
            } else {
                Self::Topic(connection)
            });
        }
        match DeadLetterTarget::parse(text) {
            Ok(DeadLetterTarget::File(path)) => Ok(Self::File(path)),
            _ => Err(format!(
                "records are sent back to 'kafka://host:port', to 'kafka://host:port/topic' or to a file, not to '{}'",
                DeadLetterTarget::shown(text)
            )),
        }
    }

    /// The record of `letter`, ready to be sent.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub(super) fn parcel(&self, letter: DeadLetter, max_replays: u32) -> Result<Parcel, String> {
        let record = letter.record.ok_or("the failure belongs to no single record")?;
        if record.truncated {
            return Err("only the first part of the record was kept".into());
        }
        let replays = replays(&record);
        if replays >= max_replays {
            return Err(format!("sent back {max_replays} times or more already"));
        }
        let to = self.to(&record)?;
        let keeps_partition = !matches!(self, Self::Topic(_));
        let bytes = record.value.as_ref().map_or(0, Vec::len) + record.key.as_ref().map_or(0, Vec::len);
        let headers = headers(&record, replays + 1);
        let record = Outgoing {
            key: record.key,
            value: record.value,
            timestamp: None,
            headers: Some(headers),
            // The partitioner of whoever wrote the record may be another than this client's.
            partition: keeps_partition.then_some(record.origin.partition),
        };
        Ok(Parcel { to, record, bytes })
    }

    fn to(&self, record: &SourceRecord) -> Result<To, String> {
        let topic = &record.origin.topic;
        match (self, record.origin.kind) {
            (Self::Topic(connection), _) => Ok(To::Topic(connection.clone())),
            (Self::Cluster(connection), OriginKind::Topic) => Ok(To::Topic(Connection {
                topic: topic.clone(),
                ..connection.clone()
            })),
            (Self::Tables(tables), OriginKind::Topic) => table_topic(tables, record).map(To::Topic),
            (Self::File(path), OriginKind::File) => Ok(To::File(path.clone())),
            (Self::Cluster(_) | Self::Tables(_), OriginKind::File) => Err(
                "it came from a file: --to FILE writes it to another, --to kafka://HOST:PORT/TOPIC to a topic".into(),
            ),
            (Self::File(_), OriginKind::Topic) => Err(format!(
                "it came from the topic {topic}: --to kafka://HOST:PORT sends it there"
            )),
        }
    }
}

/// The topic of the table that `record` came from. A table may have another name by now: then the one that reads such a topic,
/// if it is only one, since topics of several clusters may have the same name.
fn table_topic(tables: &BTreeMap<String, Connection>, record: &SourceRecord) -> Result<Connection, String> {
    let (topic, table) = (&record.origin.topic, &record.origin.table);
    let mut reading = tables.values().filter(|connection| connection.topic == *topic);
    let own = tables.get(table).filter(|connection| connection.topic == *topic);
    match (own, reading.next(), reading.next()) {
        (Some(connection), ..) | (None, Some(connection), None) => Ok(connection.clone()),
        (None, Some(_), Some(_)) => Err(format!(
            "several tables of the job read a topic {topic}, and none of them is {table}: --to kafka://… says which is \
             meant"
        )),
        (None, None, _) => Err(format!(
            "no table of the job reads the topic {topic}: --to kafka://… sends it there"
        )),
    }
}

/// How often the record was sent back before.
fn replays(record: &SourceRecord) -> u32 {
    let header = record.headers.iter().rfind(|(name, _)| name == REPLAYS);
    let text = header.and_then(|(_, value)| std::str::from_utf8(value.as_deref()?).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn headers(record: &SourceRecord, replays: u32) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new();
    let mut put = |key: &str, value: Option<&[u8]>| {
        headers = std::mem::take(&mut headers).insert(Header { key, value });
    };
    for (name, value) in record.headers.iter().filter(|(name, _)| name != REPLAYS) {
        put(name, value.as_deref());
    }
    let has_time = record.headers.iter().any(|(name, _)| name == TIMESTAMP);
    if let Some(time) = record.origin.timestamp_ms.filter(|_| !has_time) {
        put(TIMESTAMP, Some(time.to_string().as_bytes()));
    }
    put(REPLAYS, Some(replays.to_string().as_bytes()));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_one_name_are_told_apart_by_the_table() {
        let connection = |servers: &str| Connection {
            servers: servers.into(),
            topic: "media".into(),
            client: BTreeMap::new(),
        };
        let record = |table: &str| SourceRecord {
            value: None,
            key: None,
            headers: Vec::new(),
            truncated: false,
            origin: crate::Origin {
                kind: OriginKind::Topic,
                table: table.into(),
                topic: "media".into(),
                partition: 0,
                offset: 0,
                timestamp_ms: None,
            },
        };
        let mut tables: BTreeMap<String, Connection> = [("one".into(), connection("a:1"))].into();
        let to = |tables: &BTreeMap<_, _>, table: &str| table_topic(tables, &record(table)).map(|to| to.servers);
        assert_eq!(to(&tables, "renamed"), Ok("a:1".into()));
        tables.insert("two".into(), connection("b:1"));
        assert_eq!(to(&tables, "one"), Ok("a:1".into()));
        assert_eq!(to(&tables, "two"), Ok("b:1".into()));
        assert!(to(&tables, "renamed").is_err());
    }

    #[test]
    fn a_destination_is_a_cluster_a_topic_or_a_file() {
        let parse = ReplayDestination::parse;
        assert!(matches!(parse("kafka://a:1"), Ok(ReplayDestination::Cluster(to)) if to.servers == "a:1"));
        assert!(matches!(parse("kafka://a:1/t?client.id=x"), Ok(ReplayDestination::Topic(to)) if to.topic == "t"));
        assert!(matches!(parse("again.jsonl"), Ok(ReplayDestination::File(_))));
        for wrong in [
            "",
            "none",
            "s3://key:s3cret@b/c",
            "kafka://me:s3cret@a:1",
            "kafka://",
            "kafka://a?s3cret",
        ] {
            let reason = parse(wrong).expect_err(wrong);
            assert!(!reason.contains("s3cret"), "{reason}");
        }
    }
}
