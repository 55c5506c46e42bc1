//! What the Kafka tests share: topics with records, tables, and readers that commit.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use sightstream_connectors::{Epoch, EpochLimits, MetadataColumn, Source, SourceContext, TableDefinition, open_source};

pub type Cluster = MockCluster<'static, DefaultProducerContext>;

/// Long enough for any step on a slow machine; no test waits for it unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A broker with the topic `media`.
pub fn cluster(partitions: i32) -> Cluster {
    let cluster = MockCluster::new(1).expect("a mock broker starts");
    cluster
        .create_topic("media", partitions, 1)
        .expect("a topic can be made");
    cluster
}

pub fn producer(servers: &str) -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", servers)
        .create()
        .expect("a producer starts")
}

/// Writes records with the values `{"id": "<partition>-<number>", "n": number}`.
pub fn produce(servers: &str, topic: &str, partition: i32, numbers: std::ops::Range<i64>) {
    let values = numbers.map(|n| Some(format!(r#"{{"id": "{partition}-{n}", "n": {n}}}"#)));
    produce_values(servers, topic, partition, values);
}

/// Writes records with these values and the key `k`.
pub fn produce_values(servers: &str, topic: &str, partition: i32, values: impl IntoIterator<Item = Option<String>>) {
    let producer = producer(servers);
    for value in values {
        let mut record = BaseRecord::<str, str>::to(topic).partition(partition).key("k");
        record.payload = value.as_deref();
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("the producer's queue has room");
    }
    producer.flush(PATIENCE).expect("the records are taken");
}

/// A table on `topic` with columns `id TEXT, n BIGINT, o BIGINT METADATA FROM 'offset_id'`.
pub fn source_table(servers: &str, topic: &str, options: &[(&str, &str)]) -> TableDefinition {
    let base = [
        ("connector", "kafka"),
        ("bootstrap_servers", servers),
        ("topic", topic),
        ("type", "source"),
        ("format", "json"),
        ("source.offset", "earliest"),
        ("source.group_id", "indexer"),
        // librdkafka's broker lets a rebalance take as long as a session.
        ("client_configs", "session.timeout.ms=4000,heartbeat.interval.ms=200"),
    ];
    TableDefinition {
        name: "media".into(),
        schema: Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
            Field::new("o", DataType::Int64, true),
        ])),
        metadata_columns: vec![MetadataColumn {
            column: "o".into(),
            key: "offset_id".into(),
        }],
        options: base
            .iter()
            .chain(options)
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
    }
}

pub fn context(records: usize, until_caught_up: bool) -> SourceContext {
    let limits = EpochLimits {
        records,
        bytes: 1 << 20,
        delay: Duration::from_millis(50),
    };
    SourceContext {
        limits,
        until_caught_up,
        member: "test".into(),
        waits: Default::default(),
    }
}

pub async fn open(table: &TableDefinition, records: usize, until_caught_up: bool) -> Arc<dyn Source> {
    within(open_source(table, &context(records, until_caught_up)))
        .await
        .expect("the source opens")
}

/// Fails the test if `future` takes longer than any step should.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it happens in time")
}

pub async fn next(source: &Arc<dyn Source>) -> Option<Epoch> {
    within(source.next_epoch()).await.expect("the source reads")
}

/// Waits until `first` has lost the epoch `lost` to a new assignment, sees that committing it now does nothing, and gives
/// the epoch that either member reads next.
pub async fn read_after_loss(first: &Arc<dyn Source>, second: &Arc<dyn Source>, lost: &Epoch) -> Epoch {
    within(async {
        while first.admit(&lost.position).await.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    first
        .commit(&lost.position)
        .await
        .expect("a commit that comes too late is no error");
    within(async {
        loop {
            for member in [first, second] {
                if let Ok(epoch) = tokio::time::timeout(Duration::from_millis(100), member.next_epoch()).await {
                    return epoch.expect("the source reads").expect("it has not ended");
                }
            }
        }
    })
    .await
}

/// Where an epoch's rows were, as `(partition, offset)`.
pub fn places(epoch: &Epoch) -> Vec<(i32, i64)> {
    epoch
        .records
        .iter()
        .map(|record| (record.origin.partition, record.origin.offset))
        .collect()
}

/// Reads, admits and commits until the source ends. Gives the places of the rows of the epochs that were admitted.
pub async fn drain(source: &Arc<dyn Source>) -> Vec<(i32, i64)> {
    let mut read = Vec::new();
    while let Some(epoch) = next(source).await {
        let Some(admission) = source.admit(&epoch.position).await else {
            continue;
        };
        source.commit(&epoch.position).await.expect("the position is taken");
        read.extend(places(&epoch));
        drop(admission);
    }
    read
}

/// Every record of a topic, read without a group.
pub fn consume(servers: &str, topic: &str, count: usize) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "checks")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer starts");
    consumer.subscribe(&[topic]).expect("the topic can be read");
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut messages = Vec::new();
    while messages.len() < count && std::time::Instant::now() < deadline {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            messages.push(message.detach());
        }
    }
    messages.sort_by_key(|message| (message.partition(), message.offset()));
    messages
}
