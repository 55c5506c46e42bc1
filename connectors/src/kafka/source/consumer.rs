//! The consumer's thread: it polls always, so that the group keeps this member, and pauses its partitions while the
//! engine is busy.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;

use super::brokers::Brokers;
use super::buffer::{Buffer, Content, Entry};
use super::gaps::{self, Gap};
use crate::format::{BadData, RecordDecoder};
use crate::kafka::client::{Connection, Monitor, REQUEST_TIMEOUT, TOPIC_GONE, is_known, is_unknown};
use crate::kafka::config::Tombstones;
use crate::waiting::Wait;
use crate::{Origin, OriginKind, RejectedRecord, SourceRecord, Waits};

/// How long a poll waits for a record.
const POLL: Duration = Duration::from_millis(100);

/// How long the thread waits for room before it pauses. Pausing throws fetched records away, which are then fetched
/// again, so a short wait is cheaper.
const WAIT_FOR_ROOM: Duration = Duration::from_millis(500);

/// How long partitions are held back for an epoch that is being written.
const FENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// How often the brokers are asked for a topic that is gone, and how long they may take to answer.
const ASK_FOR_TOPIC: Duration = Duration::from_secs(2);

/// How often the fence is tried.
const FENCE_PAUSE: Duration = Duration::from_millis(2);

pub(super) type SourceConsumer = BaseConsumer<SourceEvents>;

/// Receives rebalances, statistics, errors and log lines.
pub(super) struct SourceEvents {
    pub(super) buffer: Arc<Buffer>,
    pub(super) monitor: Monitor,
    pub(super) topic: String,
    pub(super) table: String,
    pub(super) read_committed: bool,
    /// How long a revocation may wait, at most half of what the group allows.
    pub(super) fence_timeout: Duration,
    pub(super) waits: Waits,
    pub(super) system: String,
    brokers: Mutex<Brokers>,
    /// Positions that the brokers do not have: the partition and the offset that was wanted.
    resets: Mutex<Vec<(i32, i64)>>,
    /// Records of the assigned partitions that librdkafka has not given out, from its last statistics.
    lag: Mutex<BTreeMap<i32, i64>>,
    /// Whether the group has said which partitions this member gets; they may be none.
    joined: AtomicBool,
}

impl SourceEvents {
    pub(super) fn new(
        buffer: Arc<Buffer>,
        connection: &Connection,
        table: &str,
        read_committed: bool,
        waits: &Waits,
    ) -> Self {
        let max_poll_interval = connection
            .client
            .get("max.poll.interval.ms")
            .and_then(|ms| ms.parse().ok());
        let half = Duration::from_millis(max_poll_interval.unwrap_or(300_000) / 2);
        Self {
            buffer,
            monitor: Monitor::default(),
            topic: connection.topic.clone(),
            table: table.to_string(),
            read_committed,
            fence_timeout: FENCE_TIMEOUT.min(half),
            waits: waits.clone(),
            system: connection.system(),
            brokers: Mutex::new(Brokers::new(waits, connection)),
            resets: Mutex::default(),
            lag: Mutex::default(),
            joined: AtomicBool::new(false),
        }
    }

    /// Whether the group has taken this member in.
    pub(super) fn has_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }

    /// Records that are in the assigned partitions and not in the buffer yet, if statistics have come.
    pub(super) fn lag(&self) -> Option<u64> {
        let lag = lock(&self.lag);
        (!lag.is_empty()).then(|| lag.values().map(|records| u64::try_from(*records).unwrap_or(0)).sum())
    }

    fn gauge(&self, name: &'static str, partition: i32) -> metrics::Gauge {
        metrics::gauge!(name, "table" => self.table.clone(), "partition" => partition.to_string())
    }

    /// Tells how many partitions there are now.
    fn rebalanced(&self, partitions: usize) {
        metrics::counter!("sightstream_source_rebalances_total", "table" => self.table.clone()).increment(1);
        metrics::gauge!("sightstream_source_partitions", "table" => self.table.clone()).set(partitions as f64);
    }

    /// Waits until no epoch is being written, then voids what was read from the partitions.
    fn give_away(&self) {
        let deadline = Instant::now() + self.fence_timeout;
        // Polled by hand: this thread has no runtime, and a writer in the lock's queue keeps new readers out.
        let mut write = pin!(Arc::clone(&self.buffer.fence).write_owned());
        let mut context = Context::from_waker(Waker::noop());
        let guard = loop {
            match write.as_mut().poll(&mut context) {
                Poll::Ready(guard) => break Some(guard),
                Poll::Pending if Instant::now() >= deadline => break None,
                Poll::Pending => std::thread::sleep(FENCE_PAUSE),
            }
        };
        if guard.is_none() {
            tracing::warn!(
                table = self.table,
                topic = self.topic,
                waited_s = self.fence_timeout.as_secs(),
                "partitions go to another consumer while rows of them are being written; those rows are given up here"
            );
        }
        // Whoever gets them tells their lag from now on.
        for partition in self.buffer.assigned() {
            self.gauge("sightstream_source_lag", partition).set(0.0);
        }
        self.rebalanced(0);
        self.buffer.new_generation();
        lock(&self.lag).clear();
    }
}

