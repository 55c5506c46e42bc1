//! What librdkafka tells a consumer besides records: rebalances, statistics, errors and log lines.

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
use rdkafka::statistics::Statistics;

use super::brokers::Brokers;
use super::buffer::Buffer;
use super::gaps;
use crate::Waits;
use crate::kafka::client::{Connection, Monitor};

/// How long partitions are held back for an epoch that is being written.
const FENCE_TIMEOUT: Duration = Duration::from_secs(60);

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
        // From 0 on: the first loss would otherwise be no increase, and raise no alert.
        for name in [
            "sightstream_source_records_lost_total",
            "sightstream_source_lost_commits_total",
        ] {
            metrics::counter!(name, "table" => table.to_string()).increment(0);
        }
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

    /// The positions that the brokers did not have since this was asked last.
    pub(super) fn take_resets(&self) -> Vec<(i32, i64)> {
        std::mem::take(&mut *lock(&self.resets))
    }

    /// Keeps a position that could not be asked about, for the next time.
    pub(super) fn keep_reset(&self, reset: (i32, i64)) {
        lock(&self.resets).push(reset);
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

/// No code panics while it holds these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
