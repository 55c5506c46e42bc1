//! A topic from where a group stands to its present end, without joining the group.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Connection, Monitor, REQUEST_TIMEOUT, RETRY_PAUSE, partitions};
use super::source::source_record;
use super::unreadable::{Trouble, UNREADABLE, behind, named, trouble};
use crate::{ConnectorError, SourceRecord, Waits};

/// How long a poll waits for a record.
const POLL: Duration = Duration::from_millis(100);

/// How often a commit is tried.
const COMMITS: u32 = 60;

/// A partition as it was when it was looked at.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// The offset of the first record.
    pub(crate) low: i64,
    /// The offset after the last record.
    pub(crate) end: i64,
    /// What the group has committed.
    pub(crate) committed: Option<Committed>,
}

/// A group's standing in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The offset of the next record.
    pub(crate) offset: i64,
    /// A text that the group keeps with it.
    pub(crate) metadata: String,
}

/// A topic up to its end when it was opened. A group's offsets are read and committed as by a consumer that assigns
/// itself its partitions: one process at a time may do that for a group.
pub(crate) struct TopicSnapshot {
    connection: Connection,
    group: String,
    consumer: Arc<BaseConsumer<Monitor>>,
    spans: BTreeMap<i32, Span>,
}

impl TopicSnapshot {
    /// Looks where the group and the topic stand. Waits for brokers that are away.
    ///
    /// # Errors
    /// [`ConnectorError::Refused`] if there is no such topic, or the topic or the group may not be read.
    pub(crate) async fn open(connection: &Connection, group: &str) -> Result<Self, ConnectorError> {
        let config = connection.config(&[
            ("group.id", group),
            ("client.id", "sightstream-dead-letters"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "earliest"),
        ]);
        let monitor = Monitor::default();
        let consumer: BaseConsumer<Monitor> = BaseConsumer::from_config_and_context(&config, monitor.clone())
            .map_err(|error| connection.cannot_connect(&error))?;
        let consumer = Arc::new(consumer);
        let ids = {
            let (asked, topic) = (Arc::clone(&consumer), connection.topic.clone());
            let fetch = move || {
                // Errors of the connection are told by polling.
                while asked.poll(Duration::ZERO).is_some() {}
                asked.fetch_metadata(Some(&topic), REQUEST_TIMEOUT)
            };
            partitions(connection, &Waits::default(), &monitor, fetch).await?
        };
        loop {
            let (asked, topic, ids) = (Arc::clone(&consumer), connection.topic.clone(), ids.clone());
            let looked = tokio::task::spawn_blocking(move || look(&asked, &topic, &ids)).await;
            match looked.map_err(|error| ConnectorError::Internal(error.to_string()))? {
                Ok(spans) => {
                    return Ok(Self {
                        connection: connection.clone(),
                        group: group.to_string(),
                        consumer,
                        spans,
                    });
                }
                Err(error) if is_denied(&error) => {
                    return Err(connection.refused(format!("the topic or the group cannot be read: {error}")));
                }
                Err(error) => tracing::warn!(
                    servers = %connection.servers,
                    topic = %connection.topic,
                    %error,
                    "the group's offsets cannot be read yet; waiting"
                ),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// The partitions.
    pub(crate) fn spans(&self) -> &BTreeMap<i32, Span> {
        &self.spans
    }

    /// Reads each partition from its offset in `starts` to the end, until `each` breaks. Blocks.
    pub(crate) fn read(
        &self,
        starts: &BTreeMap<i32, i64>,
        mut each: impl FnMut(SourceRecord) -> ControlFlow<()>,
    ) -> Result<(), ConnectorError> {
        let topic = &self.connection.topic;
        let internal = |error: KafkaError| ConnectorError::Internal(error.to_string());
        let mut ends = BTreeMap::new();
        let mut list = TopicPartitionList::new();
        for (&partition, &start) in starts {
            if let Some(span) = self.spans.get(&partition).filter(|span| start < span.end) {
                ends.insert(partition, span.end);
                list.add_partition_offset(topic, partition, Offset::Offset(start))
                    .map_err(internal)?;
            }
        }
        if ends.is_empty() {
            return Ok(());
        }
        self.consumer.assign(&list).map_err(internal)?;
        // Since when nothing but errors came that say that the next records cannot be read.
        let mut stuck: Option<Instant> = None;
        while !ends.is_empty() {
            match self.consumer.poll(POLL) {
                None => {}
                Some(Ok(message)) => {
                    stuck = None;
                    let (partition, next) = (message.partition(), message.offset() + 1);
                    let end = ends.get(&partition).copied().unwrap_or(0);
                    if next >= end {
                        ends.remove(&partition);
                    }
                    if next <= end && each(source_record(&message, "")).is_break() {
                        break;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(ends.remove(&partition)),
                Some(Err(error)) if is_denied(&error) || matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                    return Err(self
                        .connection
                        .refused(format!("the topic `{topic}` cannot be read: {error}")));
                }
                // The monitor has told it, and the client goes on trying.
                Some(Err(error)) => {
                    let is_hopeless = match trouble(&error) {
                        Trouble::Skipped => true,
                        Trouble::Stuck => stuck.get_or_insert_with(Instant::now).elapsed() >= UNREADABLE,
                        Trouble::Other => false,
                    };
                    if is_hopeless {
                        let places = named(&behind(&*self.consumer, topic));
                        let reason = format!("{places} of the topic `{topic}` cannot be read: {error}");
                        return Err(self.connection.refused(reason));
                    }
                }
            }
        }
        self.consumer.unassign().map_err(internal)
    }

    /// Commits where the group stands. Blocks, and tries for a minute.
    pub(crate) fn commit(&self, standings: &BTreeMap<i32, Committed>) -> Result<(), ConnectorError> {
        let mut list = TopicPartitionList::new();
        for (&partition, committed) in standings {
            let mut element = list.add_partition(&self.connection.topic, partition);
            element
                .set_offset(Offset::Offset(committed.offset))
                .map_err(|error| ConnectorError::Internal(error.to_string()))?;
            element.set_metadata(&committed.metadata);
        }
        let group = &self.group;
        for attempt in 1_u32.. {
            let Err(error) = self.consumer.commit(&list, CommitMode::Sync) else {
                break;
            };
            if matches!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::IllegalGeneration)
            ) {
                return Err(self.connection.refused(format!(
                    "the group '{group}' has consumers of its own, and takes no offsets from others; name another group"
                )));
            }
            if is_denied(&error) || attempt >= COMMITS {
                return Err(self.connection.refused(format!(
                    "the offsets of the group '{group}' cannot be committed: {error}"
                )));
            }
            tracing::warn!(group, %error, "offsets cannot be committed yet; trying again");
            std::thread::sleep(RETRY_PAUSE);
        }
        Ok(())
    }
}

fn is_denied(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed)
    )
}

fn look(consumer: &BaseConsumer<Monitor>, topic: &str, partitions: &[i32]) -> KafkaResult<BTreeMap<i32, Span>> {
    let mut list = TopicPartitionList::new();
    for &partition in partitions {
        list.add_partition(topic, partition);
    }
    let list = consumer.committed_offsets(list, REQUEST_TIMEOUT)?;
    let mut spans = BTreeMap::new();
    for element in list.elements() {
        element.error()?;
        let (low, end) = consumer.fetch_watermarks(topic, element.partition(), REQUEST_TIMEOUT)?;
        let committed = match element.offset() {
            Offset::Offset(offset) => Some(Committed {
                offset,
                metadata: element.metadata().to_string(),
            }),
            _ => None,
        };
        spans.insert(element.partition(), Span { low, end, committed });
    }
    Ok(spans)
}
