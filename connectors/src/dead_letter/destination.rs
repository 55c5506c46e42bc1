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
    /// The topics of a job's tables, by name.
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

/// Where a parcel goes.
pub(super) enum To {
    Topic(Connection),
    File(PathBuf),
}

impl To {
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
            (Self::Tables(tables), OriginKind::Topic) => match tables.get(topic) {
                Some(connection) => Ok(To::Topic(connection.clone())),
                None => Err(format!(
                    "no table of the job reads the topic {topic}: --to kafka://… sends it there"
                )),
            },
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
