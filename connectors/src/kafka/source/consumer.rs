//! The consumer's thread: it polls always, so that the group keeps this member, and pauses its partitions while the
//! engine is busy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::types::RDKafkaErrorCode;

use super::buffer::{Buffer, Content, Entry};
use super::events::SourceConsumer;
use super::gaps::Gap;
use super::guard;
use super::record::{held_bytes, source_record};
use super::stuck::Stuck;
use crate::format::{BadData, RecordDecoder};
use crate::kafka::client::{REQUEST_TIMEOUT, TOPIC_GONE, committed, is_known, is_unknown};
use crate::kafka::config::Tombstones;
use crate::kafka::unreadable::{Trouble, behind, named, trouble};
use crate::waiting::Wait;
use crate::{Origin, RejectedRecord, SourceRecord};

/// How long a poll waits for a record.
const POLL: Duration = Duration::from_millis(100);

/// How long the thread waits for room before it pauses. Pausing throws fetched records away, which are then fetched
/// again, so a short wait is cheaper.
const WAIT_FOR_ROOM: Duration = Duration::from_millis(500);

/// How often the brokers are asked for a topic that is gone, and how long they may take to answer.
const ASK_FOR_TOPIC: Duration = Duration::from_secs(2);

/// A topic that was there and is not.
pub(super) struct Missing {
    since: Instant,
    asked: Instant,
    wait: Wait,
}

/// What keeps the thread from reading.
#[derive(Default)]
pub(super) struct Troubles {
    /// Set while the brokers do not know the topic.
    missing: Option<Missing>,
    /// Set while records cannot be read.
    stuck: Option<Stuck>,
}

/// What the thread works with.
pub(super) struct Reader {
    pub(super) consumer: Arc<SourceConsumer>,
    pub(super) buffer: Arc<Buffer>,
    pub(super) decoder: RecordDecoder,
    pub(super) bad_data: BadData,
    pub(super) tombstones: Tombstones,
    pub(super) troubles: Troubles,
    /// With `until_caught_up`: where each partition ended at the start.
    pub(super) targets: BTreeMap<i32, i64>,
    /// The partitions of a generation of which nothing was left to read, until it is known where the group stands.
    pub(super) ended: Option<(u64, BTreeSet<i32>)>,
}

impl Reader {
    /// Reads until the buffer is closed. Leaves the group at the end.
    pub(super) fn run(mut self) {
        // The generation in which the partitions were paused.
        let mut paused: Option<u64> = None;
        while !self.buffer.is_closed() {
            match paused {
                // The partitions went away meanwhile; those of the new assignment were resumed.
                Some(generation) if generation != self.buffer.generation() => {
                    metrics::gauge!("sightstream_source_paused", "table" => self.table().to_owned()).set(0.0);
                    paused = None;
                }
                Some(_) if self.buffer.wants_more() => {
                    self.set_paused(false);
                    paused = None;
                }
                Some(_) => {}
                None if self.buffer.failure().is_none() && self.buffer.wait_for_room(WAIT_FOR_ROOM) => {}
                None => {
                    paused = Some(self.buffer.generation());
                    self.set_paused(true);
                }
            }
            self.report_gaps();
            self.look_for_topic();
            self.look_at_stuck();
            self.move_to_ends();
            match self.consumer.poll(POLL) {
                None => {}
                Some(Ok(message)) => self.read(&message),
                Some(Err(KafkaError::PartitionEOF(partition))) => self.reached_end(partition),
                Some(Err(error)) => self.failed(&error),
            }
        }
    }

    fn set_paused(&self, pause: bool) {
        let changed = self.consumer.assignment().and_then(|assignment| {
            if pause {
                self.consumer.pause(&assignment)
            } else {
                self.consumer.resume(&assignment)
            }
        });
        match changed {
            Ok(()) => {
                let paused = metrics::gauge!("sightstream_source_paused", "table" => self.table().to_owned());
                paused.set(if pause { 1.0 } else { 0.0 });
                tracing::debug!(table = self.table(), pause, "partitions paused or resumed");
            }
            Err(error) => tracing::warn!(table = self.table(), pause, %error, "partitions cannot be paused or resumed"),
        }
    }

