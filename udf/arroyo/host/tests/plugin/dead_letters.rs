//! A Kafka for dead letters, and what arrives there.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::Value;

use crate::pipeline::PATIENCE;

/// The topic.
pub const TOPIC: &str = "dead";

/// A row that is NULL, and why.
#[derive(Debug)]
pub struct Letter {
    /// The call: an object of `function`, `url` and `instruction`.
    pub call: Value,
    /// A word for programs.
    pub code: String,
    /// A sentence.
    pub reason: String,
}

impl Letter {
    fn of(record: &BorrowedMessage<'_>) -> Self {
        let value = record.payload().expect("a dead letter has a value");
        // As `sightstream dead-letters list` and Kafka Connect's tools read them.
        let header = |name: &str| {
            let headers = record.headers().expect("a dead letter has headers");
            let found = headers
                .iter()
                .find(|header| header.key == name)
                .and_then(|header| header.value);
            let value = found.unwrap_or_else(|| panic!("no header {name}"));
            String::from_utf8_lossy(value).into_owned()
        };
        Self {
            call: serde_json::from_slice(value).expect("it is JSON"),
            code: header("__connect.errors.exception.class.name"),
            reason: header("__connect.errors.exception.message"),
        }
    }
}

/// librdkafka's own broker, in this process.
pub struct Broker(MockCluster<'static, DefaultProducerContext>);

impl Broker {
    /// One with an empty topic.
    pub fn start() -> Self {
        let cluster = MockCluster::new(1).expect("a mock broker starts");
        cluster.create_topic(TOPIC, 1, 1).expect("a topic can be made");
        Self(cluster)
    }

    /// The settings that have a worker write there.
    pub fn settings(&self) -> [(&'static str, String); 2] {
        [
            ("SIGHTSTREAM_DEAD_LETTER_TOPIC", TOPIC.to_string()),
            ("SIGHTSTREAM_KAFKA", self.0.bootstrap_servers()),
        ]
    }

    /// The first `count` letters, and those that come in the second after.
    pub fn letters(&self, count: usize) -> Vec<Letter> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.0.bootstrap_servers())
            .set("group.id", "tests")
            .set("auto.offset.reset", "earliest")
            .create()
            .expect("a consumer starts");
        consumer.subscribe(&[TOPIC]).expect("the topic is there");
        let (mut letters, started) = (Vec::new(), Instant::now());
        let mut last = Instant::now();
        while letters.len() < count || last.elapsed() < Duration::from_secs(1) {
            assert!(
                started.elapsed() < PATIENCE,
                "{} of {count} dead letters came",
                letters.len()
            );
            if let Some(record) = consumer.poll(Duration::from_millis(100)) {
                letters.push(Letter::of(&record.expect("the broker answers")));
                last = Instant::now();
            }
        }
        letters
    }
}
