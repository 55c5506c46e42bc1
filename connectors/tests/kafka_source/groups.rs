//! Several members of a group.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::kit::{MULTI, all};
use crate::support::{cluster, next, open, places, produce, read_after_loss, source_table, within};

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
