//! Records to a topic, acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::future_producer::{DeliveryFuture, OwnedDeliveryResult};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Connection, Monitor, REQUEST_TIMEOUT, partitions};
use crate::ConnectorError;

/// The pause before a record is offered again to a full queue.
const QUEUE_PAUSE: Duration = Duration::from_millis(20);

/// How often a wait for the brokers is logged.
const PATIENCE: Duration = Duration::from_secs(10);

/// A record to write.
#[derive(Default)]
pub(crate) struct Outgoing {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    /// Milliseconds since 1970; `None` is the time of writing.
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Option<OwnedHeaders>,
}

/// An idempotent producer to one topic that waits for all in-sync replicas.
pub(crate) struct TopicWriter {
    connection: Connection,
    producer: FutureProducer<Monitor>,
}

impl TopicWriter {
    /// Connects and looks whether the topic exists. Waits for brokers that are away.
    pub(crate) async fn open(connection: Connection) -> Result<Self, ConnectorError> {
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
        partitions(&connection, fetch, || monitor.denied()).await?;
        Ok(Self { connection, producer })
    }

    /// Writes `records` and waits until they are acknowledged, for as long as it takes. Gives the indices of those
    /// that the brokers will never take, with the reason.
    ///
    /// # Errors
    /// [`ConnectorError::Refused`] if the topic cannot be written to any more, [`ConnectorError::Unavailable`] if a
    /// `message.timeout.ms` in `client_configs` has passed.
    pub(crate) async fn write(&self, records: &[Outgoing]) -> Result<BTreeMap<usize, String>, ConnectorError> {
        let mut refused = BTreeMap::new();
        let mut deliveries = Vec::with_capacity(records.len());
        for (index, record) in records.iter().enumerate() {
            match self.enqueue(record).await {
                Ok(delivery) => deliveries.push((index, delivery)),
                Err(error) => drop(refused.insert(index, self.judge(&error)?)),
            }
        }
        for (index, delivery) in deliveries {
            if let Err((error, _)) = self.wait(delivery).await? {
                refused.insert(index, self.judge(&error)?);
            }
        }
        Ok(refused)
    }

    async fn enqueue(&self, record: &Outgoing) -> Result<DeliveryFuture, KafkaError> {
        loop {
            let outgoing = FutureRecord::<[u8], [u8]> {
                topic: &self.connection.topic,
                partition: None,
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

    async fn wait(&self, mut delivery: DeliveryFuture) -> Result<OwnedDeliveryResult, ConnectorError> {
        loop {
            match tokio::time::timeout(PATIENCE, &mut delivery).await {
                Ok(Ok(result)) => return Ok(result),
                Ok(Err(_)) => {
                    return Err(ConnectorError::Internal(
                        "a Kafka producer went away while in use".into(),
                    ));
                }
                Err(_) => tracing::warn!(
                    servers = %self.connection.servers,
                    topic = %self.connection.topic,
                    in_flight = self.producer.in_flight_count(),
                    "Kafka does not acknowledge records; waiting for it"
                ),
            }
        }
    }

    /// The reason why a single record is refused, or the error that ends the writing.
    fn judge(&self, error: &KafkaError) -> Result<String, ConnectorError> {
        let topic = &self.connection.topic;
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Ok(format!(
                "the record is larger than the topic `{topic}` or 'message.max.bytes' in 'client_configs' allows"
            )),
            Some(
                code @ (RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::InvalidMessage
                | RDKafkaErrorCode::InvalidTimestamp
                | RDKafkaErrorCode::PolicyViolation),
            ) => Ok(format!("the topic `{topic}` does not take the record: {code}")),
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
