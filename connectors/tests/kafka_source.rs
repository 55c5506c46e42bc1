//! A topic as a source, on librdkafka's broker in this process.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sightstream_connectors::{ConnectorError, Role, open_source, validate};
use support::*;

const MULTI: &str = "a runtime with several threads, as the engine has";

fn all(partitions: i32, count: i64) -> Vec<(i32, i64)> {
    (0..partitions)
        .flat_map(|partition| (0..count).map(move |offset| (partition, offset)))
        .collect()
}

fn sorted(mut places: Vec<(i32, i64)>) -> Vec<(i32, i64)> {
    places.sort_unstable();
    places
}

#[tokio::test]
async fn what_is_in_the_topic_at_the_start_is_handed_over_once_and_the_source_ends() {
    let cluster = cluster(3);
    let servers = cluster.bootstrap_servers();
    (0..3).for_each(|partition| produce(&servers, "media", partition, 0..200));
    let table = source_table(&servers, "media", &[]);
    let source = open(&table, 64, true).await;
    assert_eq!(source.backlog(), Some(600));
    assert_eq!(sorted(drain(&source).await), all(3, 200));
    assert_eq!(source.backlog(), Some(0));
    source.close().await.expect("it leaves the group");

    let again = open(&table, 64, true).await;
    assert!(next(&again).await.is_none(), "everything is committed");
    again.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn rows_are_decoded_in_order_with_their_records() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..10);
    let source = open(&source_table(&servers, "media", &[]), 4, true).await;
    let epoch = next(&source).await.expect("there are ten records");
    assert_eq!(epoch.batch.num_rows(), 4, "an epoch has at most four");
    assert_eq!(epoch.batch["id"].as_string::<i32>().value(3), "0-3");
    assert_eq!(epoch.batch["n"].as_primitive::<Int64Type>().values(), &[0, 1, 2, 3]);
    assert_eq!(epoch.batch["o"].as_primitive::<Int64Type>().values(), &[0, 1, 2, 3]);
    assert_eq!(
        epoch.records[3].value.as_deref(),
        Some(&br#"{"id": "0-3", "n": 3}"#[..])
    );
    assert_eq!(epoch.records[3].key.as_deref(), Some(&b"k"[..]));
    assert_eq!(epoch.position.offsets, BTreeMap::from([("0".to_string(), 4)]));
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn what_was_not_committed_is_read_again() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..20);
    let table = source_table(&servers, "media", &[]);
    let source = open(&table, 8, false).await;
    let first = next(&source).await.expect("there are records");
    let second = next(&source).await.expect("there are more");
    assert_eq!((places(&first)[0], places(&second)[0]), ((0, 0), (0, 8)));
    source.commit(&first.position).await.expect("the position is taken");
    source.close().await.expect("it leaves the group");

    let restarted = open(&table, 8, false).await;
    assert_eq!(places(&next(&restarted).await.expect("there are records"))[0], (0, 8));
    restarted.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn a_source_that_starts_at_the_end_loses_nothing_to_a_crash_before_its_first_commit() {
    let cluster = cluster(2);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..5);
    let table = source_table(&servers, "media", &[("source.offset", "latest")]);
    let source = open(&table, 8, false).await;
    produce(&servers, "media", 0, 5..8);
    produce(&servers, "media", 1, 0..1);
    next(&source).await.expect("the new records come");
    source.close().await.expect("nothing is committed by closing");

    produce(&servers, "media", 0, 8..9);
    let restarted = open(&table, 8, true).await;
    assert_eq!(
        sorted(drain(&restarted).await),
        [(0, 5), (0, 6), (0, 7), (0, 8), (1, 0)]
    );
    restarted.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn empty_partitions_do_not_keep_the_source_from_ending() {
    let cluster = cluster(5);
    let servers = cluster.bootstrap_servers();
    let table = source_table(&servers, "media", &[]);
    let empty = open(&table, 8, true).await;
    assert!(next(&empty).await.is_none());
    empty.close().await.expect("it leaves the group");

    produce(&servers, "media", 3, 0..3);
    let source = open(&table, 8, true).await;
    assert_eq!(drain(&source).await, [(3, 0), (3, 1), (3, 2)]);
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn tombstones_move_the_position_on() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let values = [Some(r#"{"id": "a"}"#.to_string()), None, None];
    produce_values(&servers, "media", 0, values);
    let table = source_table(&servers, "media", &[]);
    let source = open(&table, 8, true).await;
    assert_eq!(drain(&source).await, [(0, 0)]);
    source.close().await.expect("it leaves the group");
    let again = open(&table, 8, true).await;
    assert!(
        next(&again).await.is_none(),
        "the tombstones are behind the committed offset"
    );
    again.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn a_bad_record_is_rejected_by_itself_with_its_bytes() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let values = [r#"{"id": "a"}"#, "{broken", r#"{"id": 7}"#, r#"{"id": "d"}"#].map(|value| Some(value.to_string()));
    produce_values(&servers, "media", 0, values);
    let source = open(&source_table(&servers, "media", &[]), 4, true).await;
    let epoch = next(&source).await.expect("there are records");
    assert_eq!(places(&epoch), [(0, 0), (0, 3)]);
    let rejected: Vec<_> = epoch
        .rejected
        .iter()
        .map(|rejected| rejected.record.origin.offset)
        .collect();
    assert_eq!(rejected, [1, 2]);
    assert_eq!(epoch.rejected[0].record.value.as_deref(), Some(&b"{broken"[..]));
    assert!(
        epoch.rejected[1].reason.contains("column `id`: expected TEXT"),
        "{}",
        epoch.rejected[1].reason
    );
    assert_eq!(epoch.position.offsets["0"], 4);
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn tombstones_that_delete_are_handed_over_in_their_place() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let row = || Some(r#"{"id": "k"}"#.to_string());
    produce_values(
        &servers,
        "media",
        0,
        [None, row(), Some("{".to_string()), None, row(), None],
    );
    let table = source_table(
        &servers,
        "media",
        &[("source.tombstones", "delete"), ("bad_data", "drop")],
    );
    let source = open(&table, 6, true).await;
    let epoch = next(&source).await.expect("there are records");
    let found: Vec<_> = epoch
        .tombstones
        .iter()
        .map(|tombstone| {
            let record = &tombstone.record;
            (
                record.origin.offset,
                tombstone.preceding,
                record.key.as_deref(),
                record.value.is_some(),
            )
        })
        .collect();
    let key = Some(&b"k"[..]);
    assert_eq!(found, [(0, 0, key, false), (3, 1, key, false), (5, 2, key, false)]);
    assert_eq!((places(&epoch), epoch.dropped), (vec![(0, 1), (0, 4)], 1));
    assert_eq!(epoch.position.offsets["0"], 6);
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn bad_data_can_be_dropped_or_stop_the_source_there() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let values = [r#"{"id": "a"}"#, "{broken", r#"{"id": "c"}"#].map(|value| Some(value.to_string()));
    produce_values(&servers, "media", 0, values);
    let dropping = source_table(
        &servers,
        "media",
        &[("bad_data", "drop"), ("source.group_id", "dropping")],
    );
    let source = open(&dropping, 8, true).await;
    assert_eq!(drain(&source).await, [(0, 0), (0, 2)]);
    source.close().await.expect("it leaves the group");

    let failing = source_table(
        &servers,
        "media",
        &[("bad_data", "fail"), ("source.group_id", "failing")],
    );
    let source = open(&failing, 8, true).await;
    let epoch = next(&source).await.expect("the record before it is handed over");
    assert_eq!(places(&epoch), [(0, 0)]);
    source.commit(&epoch.position).await.expect("the position is taken");
    for _ in 0..2 {
        let error = within(source.next_epoch())
            .await
            .expect_err("the second record is bad")
            .to_string();
        assert!(
            error.contains("offset 1 of partition 0 of the topic `media`"),
            "{error}"
        );
    }
    source.close().await.expect("it leaves the group");
    let restarted = open(&failing, 8, true).await;
    within(restarted.next_epoch())
        .await
        .expect_err("the bad record was not passed over");
    restarted.close().await.expect("it leaves the group");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_of_a_group_share_the_partitions_and_both_end() {
    let cluster = cluster(4);
    let servers = cluster.bootstrap_servers();
    (0..4).for_each(|partition| produce(&servers, "media", partition, 0..300));
    let table = source_table(&servers, "media", &[]);
    let (one, two) = (open(&table, 16, true).await, open(&table, 16, true).await);
    let members = [one, two].map(|source| {
        tokio::spawn(async move {
            let mut read = Vec::new();
            while let Some(epoch) = next(&source).await {
                // Slow enough that neither is done before the other has joined.
                tokio::time::sleep(Duration::from_millis(50)).await;
                let Some(admission) = source.admit(&epoch.position).await else {
                    continue;
                };
                source.commit(&epoch.position).await.expect("the position is taken");
                read.extend(places(&epoch));
                drop(admission);
            }
            source.close().await.expect("it leaves the group");
            read
        })
    });
    let [one, two] = members;
    let (one, two) = (one.await.expect(MULTI), two.await.expect(MULTI));
    let both: BTreeSet<(i32, i64)> = one.iter().chain(&two).copied().collect();
    assert_eq!(both, all(4, 300).into_iter().collect());
    assert!(
        !one.is_empty() && !two.is_empty(),
        "{} and {} records",
        one.len(),
        two.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_of_before_a_rebalance_are_void_and_their_records_are_read_again() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..20);
    let table = source_table(&servers, "media", &[]);
    let first = open(&table, 5, false).await;
    let epoch = next(&first).await.expect("there are records");
    let later = next(&first).await.expect("there are more");
    assert!(first.admit(&epoch.position).await.is_some(), "the partition is here");
    first.commit(&epoch.position).await.expect("the position is taken");

    let second = open(&table, 5, false).await;
    let epoch = read_after_loss(&first, &second, &later).await;
    assert_eq!(places(&epoch)[0], (0, 5), "the void position was not committed");
    first.close().await.expect("it leaves the group");
    second.close().await.expect("it leaves the group");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_read_beyond_its_end_at_the_start_never_goes_back_there() {
    let cluster = cluster(2);
    let servers = cluster.bootstrap_servers();
    (0..2).for_each(|partition| produce(&servers, "media", partition, 0..4));
    let table = source_table(&servers, "media", &[]);
    // Epochs of one record, so that one partition can be committed without the other.
    let source = open(&table, 1, true).await;
    produce(&servers, "media", 0, 4..8);
    let mut read = 0;
    while read < 8 {
        let epoch = next(&source).await.expect("there are records");
        if let Some(offset) = epoch.position.offsets.get("0") {
            source.commit(&epoch.position).await.expect("the position is taken");
            read = *offset;
        }
    }
    // It comes and goes, so that both partitions are assigned anew.
    let other = open(&table, 1, false).await;
    within(async {
        while other.obstacle().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    other.close().await.expect("it leaves the group");
    while let Some(epoch) = next(&source).await {
        if let Some(offset) = epoch.position.offsets.get("0") {
            assert!(*offset >= 8, "back at {offset}");
        }
        source.commit(&epoch.position).await.expect("a late commit is no error");
    }
    source.close().await.expect("it leaves the group");
}

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

#[test]
fn options_that_cannot_be_used_are_named_with_the_way_out() {
    for (options, expected) in [
        (&[("source.offset", "newest")][..], "'earliest', 'latest' or 'group'"),
        (&[("source.read_mode", "dirty")], "read_committed"),
        (&[("format", "avro")], "it can be 'json'"),
        (&[("type", "sink")], "write type = 'source'"),
        (&[("bad_data", "ignore")], "'dead_letter', 'drop' or 'fail'"),
        (
            &[("source.tombstones", "yes")],
            "'source.tombstones' cannot be 'yes': write ignore or delete",
        ),
        (&[("sourc.offset", "latest")], "unknown option 'sourc.offset'"),
        (&[("client_configs", "no.such.setting=1")], "no.such.setting"),
        (
            &[("client_configs", "enable.auto.commit=true")],
            "offsets are committed when the rows are durable",
        ),
        (
            &[("client_configs", "partition.assignment.strategy=cooperative-sticky")],
            "range or roundrobin",
        ),
        (&[("client_configs", "fetch.min.bytes")], "has no '='"),
        (
            &[("client_configs", "sasl.password=abc,s3cret")],
            "follows the value of 'sasl.password' has no '='",
        ),
        (
            &[("client_configs", "auto.offset.reset=earliest")],
            "'source.offset' = 'group'",
        ),
        (&[("auth.type", "sasl")], "'auth.mechanism' is missing"),
        (&[("auth.type", "aws_msk_iam")], "'none' or 'sasl'"),
    ] {
        let table = source_table("localhost:9092", "media", options);
        let error = validate(&table, Role::Source).expect_err(expected).to_string();
        assert!(!error.contains("s3cret"), "{error}");
        assert!(
            error.contains(expected) && error.contains("`media`"),
            "{options:?}: {error}"
        );
    }
    let good = [
        ("client_configs", "fetch.min.bytes=1, session.timeout.ms=10000"),
        ("auth.type", "sasl"),
        ("auth.mechanism", "PLAIN"),
        ("auth.protocol", "SASL_SSL"),
        ("auth.username", "me"),
        ("auth.password", "secret"),
        ("source.offset", "group"),
    ];
    validate(&source_table("localhost:9092", "media", &good), Role::Source).expect("these are all known");
}
