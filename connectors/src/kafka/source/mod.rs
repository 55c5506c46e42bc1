//! A topic as a source of epochs.

mod brokers;
mod buffer;
mod commit;
mod consumer;
mod events;
mod gaps;
mod guard;
mod record;
mod start;
mod stuck;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{Connection, REQUEST_TIMEOUT, RETRY_PAUSE, committed, partitions};
use super::config::{SourceConfig, Start};
use crate::format::RecordDecoder;
use crate::{Admission, ConnectorError, Epoch, Position, Source, SourceContext, Tombstone, Waits};
use buffer::{Buffer, Content, Entry, Taken};
use commit::{Outcome, outcome};
use consumer::{Reader, Troubles};
use events::SourceConsumer;
pub(super) use record::source_record;
use start::{Standing, connect, standings};

/// How often the offsets that other members have committed are asked for.
const ASK_GROUP: Duration = Duration::from_millis(500);

/// A member of a consumer group that reads one topic.
///
/// Offsets are committed only by [`Source::commit`]. When partitions are revoked, an epoch that is being written is
/// waited for (up to a minute), what was read and not committed is dropped, and positions of before are void: whoever
/// gets the partitions reads those records again. A commit that comes too late for its partitions is therefore no
/// error; it is logged and counted.
///
/// With `until_caught_up`, the ends of all partitions are taken at the start, and the source ends when the group has
/// committed them, whichever member did, so that several processes of one group all end.
pub struct KafkaSource {
    table: String,
    connection: Connection,
    decoder: RecordDecoder,
    buffer: Arc<Buffer>,
    waits: Waits,
    /// `None` once closed.
    consumer: Mutex<Option<Arc<SourceConsumer>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// With `until_caught_up`, the partitions that the group has not committed to their ends yet.
    pending: Option<Mutex<Pending>>,
}

struct Pending {
    partitions: BTreeMap<i32, Standing>,
    asked: Instant,
}

impl KafkaSource {
    /// Joins the group. Waits for brokers that are away.
    pub(super) async fn open(config: SourceConfig, context: &SourceContext) -> Result<Self, ConnectorError> {
        let SourceConfig {
            table,
            connection,
            group,
            start,
            read_committed,
            bad_data,
            tombstones,
            decoder,
        } = config;
        let buffer = Arc::new(Buffer::new(context.limits));
        let consumer = Arc::new(connect(&connection, &group, read_committed, &table, context, &buffer)?);

        let ids = {
            let (asked, topic) = (Arc::clone(&consumer), connection.topic.clone());
            let fetch = move || {
                // Errors of the connection are told by polling; no record can come before the subscription.
                while asked.poll(Duration::ZERO).is_some() {}
                asked.fetch_metadata(Some(&topic), REQUEST_TIMEOUT)
            };
            partitions(&connection, &context.waits, &consumer.context().monitor, fetch).await?
        };
        let standings = if context.until_caught_up || start == Start::Latest {
            standings(&connection, &consumer, &ids, start, &context.waits).await?
        } else {
            BTreeMap::new()
        };
        let pending: BTreeMap<i32, Standing> = standings
            .into_iter()
            .filter(|(_, standing)| standing.start < standing.end)
            .collect();
        let targets = pending
            .iter()
            .map(|(partition, standing)| (*partition, standing.end))
            .collect();
        tracing::info!(
            table,
            topic = connection.topic,
            group,
            partitions = ids.len(),
            until_caught_up = context.until_caught_up,
            "joining the consumer group"
        );
        consumer
            .subscribe(&[&connection.topic])
            .map_err(|error| connection.cannot_connect(&error))?;
        let reader = Reader {
            consumer: Arc::clone(&consumer),
            buffer: Arc::clone(&buffer),
            decoder: decoder.clone(),
            bad_data,
            tombstones,
            troubles: Troubles::default(),
            ended: None,
            targets: if context.until_caught_up {
                targets
            } else {
                BTreeMap::new()
            },
        };
        let thread = std::thread::Builder::new()
            .name(format!("kafka-{table}"))
            .spawn(move || {
                let buffer = Arc::clone(&reader.buffer);
                guard::failing(&buffer, || reader.run());
            })
            .map_err(|error| ConnectorError::Internal(format!("no thread for the Kafka consumer: {error}")))?;
        let pending = context.until_caught_up.then(|| {
            Mutex::new(Pending {
                partitions: pending,
                asked: Instant::now(),
            })
        });
        Ok(Self {
            table,
            connection,
            decoder,
            buffer,
            waits: context.waits.clone(),
            consumer: Mutex::new(Some(consumer)),
            thread: Mutex::new(Some(thread)),
            pending,
        })
    }