impl ClientContext for SourceEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match gaps::reset_in(&self.topic, message).filter(|_| facility == "OFFSET") {
            Some(reset) => lock(&self.resets).push(reset),
            None => self.monitor.log(level, facility, message),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.monitor.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let assigned = self.buffer.assigned();
        lock(&self.brokers).look(&statistics, &self.topic, &assigned, &self.monitor);
        let Some(topic) = statistics.topics.get(&self.topic) else {
            return;
        };
        let lag: BTreeMap<i32, i64> = topic
            .partitions
            .values()
            .filter(|partition| assigned.contains(&partition.partition))
            .filter_map(|partition| {
                let end = if self.read_committed {
                    partition.ls_offset
                } else {
                    partition.hi_offset
                };
                let start = if partition.app_offset >= 0 {
                    partition.app_offset
                } else {
                    partition.next_offset
                };
                (end >= 0 && start >= 0).then(|| (partition.partition, (end - start).max(0)))
            })
            .collect();
        for (&partition, &records) in &lag {
            let unread = records + i64::try_from(self.buffer.len_of(partition)).unwrap_or(i64::MAX);
            self.gauge("sightstream_source_lag", partition).set(unread as f64);
            if let Some(position) = self.buffer.read(partition) {
                self.gauge("sightstream_source_position", partition)
                    .set(position as f64);
            }
        }
        *lock(&self.lag) = lag;
    }
}

impl ConsumerContext for SourceEvents {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                let partitions: Vec<i32> = partitions
                    .elements()
                    .iter()
                    .map(|element| element.partition())
                    .collect();
                tracing::info!(
                    table = self.table,
                    topic = self.topic,
                    ?partitions,
                    "partitions assigned"
                );
                self.rebalanced(partitions.len());
                self.buffer.assign(partitions);
                self.joined.store(true, Ordering::Relaxed);
            }
            Rebalance::Revoke(_) => {
                tracing::info!(table = self.table, topic = self.topic, "partitions revoked");
                self.give_away();
            }
            Rebalance::Error(error) => {
                tracing::warn!(table = self.table, topic = self.topic, %error, "the group's rebalance failed");
                self.give_away();
            }
        }
    }

    // A partition that was paused before it was given away and comes back is still paused.
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance
            && let Err(error) = consumer.resume(partitions)
        {
            tracing::warn!(table = self.table, topic = self.topic, %error, "new partitions cannot be resumed");
        }
    }
}

/// A topic that was there and is not.
pub(super) struct Missing {
    since: Instant,
    asked: Instant,
    wait: Wait,
}

/// What the thread works with.
pub(super) struct Reader {
    pub(super) consumer: Arc<SourceConsumer>,
    pub(super) buffer: Arc<Buffer>,
    pub(super) decoder: RecordDecoder,
    pub(super) bad_data: BadData,
    pub(super) tombstones: Tombstones,
    /// Set while the brokers do not know the topic.
    pub(super) missing: Option<Missing>,
    /// With `until_caught_up`: where each partition ended at the start.
    pub(super) targets: BTreeMap<i32, i64>,
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
        let bytes = held_bytes(&record);
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
            match self.decoder.decode(&record) {
                Ok(row) => Content::Row(row, record),
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
    fn reached_end(&self, partition: i32) {
        let Some(&next) = self.targets.get(&partition) else {
            return;
        };
        if self.buffer.read(partition).is_none_or(|read| read < next) {
            self.buffer.push(Entry {
                partition,
                next,
                bytes: 0,
                content: Content::Nothing,
            });
        }
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
            self.missing.get_or_insert_with(|| Missing {
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
        }
    }

    /// Whether a topic that was gone is back; after a while the source ends with an error.
    fn look_for_topic(&mut self) {
        let Some(missing) = &mut self.missing else { return };
        if missing.asked.elapsed() < ASK_FOR_TOPIC {
            return;
        }
        missing.asked = Instant::now();
        let topic = &self.consumer.context().topic;
        let metadata = self.consumer.fetch_metadata(Some(topic), ASK_FOR_TOPIC);
        if is_known(&metadata) {
            missing.wait.passed();
            self.missing = None;
        } else if is_unknown(&metadata) {
            missing.wait.failed("the brokers do not know the topic any more");
            if missing.since.elapsed() >= TOPIC_GONE {
                self.buffer.fail(format!(
                    "the topic `{topic}` is gone; what was not read of it is lost. Make it again, and start again"
                ));
                self.missing = None;
            }
        } else {
            // Nobody can say: the brokers are away, which is waited for.
            missing.since = Instant::now();
        }
    }

    /// Tells of positions that the brokers did not have. What is read next comes from the partition's first record.
    fn report_gaps(&self) {
        let events = self.consumer.context();
        let resets = std::mem::take(&mut *lock(&events.resets));
        for (partition, wanted) in resets {
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
                Err(_) => lock(&events.resets).push((partition, wanted)),
            }
        }
    }
}

/// No code panics while it holds these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a record and its place take in memory, besides its row.
fn held_bytes(record: &SourceRecord) -> usize {
    let headers = record.headers.iter();
    let headers: usize = headers
        .map(|(name, value)| size_of::<(String, Option<Vec<u8>>)>() + name.len() + value.as_ref().map_or(0, Vec::len))
        .sum();
    let bytes = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
    let names = record.origin.topic.len() + record.origin.table.len();
    size_of::<SourceRecord>() + bytes(&record.key) + bytes(&record.value) + headers + names
}

/// `message` as a record of the table `table`.
pub(in crate::kafka) fn source_record(message: &BorrowedMessage<'_>, table: &str) -> SourceRecord {
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|header| (header.key.to_string(), header.value.map(<[u8]>::to_vec)))
            .collect()
    });
    SourceRecord {
        value: message.payload().map(<[u8]>::to_vec),
        key: message.key().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
        truncated: false,
        origin: Origin {
            kind: OriginKind::Topic,
            table: table.to_string(),
            topic: message.topic().to_string(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
        },
    }
}
