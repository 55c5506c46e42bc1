//! Records, bad ones and tombstones, from the start to the end.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use crate::kit::{all, sorted};
use crate::support::{cluster, drain, next, open, places, produce, produce_values, source_table, within};

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