    fn consumer(&self) -> Result<Arc<SourceConsumer>, ConnectorError> {
        lock(&self.consumer)
            .clone()
            .ok_or_else(|| ConnectorError::Internal("the Kafka source is closed".into()))
    }

    fn epoch(&self, entries: Vec<Entry>, position: Position) -> Result<Epoch, ConnectorError> {
        let (mut rows, mut records, mut rejected, mut dropped) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut tombstones = Vec::new();
        for entry in entries {
            match entry.content {
                Content::Row(row, record) => {
                    rows.push(row);
                    records.push(record);
                }
                Content::Rejected(record) => rejected.push(record),
                Content::Tombstone(record) => tombstones.push(Tombstone {
                    record,
                    preceding: rows.len(),
                }),
                Content::Dropped => dropped += 1,
                Content::Nothing => {}
            }
        }
        Ok(Epoch {
            batch: self.decoder.batch(&rows)?,
            records,
            rejected,
            dropped,
            tombstones,
            position,
        })
    }

    /// Whether the group has committed everything that was there at the start.
    async fn is_caught_up(&self, idle: bool) -> bool {
        let Some(pending) = &self.pending else { return false };
        let waiting: Vec<i32> = {
            let mut pending = lock(pending);
            let assigned = self.buffer.assigned();
            let waiting: Vec<i32> = pending.partitions.keys().copied().collect();
            // Our own commits are known; others' partitions have to be asked for.
            let ask = idle || waiting.iter().all(|partition| !assigned.contains(partition));
            if waiting.is_empty() || !ask || pending.asked.elapsed() < ASK_GROUP {
                return waiting.is_empty();
            }
            pending.asked = Instant::now();
            waiting
        };
        let Ok(consumer) = self.consumer() else { return false };
        let topic = self.connection.topic.clone();
        let asked = tokio::task::spawn_blocking(move || committed(&consumer, &topic, &waiting, REQUEST_TIMEOUT)).await;
        match asked {
            Ok(Ok(offsets)) => self.note_committed(&offsets),
            Ok(Err(error)) => tracing::debug!(%error, "the group's offsets cannot be read now"),
            Err(error) => tracing::debug!(%error, "the group's offsets were not asked for"),
        }
        lock(pending).partitions.is_empty()
    }

    fn note_committed(&self, offsets: &BTreeMap<i32, i64>) {
        if let Some(pending) = &self.pending {
            let reached = |partition: &i32, standing: &Standing| {
                offsets.get(partition).is_some_and(|offset| *offset >= standing.end)
            };
            lock(pending)
                .partitions
                .retain(|partition, standing| !reached(partition, standing));
        }
        self.buffer.changed.notify_waiters();
    }

    fn note_lost(&self, position: &Position, reason: &str) {
        metrics::counter!("sightstream_source_lost_commits_total", "table" => self.table.clone()).increment(1);
        tracing::warn!(
            table = self.table,
            offsets = ?position.offsets,
            reason,
            "an epoch's offsets were not committed; its records will be read and written again"
        );
    }
}

#[async_trait]
impl Source for KafkaSource {
    fn schema(&self) -> SchemaRef {
        self.decoder.schema().clone()
    }

    async fn next_epoch(&self) -> Result<Option<Epoch>, ConnectorError> {
        let mut idle = false;
        loop {
            let mut changed = std::pin::pin!(self.buffer.changed.notified());
            // Registered before looking, so that no change falls between.
            changed.as_mut().enable();
            if self.is_caught_up(idle).await {
                return Ok(None);
            }
            let wait = match self.buffer.take(Instant::now()) {
                Taken::Epoch { entries, position } => return self.epoch(entries, position).map(Some),
                Taken::Failed(reason) => return Err(self.connection.refused(reason)),
                Taken::Stopped => return Ok(None),
                Taken::Wait(due) => due.map(|due| due.saturating_duration_since(Instant::now())),
            };
            idle = wait.is_none();
            // Without `until_caught_up` there is nothing to look for but changes.
            let wait = wait.or(self.pending.is_some().then_some(ASK_GROUP));
            match wait {
                Some(wait) => drop(tokio::time::timeout(wait, changed).await),
                None => changed.await,
            }
        }
    }

