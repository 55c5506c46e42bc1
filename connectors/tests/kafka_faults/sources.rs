//! A source whose broker, coordinator or leader goes away.

use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sightstream_connectors::{ConnectorError, Waits};

use crate::kit::{LONG_SESSION, begun, committed_offset, open_waiting, over};
use crate::support::{cluster, next, open, places, produce, source_table, within};

#[tokio::test]
async fn a_source_tells_that_its_broker_is_away_and_reads_on_when_it_is_back() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..4);
    let waits = Waits::default();
    let source = open_waiting(&source_table(&servers, "media", &[]), 4, &waits).await;
    let epoch = next(&source).await.expect("there are records");
    source.commit(&epoch.position).await.expect("the position is taken");
    assert!(waits.current().is_empty(), "{:?}", waits.current());

    cluster.broker_down(1).expect("the broker goes");
    begun(&waits, "reading the topic media").await;
    cluster.broker_up(1).expect("the broker comes back");
    over(&waits).await;
    produce(&servers, "media", 0, 4..8);
    let mut read = Vec::new();
    while read.len() < 4 {
        read.extend(places(&next(&source).await.expect("there are more")));
    }
    assert_eq!(read, [(0, 4), (0, 5), (0, 6), (0, 7)]);
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn a_commit_waits_for_the_coordinator_and_tells_so() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..4);
    let waits = Waits::default();
    let table = source_table(&servers, "media", &[LONG_SESSION]);
    let source = open_waiting(&table, 4, &waits).await;
    let epoch = next(&source).await.expect("there are records");
    cluster.broker_down(1).expect("the broker goes");
    let up = async {
        begun(&waits, "committing offsets of the topic media").await;
        cluster.broker_up(1).expect("the broker comes back");
    };
    let (committed, ()) = tokio::join!(within(source.commit(&epoch.position)), up);
    committed.expect("the position is taken in the end");
    assert_eq!(committed_offset(&servers).await, Some(4));
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn a_commit_that_the_group_refuses_is_tried_again_dropped_or_an_error_by_its_reason() {
    use RDKafkaRespErr::*;
    let again = [
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    ];
    let lost = [
        RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
    ];
    for (error, is_taken) in again
        .map(|error| (error, true))
        .into_iter()
        .chain(lost.map(|error| (error, false)))
    {
        let cluster = cluster(1);
        let servers = cluster.bootstrap_servers();
        produce(&servers, "media", 0, 0..4);
        let table = source_table(&servers, "media", &[LONG_SESSION]);
        let source = open(&table, 4, false).await;
        let epoch = next(&source).await.expect("there are records");
        cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[error]);
        within(source.commit(&epoch.position))
            .await
            .expect("no reason to end the job");
        assert_eq!(committed_offset(&servers).await, is_taken.then_some(4), "{error:?}");
        source.close().await.expect("it leaves the group");
    }

    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..4);
    let source = open(&source_table(&servers, "media", &[LONG_SESSION]), 4, false).await;
    let epoch = next(&source).await.expect("there are records");
    cluster.request_errors(
        RDKafkaApiKey::OffsetCommit,
        &[RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED],
    );
    let error = within(source.commit(&epoch.position)).await.expect_err("access denied");
    assert!(matches!(error, ConnectorError::Refused { .. }), "{error}");
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn a_partition_that_changes_its_leader_is_read_on_from_the_new_one() {
    let cluster = MockCluster::new(3).expect("mock brokers start");
    cluster.create_topic("media", 1, 3).expect("a topic can be made");
    cluster.partition_leader("media", 0, Some(1)).expect("a leader");
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..50);
    let table = source_table(&servers, "media", &[]);
    let source = open(&table, 10, false).await;
    let mut read = Vec::new();
    for leader in [2, 3, 1, 2] {
        let epoch = next(&source).await.expect("there are records");
        source.commit(&epoch.position).await.expect("the position is taken");
        read.extend(places(&epoch));
        cluster.partition_leader("media", 0, Some(leader)).expect("a leader");
    }
    while read.len() < 50 {
        let epoch = next(&source).await.expect("there are records");
        source.commit(&epoch.position).await.expect("the position is taken");
        read.extend(places(&epoch));
    }
    assert_eq!(read, (0..50).map(|offset| (0, offset)).collect::<Vec<_>>());
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn a_write_that_takes_longer_than_a_poll_interval_keeps_the_partitions() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..200);
    let limits = "session.timeout.ms=4000,heartbeat.interval.ms=200,max.poll.interval.ms=4500";
    let table = source_table(&servers, "media", &[("client_configs", limits)]);
    let source = open(&table, 4, false).await;
    let epoch = next(&source).await.expect("there are records");
    let admission = source.admit(&epoch.position).await.expect("the partition is here");
    // The buffer is full by then and the partition paused.
    tokio::time::sleep(Duration::from_secs(10)).await;
    source.commit(&epoch.position).await.expect("the position is taken");
    drop(admission);
    let mut read = places(&epoch);
    while read.len() < 200 {
        let epoch = next(&source).await.expect("there are more");
        let admission = source.admit(&epoch.position).await;
        assert!(admission.is_some(), "the partition was kept");
        source.commit(&epoch.position).await.expect("the position is taken");
        read.extend(places(&epoch));
    }
    assert_eq!(read, (0..200).map(|offset| (0, offset)).collect::<Vec<_>>());
    source.close().await.expect("it leaves the group");
}