    fn table(&self) -> &str {
        &self.consumer.context().table
    }

    fn read(&self, message: &BorrowedMessage<'_>) {
        let record = source_record(message, self.table());
        let mut bytes = held_bytes(&record);
        let (partition, next) = (message.partition(), message.offset() + 1);
        metrics::counter!("sightstream_source_records_total", "table" => self.table().to_string()).increment(1);
        let content = if record.value.is_none() {
            metrics::counter!("sightstream_source_tombstones_total", "table" => self.table().to_string()).increment(1);
            match self.tombstones {
                Tombstones::Delete => Content::Tombstone(record),
                Tombstones::Ignore => {
                    let offset = message.offset();
                    tracing::debug!(table = self.table(), partition, offset, "a tombstone is passed over");
                    Content::Nothing
                }
            }
        } else {
            match guard::rejecting(|| self.decoder.decode(&record)) {
                Ok(row) => {
                    bytes += row.held_bytes();
                    Content::Row(row, record)
                }
                Err(reason) => match self.bad(record, reason) {
                    Some(content) => content,
                    None => return,
                },
            }
        };
        self.buffer.push(Entry {
            partition,
            next,
            bytes,
            content,
        });
    }

    /// What becomes of a record that cannot be decoded; `None` if the source ends there.
    fn bad(&self, record: SourceRecord, reason: String) -> Option<Content> {
        metrics::counter!("sightstream_source_rejected_total", "table" => self.table().to_string()).increment(1);
        let Origin {
            topic,
            partition,
            offset,
            ..
        } = &record.origin;
        match self.bad_data {
            BadData::DeadLetter => Some(Content::Rejected(RejectedRecord { record, reason })),
            BadData::Drop => {
                tracing::warn!(
                    table = self.table(),
                    topic,
                    partition,
                    offset,
                    reason,
                    "a bad record is dropped"
                );
                Some(Content::Dropped)
            }
            BadData::Fail => {
                self.buffer.fail(format!(
                    "the record at offset {offset} of partition {partition} of the topic `{topic}` cannot be decoded: \
                     {reason} (bad_data = 'fail')"
                ));
                None
            }
        }
    }

    /// Everything in `partition` has been read. What lies between the last record and the end (transaction markers,
    /// records that compaction took) has nothing to hand over, so the position moves there by itself.
    fn reached_end(&mut self, partition: i32) {
        let Some(&next) = self.targets.get(&partition) else {
            return;
        };
        match self.buffer.read(partition) {
            Some(read) if read < next => self.push_end(partition, next),
            Some(_) => {}
            // Nothing of it was read since it was assigned: the group may stand behind the target long since.
            None => {
                let generation = self.buffer.generation();
                let ended = self.ended.get_or_insert_default();
                if ended.0 != generation {
                    *ended = (generation, BTreeSet::new());
                }
                ended.1.insert(partition);
            }
        }
    }

    /// Moves the positions of partitions without anything left to their targets, where the group is not further already.
    fn move_to_ends(&mut self) {
        let Some((generation, partitions)) = self.ended.take() else {
            return;
        };
        if generation != self.buffer.generation() {
            return;
        }
        let asked: Vec<i32> = partitions.iter().copied().collect();
        match committed(&self.consumer, &self.consumer.context().topic, &asked, REQUEST_TIMEOUT) {
            Ok(committed) => {
                for partition in asked {
                    let next = self.targets.get(&partition).copied();
                    let next = next.filter(|next| committed.get(&partition).is_none_or(|offset| offset < next));
                    if let Some(next) = next.filter(|_| self.buffer.read(partition).is_none()) {
                        self.push_end(partition, next);
                    }
                }
            }
            // Asked again in the next round.
            Err(error) => {
                tracing::debug!(%error, "the group's offsets cannot be read now");
                self.ended = Some((generation, partitions));
            }
        }
    }

