//! Records to a topic, acknowledged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer, PurgeConfig};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Connection, Monitor, REQUEST_TIMEOUT, RETRY_PAUSE, TOPIC_GONE, partitions};
use crate::waiting::Wait;
use crate::{ConnectorError, Waits};

/// The pause before a record is offered again to a full queue.
const QUEUE_PAUSE: Duration = Duration::from_millis(20);

/// A record to write.
#[derive(Default)]
pub(crate) struct Outgoing {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    /// Milliseconds since 1970; `None` is the time of writing.
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Option<OwnedHeaders>,
    /// `None`, or one that the topic does not have, leaves it to the partitioner.
    pub(crate) partition: Option<i32>,
}

/// An idempotent producer to one topic that waits for all in-sync replicas.
pub(crate) struct TopicWriter {
    connection: Connection,
    partitions: Vec<i32>,
    producer: FutureProducer<Monitor>,
    monitor: Monitor,
    waits: Waits,
}

/// What an error of a record means.
enum Verdict {
    /// The brokers will never take this record.
    Refused(String),
    /// They may take it later.
    Again { reason: String, topic_gone: bool },
}

/// Records are to be sent again from `index` on.
struct Again {
    index: usize,
    why: Why,
}

enum Why {
    /// A batch with this record was refused. The brokers refuse batches as a whole, so each is sent alone to find which
    /// record is at fault.
    BatchRefused,
    /// What will pass.
    Passing {
        reason: String,
        /// Whether the brokers know no such topic, which is waited for only so long.
        topic_gone: bool,
    },
}

impl TopicWriter {
    /// Connects and looks whether the topic exists. Waits for brokers that are away.
    pub(crate) async fn open(connection: Connection, waits: &Waits) -> Result<Self, ConnectorError> {
        let mut config = connection.config(&[("enable.idempotence", "true"), ("acks", "all")]);
        // No record is given up: the stream waits for the brokers.
        for (name, value) in [("message.timeout.ms", "0"), ("client.id", "sightstream")] {
            if !connection.client.contains_key(name) {
                config.set(name, value);
            }
        }
        let monitor = Monitor::default();
        let producer: FutureProducer<Monitor> = FutureProducer::from_config_and_context(&config, monitor.clone())
            .map_err(|error| connection.cannot_connect(&error))?;
        let (asked, topic) = (producer.clone(), connection.topic.clone());
        let fetch = move || asked.client().fetch_metadata(Some(&topic), REQUEST_TIMEOUT);
        let partitions = partitions(&connection, waits, &monitor, fetch).await?;
        Ok(Self {
            connection,
            partitions,
            producer,
            monitor,
            waits: waits.clone(),
        })
    }