    async fn admit(&self, position: &Position) -> Option<Admission> {
        let guard = Arc::clone(&self.buffer.fence).read_owned().await;
        (position.generation == self.buffer.generation()).then_some(Admission { guard: Some(guard) })
    }

    async fn lost(&self, position: &Position) {
        loop {
            let mut changed = std::pin::pin!(self.buffer.changed.notified());
            changed.as_mut().enable();
            if position.generation != self.buffer.generation() {
                return;
            }
            changed.await;
        }
    }

    async fn commit(&self, position: &Position) -> Result<(), ConnectorError> {
        let offsets: BTreeMap<i32, i64> = position
            .offsets
            .iter()
            .filter_map(|(partition, offset)| partition.parse().ok().map(|partition| (partition, *offset)))
            .collect();
        if offsets.is_empty() {
            return Ok(());
        }
        let mut wait = self.waits.wait_for(
            self.connection.system(),
            format!("committing offsets of the topic {}", self.connection.topic),
        );
        loop {
            if position.generation != self.buffer.generation() {
                self.note_lost(position, "the partitions were given away");
                return Ok(());
            }
            let mut list = TopicPartitionList::new();
            for (&partition, &offset) in &offsets {
                list.add_partition_offset(&self.connection.topic, partition, Offset::Offset(offset))
                    .map_err(|error| ConnectorError::Internal(error.to_string()))?;
            }
            let consumer = self.consumer()?;
            let monitor = consumer.context().monitor.clone();
            let committing = tokio::task::spawn_blocking(move || consumer.commit(&list, CommitMode::Sync));
            let committed = wait.watch_because(committing, || monitor.failure()).await;
            let error = match committed.map_err(|error| ConnectorError::Internal(error.to_string()))? {
                Ok(()) => {
                    wait.passed();
                    for (partition, &offset) in &offsets {
                        let labels = [("table", self.table.clone()), ("partition", partition.to_string())];
                        metrics::gauge!("sightstream_source_committed", &labels).set(offset as f64);
                    }
                    self.note_committed(&offsets);
                    return Ok(());
                }
                Err(error) => error,
            };
            match outcome(&error) {
                Outcome::Lost => {
                    self.note_lost(position, &error.to_string());
                    return Ok(());
                }
                Outcome::Refused => return Err(self.connection.refused(format!("offsets are not taken: {error}"))),
                Outcome::Again => {
                    // A source that has ended with an error (its topic is gone) will not see this commit through.
                    if let Some(reason) = self.buffer.failure() {
                        return Err(self.connection.refused(reason));
                    }
                    metrics::counter!("sightstream_source_commit_retries_total", "table" => self.table.clone())
                        .increment(1);
                    wait.failed(error);
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    fn stop(&self) {
        self.buffer.stop();
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        self.buffer.close();
        // The thread holds the last reference then, and leaving the group happens there.
        drop(lock(&self.consumer).take());
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                return Err(ConnectorError::Internal("the Kafka consumer's thread panicked".into()));
            }
        }
        Ok(())
    }

    fn obstacle(&self) -> Option<String> {
        let consumer = self.consumer().ok()?;
        let joined = consumer.context().has_joined();
        (!joined).then(|| format!("table {}: joining the consumer group", self.table))
    }

    fn backlog(&self) -> Option<u64> {
        if let Some(pending) = &self.pending {
            let left = lock(pending)
                .partitions
                .iter()
                .map(|(partition, standing)| {
                    standing.end - self.buffer.handed_over(*partition).unwrap_or(standing.start)
                })
                .map(|left| u64::try_from(left).unwrap_or(0))
                .sum();
            return Some(left);
        }
        let consumer = self.consumer().ok()?;
        Some(consumer.context().lag()? + self.buffer.len() as u64)
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        // The thread ends by itself and leaves the group.
        self.buffer.close();
    }
}

/// No code panics while it holds these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
