//! Slow readers, callers that give up, and brokers that are away.

use std::time::Duration;

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sightstream_connectors::{ConnectorError, open_source};

use crate::kit::all;
use crate::support::{cluster, context, drain, next, open, places, produce, source_table, within};

#[tokio::test]
async fn a_slow_reader_gets_every_record_once_and_in_order() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..400);
    let source = open(&source_table(&servers, "media", &[]), 10, true).await;
    let mut read = Vec::new();
    let mut epochs = 0;
    while let Some(epoch) = next(&source).await {
        epochs += 1;
        if epochs % 10 == 1 {
            // Long enough for the buffer to fill and the partition to be paused.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        source.commit(&epoch.position).await.expect("the position is taken");
        read.extend(places(&epoch));
    }
    assert_eq!(read, all(1, 400));
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn an_epoch_is_not_lost_when_a_caller_gives_up_waiting() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let source = open(&source_table(&servers, "media", &[]), 10, false).await;
    for _ in 0..20 {
        let waited = tokio::time::timeout(Duration::from_millis(1), source.next_epoch()).await;
        assert!(waited.is_err(), "there is nothing yet");
    }
    produce(&servers, "media", 0, 0..5);
    let mut read = Vec::new();
    within(async {
        while read.len() < 5 {
            if let Ok(epoch) = tokio::time::timeout(Duration::from_millis(3), source.next_epoch()).await {
                read.extend(places(&epoch.expect("the source reads").expect("it has not ended")));
            }
        }
    })
    .await;
    assert_eq!(read, all(1, 5));
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn a_stopped_source_hands_over_nothing_more_and_still_commits() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..20);
    let table = source_table(&servers, "media", &[]);
    let source = open(&table, 5, false).await;
    let epoch = next(&source).await.expect("there are records");
    source.stop();
    assert!(next(&source).await.is_none());
    let admission = source.admit(&epoch.position).await;
    assert!(admission.is_some());
    source.commit(&epoch.position).await.expect("the position is taken");
    drop(admission);
    source.close().await.expect("it leaves the group");
    let restarted = open(&table, 5, false).await;
    assert_eq!(places(&next(&restarted).await.expect("there are records"))[0], (0, 5));
    restarted.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn commits_and_reads_wait_for_a_broker_that_is_away() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..10);
    let table = source_table(&servers, "media", &[]);
    cluster.broker_down(1).expect("the broker goes");
    let up = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        cluster.broker_up(1).expect("the broker comes back");
    };
    let (source, ()) = tokio::join!(open(&table, 5, true), up);
    let epoch = next(&source).await.expect("there are records");
    cluster.request_errors(
        RDKafkaApiKey::OffsetCommit,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS; 3],
    );
    within(source.commit(&epoch.position))
        .await
        .expect("the position is taken in the end");
    assert_eq!(drain(&source).await, [(0, 5), (0, 6), (0, 7), (0, 8), (0, 9)]);
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_named_in_the_error() {
    let cluster = cluster(1);
    cluster
        .topic_error("absent", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        .expect("the broker denies the topic");
    let table = source_table(&cluster.bootstrap_servers(), "absent", &[]);
    let error = within(open_source(&table, &context(8, false)))
        .await
        .err()
        .expect("there is no such topic");
    assert!(matches!(error, ConnectorError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("there is no topic `absent`"), "{error}");
}
