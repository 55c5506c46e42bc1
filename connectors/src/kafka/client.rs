//! What consumers and producers share: the connection, log lines, and the first look at a topic.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use tokio::time::Instant;

use crate::{ConnectorError, Waits};

/// How long a single question to a broker may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a topic that the brokers do not know is waited for: it may have been made a moment ago.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a topic that was there and is gone may be gone: brokers that have just started may not know it yet.
pub(super) const TOPIC_GONE: Duration = Duration::from_secs(30);

/// The largest limit of a record's size that librdkafka allows, in bytes.
const MAX_MESSAGE_BYTES: &str = "1000000000";

/// The time between two log lines of one kind of error: a client that cannot read its records fails several times a second.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The pause between two tries.
pub(super) const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Where a topic is and how to get at it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// `host:port,host:port`.
    pub servers: String,
    /// The topic.
    pub topic: String,
    /// Settings of librdkafka, by name.
    pub client: BTreeMap<String, String>,
}

impl Connection {
    /// The cluster, as a user knows it.
    pub fn system(&self) -> String {
        format!("Kafka at {}", self.servers)
    }

    /// The settings to connect with, `own` winning over the user's.
    pub(super) fn config(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Reconnecting within two seconds after an outage instead of within ten.
        config.set("reconnect.backoff.max.ms", "2000");
        // A leader that was missed while brokers restart is looked for again within half a minute instead of five.
        config.set("topic.metadata.refresh.interval.ms", "30000");
        for (name, value) in &self.client {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.servers);
        for (name, value) in own {
            config.set(*name, *value);
        }
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }

    /// The same, with the size of a record left to the topic. For records that a topic has taken already: what is added to them,
    /// or a smaller limit of this client, must not refuse them.
    pub(crate) fn without_size_limit(mut self) -> Self {
        let limit = self.client.entry("message.max.bytes".into());
        limit.or_insert_with(|| MAX_MESSAGE_BYTES.into());
        self
    }

    /// Whether librdkafka knows the settings and takes their values.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.config(&[])
            .create_native_config()
            .map(drop)
            .map_err(|error| describe_config(&error))
    }

    pub(crate) fn refused(&self, message: impl Into<String>) -> ConnectorError {
        ConnectorError::Refused {
            system: self.system(),
            message: message.into(),
        }
    }

    /// The error of a client that could not be made.
    pub(super) fn cannot_connect(&self, error: &KafkaError) -> ConnectorError {
        self.refused(describe_config(error))
    }
}

/// A configuration error without the value: it may be a password.
fn describe_config(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, reason, name, _) => format!("the Kafka setting '{name}': {reason}"),
        other => other.to_string(),
    }
}

/// Receives what librdkafka has to say. Clones share what was said.
#[derive(Clone, Default)]
pub(super) struct Monitor {
    said: Arc<Mutex<Said>>,
}

#[derive(Default)]
struct Said {
    denied: Option<String>,
    failure: Option<String>,
    /// When each kind of error was logged last.
    logged: BTreeMap<String, Instant>,
}

impl Monitor {
    /// Why the brokers refuse this client, if they do.
    pub(super) fn denied(&self) -> Option<String> {
        self.said().denied.clone()
    }

    /// The last failure of a connection, for those who wait for one.
    pub(super) fn failure(&self) -> Option<String> {
        self.said().failure.clone()
    }

    /// Whether `error` is to be logged, because none of its kind was a moment ago.
    fn is_news(&self, error: &KafkaError) -> bool {
        let (kind, now) = (error.to_string(), Instant::now());
        let mut said = self.said();
        let is_news = said
            .logged
            .get(&kind)
            .is_none_or(|logged| now.duration_since(*logged) >= TELL_EVERY);
        if is_news {
            said.logged.insert(kind, now);
        }
        is_news
    }

    /// No code panics while it holds this lock.
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Monitor {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, text, "librdkafka");
            }
            // A connection that failed: librdkafka tries again every two seconds, and whoever waits for it tells why.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning if facility == "FAIL" => {
                tracing::debug!(facility, text, "librdkafka");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::warn!(facility, text, "librdkafka"),
            _ => tracing::debug!(facility, text, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        match code {
            // An event of the consumer, not an error.
            Some(RDKafkaErrorCode::PartitionEOF) => return,
            _ if matches!(error, KafkaError::PartitionEOF(_)) => return,
            Some(
                RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut,
            ) => tracing::debug!(%error, reason, "a connection to Kafka failed; the client goes on trying"),
            _ if self.is_news(&error) => {
                tracing::warn!(%error, reason, "Kafka reports an error; the client goes on trying");
            }
            _ => tracing::debug!(%error, reason, "Kafka reports the error again"),
        }
        // "1/1 brokers are down" says less than what was said of the broker before.
        if code != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.said().failure = Some(reason.to_string());
        }
        if matches!(
            code,
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed)
        ) {
            self.said().denied = Some(reason.to_string());
        }
    }
}

