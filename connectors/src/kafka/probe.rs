//! What a cluster tells of a topic and a group. The group is not joined, no offset is committed and no topic is made.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Connection, Look, committed, look};
use super::config::{SinkConfig, SourceConfig, Start};
use super::source::source_record;
use super::unreadable::{Trouble, trouble};
use crate::probe::{Fact, ProbeContext};
use crate::{ConnectorError, TableDefinition};

const SERVERS: &str = "bootstrap_servers";
const TOPIC: &str = "topic";
const GROUP: &str = "source.group_id";

/// How long the newest record is waited for.
const NEWEST: Duration = Duration::from_secs(2);

/// Looks at a source's topic and group.
pub(crate) async fn probe_source(table: &TableDefinition, context: &ProbeContext) -> Result<Vec<Fact>, ConnectorError> {
    let config = SourceConfig::new(table)?;
    let deadline = Instant::now() + context.timeout;
    blocking(context, move || {
        let probe = Probe::new(config.connection.clone(), Some(&config.group), deadline)?;
        let mut facts = Vec::new();
        if let Some(partitions) = probe.topic(&mut facts) {
            probe.group(&config, &partitions, &mut facts);
        }
        Ok(facts)
    })
    .await
}

/// Looks at a sink's topic.
pub(crate) async fn probe_sink(table: &TableDefinition, context: &ProbeContext) -> Result<Vec<Fact>, ConnectorError> {
    probe_topic(SinkConfig::new(table)?.connection, context).await
}

/// Looks at a topic that is to be written to. Whether it may be is known only to who writes.
pub(crate) async fn probe_topic(connection: Connection, context: &ProbeContext) -> Result<Vec<Fact>, ConnectorError> {
    let deadline = Instant::now() + context.timeout;
    blocking(context, move || {
        let probe = Probe::new(connection, None, deadline)?;
        let mut facts = Vec::new();
        probe.topic(&mut facts);
        Ok(facts)
    })
    .await
}

async fn blocking(
    context: &ProbeContext,
    work: impl FnOnce() -> Result<Vec<Fact>, ConnectorError> + Send + 'static,
) -> Result<Vec<Fact>, ConnectorError> {
    if context.offline {
        return Ok(Vec::new());
    }
    crate::error::blocking(work).await?
}

/// What a broker complains of: the code, if it has one, and a sentence.
type Complaint = (Option<RDKafkaErrorCode>, String);

/// Keeps what the brokers complained of last.
#[derive(Clone, Default)]
struct Complaints(Arc<Mutex<Option<Complaint>>>);

impl Complaints {
    fn last(&self) -> Option<Complaint> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Complaints {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down follows from what was said of each.
        if last.is_none() || code != Some(RDKafkaErrorCode::AllBrokersDown) {
            *last = Some((code, reason.to_string()));
        }
    }
}

impl ConsumerContext for Complaints {}

struct Probe {
    connection: Connection,
    consumer: BaseConsumer<Complaints>,
    complaints: Complaints,
    deadline: Instant,
}

impl Probe {
    /// A consumer that never subscribes, and so is in no group. Unlike a producer it makes no topic by asking for one.
    fn new(connection: Connection, group: Option<&str>, deadline: Instant) -> Result<Self, ConnectorError> {
        let mut config = connection.config(&[
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("allow.auto.create.topics", "false"),
        ]);
        if let Some(group) = group {
            config.set("group.id", group);
        }
        let complaints = Complaints::default();
        let consumer = BaseConsumer::from_config_and_context(&config, complaints.clone())
            .map_err(|error| connection.cannot_connect(&error))?;
        Ok(Self {
            connection,
            consumer,
            complaints,
            deadline,
        })
    }

