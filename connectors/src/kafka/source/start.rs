//! Before the first record: which partitions there are, where the group stands, and where the topic ends now.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::buffer::Buffer;
use super::events::{SourceConsumer, SourceEvents};
use super::gaps::Gap;
use crate::kafka::client::{Connection, REQUEST_TIMEOUT, RETRY_PAUSE, committed};
use crate::kafka::config::Start;
use crate::{ConnectorError, SourceContext, Waits};

/// A consumer of the group that has not subscribed yet.
pub(super) fn connect(
    connection: &Connection,
    group: &str,
    read_committed: bool,
    table: &str,
    context: &SourceContext,
    buffer: &Arc<Buffer>,
) -> Result<SourceConsumer, ConnectorError> {
    let mut config = connection.config(&[
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "true"),
        // For partitions that appear later, and for offsets that retention has overtaken. Where a group starts is
        // decided before it subscribes.
        ("auto.offset.reset", "earliest"),
        (
            "isolation.level",
            if read_committed {
                "read_committed"
            } else {
                "read_uncommitted"
            },
        ),
    ]);
    let defaults = [
        ("client.id", format!("sightstream-{}", context.member)),
        ("statistics.interval.ms", "1000".to_string()),
        // librdkafka's own buffer, which pausing throws away.
        ("queued.max.messages.kbytes", "16384".to_string()),
        // By default a partition whose buffer is full is not asked again for a second. A small buffer is empty much sooner.
        ("fetch.queue.backoff.ms", "10".to_string()),
        // What one answer of a broker may bring on top; a record that is larger comes alone.
        ("fetch.max.bytes", (16 << 20).to_string()),
        (
            "queued.min.messages",
            (context.limits.records * 4).clamp(256, 100_000).to_string(),
        ),
    ];
    for (name, value) in defaults {
        if !connection.client.contains_key(name) {
            config.set(name, value);
        }
    }
    let events = SourceEvents::new(Arc::clone(buffer), connection, table, read_committed, &context.waits);
    SourceConsumer::from_config_and_context(&config, events).map_err(|error| connection.cannot_connect(&error))
}

/// Where a partition stood at the start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Where reading starts.
    pub(super) start: i64,
    /// The offset after the last record.
    pub(super) end: i64,
}

/// Looks where the group and the topic stand, and waits for brokers that are away.
///
/// A position that the topic no longer has is told, and set to the partition's first record.
///
/// With [`Start::Latest`], a partition without a committed offset gets one: its end. Otherwise a crash before the
/// first commit would start at a later end and lose the records between.
pub(super) async fn standings(
    connection: &Connection,
    consumer: &Arc<SourceConsumer>,
    partitions: &[i32],
    start: Start,
    waits: &Waits,
) -> Result<BTreeMap<i32, Standing>, ConnectorError> {
    let mut wait = waits.wait_for(
        connection.system(),
        format!("reading the group's offsets of the topic {}", connection.topic),
    );
    loop {
        let (consumer, topic, partitions) = (Arc::clone(consumer), connection.topic.clone(), partitions.to_vec());
        let looked = tokio::task::spawn_blocking(move || look(&consumer, &topic, &partitions, start)).await;
        match looked.map_err(|error| ConnectorError::Internal(error.to_string()))? {
            Ok(standings) => {
                wait.passed();
                return Ok(standings);
            }
            Err(error) => match error.rdkafka_error_code() {
                Some(
                    code @ (RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed),
                ) => {
                    return Err(connection.refused(format!("the topic or the group cannot be read: {code}")));
                }
                _ => wait.failed(error),
            },
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

fn look(
    consumer: &SourceConsumer,
    topic: &str,
    partitions: &[i32],
    start: Start,
) -> KafkaResult<BTreeMap<i32, Standing>> {
    let committed = committed(consumer, topic, partitions, REQUEST_TIMEOUT)?;
    let mut standings = BTreeMap::new();
    let mut pins = TopicPartitionList::new();
    let mut gaps = Vec::new();
    for &partition in partitions {
        let (low, end) = consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT)?;
        let start = match (committed.get(&partition), start) {
            // With read_committed the end is that of the committed records. An open transaction holds it back, so that a
            // position beyond it is no gap.
            (Some(&wanted), _) if wanted < low || (wanted > end && !consumer.context().read_committed) => {
                gaps.push(Gap {
                    partition,
                    wanted,
                    first: low,
                });
                pins.add_partition_offset(topic, partition, Offset::Offset(low))?;
                low
            }
            (Some(&offset), _) => offset,
            (None, Start::Earliest) => low,
            (None, Start::Latest) => {
                pins.add_partition_offset(topic, partition, Offset::Offset(end))?;
                end
            }
        };
        standings.insert(partition, Standing { start, end });
    }
    if pins.count() > 0 {
        match consumer.commit(&pins, CommitMode::Sync) {
            Ok(()) => gaps
                .into_iter()
                .for_each(|gap| gap.report(&consumer.context().table, topic)),
            // The group has members: they have done this before they joined, or meet the gap while they read.
            Err(KafkaError::ConsumerCommit(
                code @ (RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress),
            )) => tracing::debug!(topic, %code, "the group is at work already and keeps its offsets"),
            Err(error) => return Err(error),
        }
    }
    Ok(standings)
}