    fn push_end(&self, partition: i32, next: i64) {
        self.buffer.push(Entry {
            partition,
            next,
            bytes: 0,
            content: Content::Nothing,
        });
    }

    fn failed(&mut self, error: &KafkaError) {
        let events = self.consumer.context();
        if matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownPartition
            )
        ) {
            self.troubles.missing.get_or_insert_with(|| Missing {
                since: Instant::now(),
                asked: Instant::now(),
                wait: events
                    .waits
                    .wait_for(events.system.clone(), format!("reading the topic {}", events.topic)),
            });
            return;
        }
        let denied = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed)
        );
        if denied || matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            self.buffer.fail(format!("reading the topic failed for good: {error}"));
            return;
        }
        // What librdkafka says of it, which is more than the error's name.
        let said = events.monitor.failure().unwrap_or_else(|| error.to_string());
        match trouble(error) {
            Trouble::Skipped => {
                let places = named(&behind(&*self.consumer, &events.topic));
                self.unreadable(&format!("{places} cannot be read: {said}"));
            }
            Trouble::Stuck => {
                let now = Instant::now();
                let stuck = self.troubles.stuck.get_or_insert_with(|| {
                    let wait = events
                        .waits
                        .wait_for(events.system.clone(), format!("reading the topic {}", events.topic));
                    Stuck::new(now, behind(&*self.consumer, &events.topic), wait)
                });
                if let Some(reason) = stuck.failed(now, &said) {
                    self.troubles.stuck = None;
                    self.unreadable(&reason);
                }
            }
            Trouble::Other => {}
        }
    }

    fn unreadable(&self, reason: &str) {
        self.buffer.fail(format!(
            "{reason}; mend the records, or have the group pass over them (kafka-consumer-groups.sh --reset-offsets)"
        ));
    }

    /// Whether the partitions that stood still have moved on.
    fn look_at_stuck(&mut self) {
        let now = Instant::now();
        let Some(stuck) = self.troubles.stuck.as_mut().filter(|stuck| stuck.wants_look(now)) else {
            return;
        };
        if stuck.is_over(now, &behind(&*self.consumer, &self.consumer.context().topic)) {
            self.troubles.stuck = None;
        }
    }

    /// Whether a topic that was gone is back; after a while the source ends with an error.
    fn look_for_topic(&mut self) {
        let Some(missing) = &mut self.troubles.missing else {
            return;
        };
        if missing.asked.elapsed() < ASK_FOR_TOPIC {
            return;
        }
        missing.asked = Instant::now();
        let topic = &self.consumer.context().topic;
        let metadata = self.consumer.fetch_metadata(Some(topic), ASK_FOR_TOPIC);
        if is_known(&metadata) {
            missing.wait.passed();
            self.troubles.missing = None;
        } else if is_unknown(&metadata) {
            missing.wait.failed("the brokers do not know the topic any more");
            if missing.since.elapsed() >= TOPIC_GONE {
                self.buffer.fail(format!(
                    "the topic `{topic}` is gone; what was not read of it is lost. Make it again, and start again"
                ));
                self.troubles.missing = None;
            }
        } else {
            // Nobody can say: the brokers are away, which is waited for.
            missing.since = Instant::now();
        }
    }

    /// Tells of positions that the brokers did not have. What is read next comes from the partition's first record.
    fn report_gaps(&self) {
        let events = self.consumer.context();
        for (partition, wanted) in events.take_resets() {
            match self
                .consumer
                .fetch_watermarks(&events.topic, partition, REQUEST_TIMEOUT)
            {
                Ok((first, _)) => Gap {
                    partition,
                    wanted,
                    first,
                }
                .report(&events.table, &events.topic),
                // Asked again in the next round.
                Err(_) => events.keep_reset((partition, wanted)),
            }
        }
    }
}
