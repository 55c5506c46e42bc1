//! Topics to read from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

/// The Apache Kafka broker that `./test` starts.
pub fn apache_kafka() -> String {
    std::env::var("SIGHTSTREAM_TEST_KAFKA")
        .expect("SIGHTSTREAM_TEST_KAFKA names no broker: run these tests with ./test, which starts one")
}

/// A name that no other run of the tests has used.
pub fn unique(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    format!("{name}-{}-{}", std::process::id(), now.as_nanos())
}

/// Makes `topic` at `servers`.
pub async fn create_topic(servers: &str, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .create()
        .expect("the settings are valid");
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    for result in admin.create_topics([&new], &options).await.expect("the broker answers") {
        result.expect("the topic is made");
    }
}

/// Sends `records` (key and value) to `topic`, in order, and waits until the broker has them.
pub fn produce(servers: &str, topic: &str, records: impl IntoIterator<Item = (String, String)>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("enable.idempotence", "true")
        .create()
        .expect("the settings are valid");
    for (key, value) in records {
        let mut record = BaseRecord::to(topic).key(&key).payload(&value);
        while let Err((_, unsent)) = producer.send(record) {
            record = unsent;
            producer.poll(Duration::from_millis(50));
        }
        producer.poll(Duration::ZERO);
    }
    producer
        .flush(Duration::from_secs(60))
        .expect("the broker takes all records");
}

/// Sends records of one partition with or without key and value, in order, and waits until the broker has them.
pub fn produce_records(
    servers: &str,
    topic: &str,
    records: impl IntoIterator<Item = (Option<String>, Option<String>)>,
) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .create()
        .expect("the settings are valid");
    for (key, value) in records {
        let mut record = BaseRecord::<str, str>::to(topic).partition(0);
        record.key = key.as_deref();
        record.payload = value.as_deref();
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("the producer's queue has room");
    }
    producer
        .flush(Duration::from_secs(60))
        .expect("the broker takes all records");
}

/// Records between what `group` has committed in `topic` and the end.
pub fn lag(servers: &str, topic: &str, group: &str, partitions: i32) -> i64 {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", group)
        .create()
        .expect("the settings are valid");
    let timeout = Duration::from_secs(20);
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(topic, partition);
    }
    let committed = consumer
        .committed_offsets(list, timeout)
        .expect("the broker tells offsets");
    committed
        .elements()
        .iter()
        .map(|element| {
            let (low, high) = consumer
                .fetch_watermarks(topic, element.partition(), timeout)
                .expect("the partition is there");
            match element.offset() {
                Offset::Offset(offset) => high - offset,
                _ => high - low,
            }
        })
        .sum()
}
