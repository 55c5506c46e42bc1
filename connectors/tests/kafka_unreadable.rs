//! Compressed records, and such as cannot be read, on librdkafka's brokers in this process.

mod support;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sightstream_connectors::dead_letter::{DeadLetterTarget, KeptLetters};
use sightstream_connectors::{Source, SourceContext, Waits, open_source};
use support::*;

async fn open_waiting(servers: &str, waits: &Waits) -> Arc<dyn Source> {
    let context = SourceContext {
        waits: waits.clone(),
        ..context(4, false)
    };
    let table = source_table(servers, "media", &[]);
    within(open_source(&table, &context)).await.expect("the source opens")
}

#[tokio::test]
async fn every_compression_can_be_read() {
    for compression in ["gzip", "snappy", "lz4", "zstd"] {
        let cluster = cluster(1);
        let servers = cluster.bootstrap_servers();
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &servers)
            .set("compression.type", compression)
            .create()
            .expect("a producer starts");
        let value = format!(r#"{{"id": "{}", "n": 1}}"#, "x".repeat(1000));
        let record = BaseRecord::<str, str>::to("media").partition(0).payload(&value);
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("there is room");
        producer.flush(PATIENCE).expect("the record is taken");
        let source = open(&source_table(&servers, "media", &[]), 4, true).await;
        assert_eq!(drain(&source).await, [(0, 0)], "{compression}");
        source.close().await.expect("it leaves the group");
    }
}

#[tokio::test]
async fn damaged_records_end_the_source_before_what_follows_is_read() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..4);
    let source = open_waiting(&servers, &Waits::default()).await;
    let epoch = next(&source).await.expect("there are records");
    source.commit(&epoch.position).await.expect("the position is taken");
    let damaged = [RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_MSG];
    cluster.request_errors(RDKafkaApiKey::Fetch, &damaged);
    produce(&servers, "media", 0, 4..8);
    let error = within(source.next_epoch()).await.expect_err("the records are damaged");
    assert!(error.to_string().contains("cannot be read: "), "{error}");
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn records_that_cannot_be_read_for_a_while_are_waited_for_and_end_the_source_at_last() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let waits = Waits::default();
    let source = open_waiting(&servers, &waits).await;
    let failing = |times| {
        let errors = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; times];
        cluster.request_errors(RDKafkaApiKey::Fetch, &errors);
    };
    produce(&servers, "media", 0, 0..4);
    next(&source).await.expect("there are records");
    failing(10);
    produce(&servers, "media", 0, 4..8);
    let told = "partition 0 from offset 4 cannot be read: ";
    within(async {
        while !waits.current().iter().any(|waiting| waiting.reason.contains(told)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    next(&source).await.expect("the records come");
    within(async {
        while !waits.current().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;

    failing(1000);
    produce(&servers, "media", 0, 8..12);
    let error = within(source.next_epoch()).await.expect_err("they do not come");
    assert!(
        error.to_string().contains("partition 0 from offset 8 cannot be read: "),
        "{error}"
    );
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn dead_letters_that_cannot_be_read_are_an_error() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..4);
    let target = DeadLetterTarget::parse(&format!("kafka://{servers}/media")).expect("it is a topic");
    let kept = Arc::new(KeptLetters::open(&target, "readers").await.expect("the topic is there"));
    let damaged = [RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_MSG];
    cluster.request_errors(RDKafkaApiKey::Fetch, &damaged);
    let mut letters = kept.read(false);
    let Err(error) = within(letters.next()).await else {
        panic!("the records are damaged")
    };
    assert!(error.to_string().contains("cannot be read: "), "{error}");
}