    fn left(&self) -> Duration {
        self.deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(100))
    }

    /// The partitions of the topic, if it is there.
    fn topic(&self, facts: &mut Vec<Fact>) -> Option<Vec<i32>> {
        let (topic, system) = (&self.connection.topic, self.connection.system());
        let timeout = self.left();
        let fact = match look(&self.consumer.fetch_metadata(Some(topic), timeout)) {
            Look::Partitions(partitions) => {
                let count = partitions.len();
                facts.push(
                    Fact::ok(format!(
                        "{system} answers; the topic `{topic}` has {}",
                        plural(count, "partition")
                    ))
                    .at(TOPIC),
                );
                return Some(partitions);
            }
            Look::Unknown => Fact::error(format!(
                "{system} has no topic `{topic}`; create it (kafka-topics.sh --create --topic {topic} …) or mend the \
                 option 'topic'"
            ))
            .at(TOPIC),
            Look::Denied(error) => Fact::error(format!(
                "{system} denies access to the topic `{topic}`: {error}; ask for the right to describe and read it, or \
                 mend the options auth.…"
            ))
            .at(TOPIC),
            Look::Away(error) => {
                // Polling hands over what the brokers complained of.
                while self.consumer.poll(Duration::ZERO).is_some() {}
                match self.complaints.last() {
                    Some((
                        Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed),
                        reason,
                    )) => Fact::error(format!("{system} denies access: {reason}; mend the options auth.…")),
                    complaint => {
                        let reason = complaint.map_or(error, |(_, reason)| reason);
                        Fact::error(format!(
                            "{system} does not answer within {:.1} s: {reason}; is the option 'bootstrap_servers' \
                             right, and the broker up?",
                            timeout.as_secs_f64()
                        ))
                    }
                }
                .at(SERVERS)
            }
        };
        facts.push(fact);
        None
    }

    /// Where the group stands, and whether the newest record can be read.
    fn group(&self, config: &SourceConfig, partitions: &[i32], facts: &mut Vec<Fact>) {
        let group = &config.group;
        let (committed, ends) = match committed(&self.consumer, &self.connection.topic, partitions, self.left())
            .and_then(|committed| Ok((committed, self.ends(partitions)?)))
        {
            Ok(found) => found,
            Err(error) => {
                facts.push(
                    match error.rdkafka_error_code() {
                        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => Fact::error(format!(
                            "access to the group `{group}` is denied; ask for the right to read it, or name another"
                        )),
                        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Fact::error(format!(
                            "reading the topic `{}` is denied: {error}; ask for the right to read it",
                            self.connection.topic
                        )),
                        _ => Fact::warning(format!(
                            "where the group `{group}` stands was not told in time: {error}"
                        )),
                    }
                    .at(GROUP),
                );
                return;
            }
        };
        facts.push(standing(config, partitions.len(), &committed, &ends).at(GROUP));
        facts.extend(self.newest(config, &ends));
    }

    /// The first offset of each partition and the one after the last.
    fn ends(&self, partitions: &[i32]) -> KafkaResult<BTreeMap<i32, (i64, i64)>> {
        let topic = &self.connection.topic;
        let ends = partitions.iter().map(|&partition| {
            Ok((
                partition,
                self.consumer.fetch_watermarks(topic, partition, self.left())?,
            ))
        });
        ends.collect()
    }

    /// Whether the newest record can be read and fits the columns; nothing if there is none or it does not come in time.
    fn newest(&self, config: &SourceConfig, ends: &BTreeMap<i32, (i64, i64)>) -> Option<Fact> {
        let topic = &self.connection.topic;
        let (&partition, &(_, end)) = ends
            .iter()
            .filter(|(_, (start, end))| start < end)
            .max_by_key(|(_, (_, end))| end)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(end - 1))
            .ok()?;
        self.consumer.assign(&list).ok()?;
        let until = Instant::now() + NEWEST.min(self.left());
        while Instant::now() < until {
            match self.consumer.poll(Duration::from_millis(50)) {
                None => {}
                Some(Ok(message)) => {
                    let record = source_record(&message, &config.table);
                    let place = format!("offset {} of partition {partition}", message.offset());
                    return Some(match &record.value {
                        None => Fact::ok(format!(
                            "the topic can be read; its newest record ({place}) is a tombstone"
                        )),
                        Some(_) => match config.decoder.decode(&record) {
                            Ok(_) => Fact::ok(format!(
                                "the topic can be read; its newest record ({place}) fits the columns"
                            )),
                            Err(reason) => Fact::warning(format!(
                                "the newest record of the topic ({place}) does not fit the columns: {reason}; it would \
                                 be a bad record"
                            )),
                        },
                    });
                }
                Some(Err(error)) => {
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
                        let message = format!("reading the topic `{topic}` is denied; ask for the right to read it");
                        return Some(Fact::error(message).at(TOPIC));
                    }
                    if matches!(error, KafkaError::PartitionEOF(_)) {
                        return None;
                    }
                    if trouble(&error) != Trouble::Other {
                        let message = format!(
                            "the newest record of the topic (offset {} of partition {partition}) cannot be read: {error}",
                            end - 1
                        );
                        return Some(Fact::error(message).at(TOPIC));
                    }
                    tracing::debug!(%error, topic, "reading is interrupted");
                }
            }
        }
        None
    }
}

/// Where the group starts, and how much waits for it.
fn standing(
    config: &SourceConfig,
    partitions: usize,
    committed: &BTreeMap<i32, i64>,
    ends: &BTreeMap<i32, (i64, i64)>,
) -> Fact {
    let group = &config.group;
    let there: i64 = ends.values().map(|(start, end)| end - start).sum();
    if committed.is_empty() {
        return match config.start {
            Start::Earliest => Fact::ok(format!(
                "the group `{group}` has committed nothing yet and starts with the first of {there} records"
            )),
            Start::Latest if there == 0 => Fact::ok(format!(
                "the group `{group}` has committed nothing yet; there are no records"
            )),
            Start::Latest => Fact::warning(format!(
                "the group `{group}` has committed nothing yet and starts after the {there} records that are there; \
                 write 'source.offset' = 'earliest' to read them"
            )),
        };
    }
    let waiting: i64 = ends
        .iter()
        .map(
            |(partition, &(start, end))| match (committed.get(partition), config.start) {
                (Some(&offset), _) => end - offset.clamp(start, end),
                (None, Start::Earliest) => end - start,
                (None, Start::Latest) => 0,
            },
        )
        .sum();
    Fact::ok(format!(
        "the group `{group}` has committed offsets in {} of {}; {} for it",
        committed.len(),
        plural(partitions, "partition"),
        match waiting {
            1 => "1 record waits".to_string(),
            count => format!("{count} records wait"),
        }
    ))
}

fn plural(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