impl ConsumerContext for Monitor {}

/// The partitions of the topic of `connection`. `fetch` asks for the topic's metadata (it may block), `monitor` is told
/// whether the brokers deny access. Brokers that are away are waited for.
///
/// # Errors
/// [`ConnectorError::Refused`] if there is no such topic after ten seconds, or access to it is denied.
pub(super) async fn partitions<F>(
    connection: &Connection,
    waits: &Waits,
    monitor: &Monitor,
    fetch: F,
) -> Result<Vec<i32>, ConnectorError>
where
    F: Fn() -> KafkaResult<Metadata> + Clone + Send + 'static,
{
    let topic = &connection.topic;
    let mut unknown_since: Option<Instant> = None;
    let mut wait = waits.wait_for(connection.system(), format!("opening the topic {topic}"));
    loop {
        let fetch = fetch.clone();
        let looked = tokio::task::spawn_blocking(move || look(&fetch())).await;
        let looked = looked.map_err(|error| ConnectorError::Internal(error.to_string()))?;
        match looked {
            Look::Partitions(partitions) => {
                wait.passed();
                return Ok(partitions);
            }
            Look::Unknown => {
                let since = *unknown_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= TOPIC_TIMEOUT {
                    return Err(connection.refused(format!(
                        "there is no topic `{topic}`; create it (kafka-topics.sh --create --topic {topic} …) or mend \
                         the option 'topic'"
                    )));
                }
                wait.failed(format!("there is no topic `{topic}` yet"));
            }
            Look::Denied(error) => {
                return Err(connection.refused(format!("access to the topic `{topic}` is denied: {error}")));
            }
            Look::Away(error) => {
                if let Some(reason) = monitor.denied() {
                    return Err(connection.refused(format!("access is denied: {reason}")));
                }
                wait.failed(monitor.failure().unwrap_or(error));
            }
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// The group's committed offsets, of those partitions that have one.
pub(super) fn committed<X: ConsumerContext>(
    consumer: &BaseConsumer<X>,
    topic: &str,
    partitions: &[i32],
    timeout: Duration,
) -> KafkaResult<BTreeMap<i32, i64>> {
    let mut list = TopicPartitionList::new();
    for &partition in partitions {
        list.add_partition(topic, partition);
    }
    let list = consumer.committed_offsets(list, timeout)?;
    let mut offsets = BTreeMap::new();
    for element in list.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert(element.partition(), offset);
        }
    }
    Ok(offsets)
}

/// Whether `metadata`, asked for one topic, says that there is none.
pub(super) fn is_unknown(metadata: &KafkaResult<Metadata>) -> bool {
    matches!(look(metadata), Look::Unknown)
}

/// Whether `metadata`, asked for one topic, holds it.
pub(super) fn is_known(metadata: &KafkaResult<Metadata>) -> bool {
    matches!(look(metadata), Look::Partitions(_))
}

/// What a look at a topic shows.
pub(super) enum Look {
    Partitions(Vec<i32>),
    Unknown,
    Denied(String),
    Away(String),
}

/// What the answer to a question for a topic says.
pub(super) fn look(metadata: &KafkaResult<Metadata>) -> Look {
    let topics = match metadata {
        Ok(metadata) => metadata.topics(),
        Err(error) => {
            return match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => Look::Unknown,
                Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed) => {
                    Look::Denied(error.to_string())
                }
                _ => Look::Away(error.to_string()),
            };
        }
    };
    let Some(topic) = topics.first() else {
        return Look::Unknown;
    };
    match topic.error() {
        None if topic.partitions().is_empty() => Look::Unknown,
        None => Look::Partitions(topic.partitions().iter().map(|partition| partition.id()).collect()),
        Some(
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
        ) => Look::Unknown,
        Some(error @ RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) => {
            Look::Denied(RDKafkaErrorCode::from(error).to_string())
        }
        Some(error) => Look::Away(RDKafkaErrorCode::from(error).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_comes_again_and_again_is_logged_once_in_a_while() {
        let monitor = Monitor::default();
        let bad = KafkaError::Global(RDKafkaErrorCode::BadMessage);
        assert!(monitor.is_news(&bad));
        assert!(!monitor.is_news(&bad));
        assert!(monitor.is_news(&KafkaError::Global(RDKafkaErrorCode::BadCompression)));
    }
}