    /// Writes `records` and waits until they are acknowledged, for as long as it takes. Gives the indices of those
    /// that the brokers will never take, with the reason. If it is dropped before, what was not sent is taken back.
    ///
    /// # Errors
    /// [`ConnectorError::Refused`] if the topic cannot be written to any more, [`ConnectorError::Unavailable`] if a
    /// `message.timeout.ms` in `client_configs` has passed.
    pub(crate) async fn write(&self, records: &[Outgoing]) -> Result<BTreeMap<usize, String>, ConnectorError> {
        let topic = &self.connection.topic;
        let mut wait = self
            .waits
            .wait_for(self.connection.system(), format!("writing to the topic {topic}"));
        let mut unsent = Unsent {
            producer: &self.producer,
            sent: false,
        };
        let mut refused = BTreeMap::new();
        let mut gone_since: Option<Instant> = None;
        let (mut first, mut alone) = (0, records.len() == 1);
        // From the first record that was not taken on, those behind it too: of two records with one key the later one
        // must stay the later one.
        while let Some(Again { index, why }) = self.send(records, first, alone, &mut refused, &mut wait).await? {
            first = index;
            match why {
                Why::BatchRefused => alone = true,
                Why::Passing { reason, topic_gone } => {
                    if !topic_gone {
                        gone_since = None;
                    } else if gone_since.get_or_insert_with(Instant::now).elapsed() >= TOPIC_GONE {
                        return Err(self.connection.refused(format!(
                            "the topic `{topic}` is gone ({reason}); make it again, and start again"
                        )));
                    }
                    wait.failed(reason);
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
        unsent.sent = true;
        wait.passed();
        Ok(refused)
    }

    /// Sends the records from `first` on, in batches or each `alone`. Those that will never be taken are put into
    /// `refused`.
    async fn send(
        &self,
        records: &[Outgoing],
        first: usize,
        alone: bool,
        refused: &mut BTreeMap<usize, String>,
        wait: &mut Wait,
    ) -> Result<Option<Again>, ConnectorError> {
        let mut deliveries = Vec::with_capacity(records.len() - first);
        let mut again = None;
        for (index, record) in records.iter().enumerate().skip(first) {
            let queued = wait
                .watch_because(self.enqueue(record), || self.monitor.failure())
                .await;
            match queued {
                Ok(delivery) => deliveries.push((index, delivery)),
                Err(error) => self.note(index, &error, true, refused, &mut again)?,
            }
            if alone {
                self.settle(&mut deliveries, true, refused, &mut again, wait).await?;
                if again.is_some() {
                    return Ok(again);
                }
            }
        }
        self.settle(&mut deliveries, alone, refused, &mut again, wait).await?;
        Ok(again)
    }

    /// Waits for the acknowledgements of `deliveries`.
    async fn settle(
        &self,
        deliveries: &mut Vec<(usize, DeliveryFuture)>,
        alone: bool,
        refused: &mut BTreeMap<usize, String>,
        again: &mut Option<Again>,
        wait: &mut Wait,
    ) -> Result<(), ConnectorError> {
        for (index, delivery) in deliveries.drain(..) {
            let delivered = wait.watch_because(delivery, || self.monitor.failure()).await;
            let gone = |_| ConnectorError::Internal("a Kafka producer went away while in use".into());
            if let Err((error, _)) = delivered.map_err(gone)? {
                self.note(index, &error, alone, refused, again)?;
            }
        }
        Ok(())
    }

    /// Notes what becomes of the record that got `error`. `alone` says that the error is about no other record.
    fn note(
        &self,
        index: usize,
        error: &KafkaError,
        alone: bool,
        refused: &mut BTreeMap<usize, String>,
        again: &mut Option<Again>,
    ) -> Result<(), ConnectorError> {
        let why = match self.judge(error)? {
            Verdict::Refused(reason) if alone => {
                refused.insert(index, reason);
                return Ok(());
            }
            Verdict::Refused(_) => Why::BatchRefused,
            Verdict::Again { reason, topic_gone } => Why::Passing { reason, topic_gone },
        };
        again.get_or_insert(Again { index, why });
        Ok(())
    }

    async fn enqueue(&self, record: &Outgoing) -> Result<DeliveryFuture, KafkaError> {
        loop {
            let outgoing = FutureRecord::<[u8], [u8]> {
                topic: &self.connection.topic,
                partition: record.partition.filter(|partition| self.partitions.contains(partition)),
                payload: record.value.as_deref(),
                key: record.key.as_deref(),
                timestamp: record.timestamp,
                headers: record.headers.clone(),
            };
            match self.producer.send_result(outgoing) {
                Ok(delivery) => return Ok(delivery),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    tokio::time::sleep(QUEUE_PAUSE).await;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// What the error of a single record means, or the error that ends the writing.
    fn judge(&self, error: &KafkaError) -> Result<Verdict, ConnectorError> {
        let topic = &self.connection.topic;
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Ok(Verdict::Refused(format!(
                "the record is larger than the topic `{topic}` or 'message.max.bytes' in 'client_configs' allows"
            ))),
            Some(
                code @ (RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::InvalidMessage
                | RDKafkaErrorCode::InvalidTimestamp
                | RDKafkaErrorCode::PolicyViolation),
            ) => Ok(Verdict::Refused(format!(
                "the topic `{topic}` does not take the record: {code}"
            ))),
            Some(
                code @ (RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition),
            ) => Ok(Verdict::Again {
                reason: code.to_string(),
                topic_gone: true,
            }),
            // librdkafka tries most of these again by itself. The last is a record that another write took back.
            Some(
                code @ (RDKafkaErrorCode::NotEnoughReplicas
                | RDKafkaErrorCode::NotEnoughReplicasAfterAppend
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::KafkaStorageError
                | RDKafkaErrorCode::PurgeQueue),
            ) => Ok(Verdict::Again {
                reason: code.to_string(),
                topic_gone: false,
            }),
            Some(RDKafkaErrorCode::MessageTimedOut) => Err(ConnectorError::Unavailable {
                system: self.connection.system(),
                message: format!("a record to the topic `{topic}` was not acknowledged within 'message.timeout.ms'"),
            }),
            _ => Err(self
                .connection
                .refused(format!("the topic `{topic}` cannot be written: {error}"))),
        }
    }
}

/// Takes back what was not sent when a write is given up: it would arrive after what another consumer's job has written
/// meanwhile.
struct Unsent<'a> {
    producer: &'a FutureProducer<Monitor>,
    sent: bool,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        if !self.sent {
            self.producer.purge(PurgeConfig::default().queue());
        }
    }
}
