//! Members of a group that come and go.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sightstream_connectors::Source;

use crate::support::{cluster, next, open, places, produce, source_table, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_come_and_go_write_every_record_and_nothing_behind_what_another_writes() {
    const RECORDS: i64 = 200;
    let cluster = cluster(3);
    let servers = cluster.bootstrap_servers();
    (0..3).for_each(|partition| produce(&servers, "media", partition, 0..RECORDS));
    let table = source_table(&servers, "media", &[]);
    let writes: Arc<Mutex<Vec<Write>>> = Arc::default();
    let work = |member: usize, source: Arc<dyn Source>, epochs: usize| {
        let writes = Arc::clone(&writes);
        async move {
            for number in 0..epochs {
                let Some(epoch) = next(&source).await else { break };
                let Some(_admission) = source.admit(&epoch.position).await else {
                    continue;
                };
                let write = async {
                    for (partition, offset) in places(&epoch) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        writes.lock().expect("no panic").push(Write {
                            partition,
                            offset,
                            epoch: (member, number),
                        });
                    }
                };
                tokio::select! {
                    () = write => {}
                    () = source.lost(&epoch.position) => continue,
                }
                source.commit(&epoch.position).await.expect("the position is taken");
            }
            source.close().await.expect("it leaves the group");
        }
    };
    let steady = tokio::spawn(work(0, open(&table, 8, true).await, usize::MAX));
    for (member, epochs) in [(1, 2), (2, 5)] {
        within(work(member, open(&table, 8, true).await, epochs)).await;
    }
    within(steady).await.expect("it reads to the end");

    let writes = writes.lock().expect("no panic");
    for partition in 0..3 {
        let here: Vec<&Write> = writes.iter().filter(|write| write.partition == partition).collect();
        let mut offsets: Vec<i64> = here.iter().map(|write| write.offset).collect();
        offsets.sort_unstable();
        offsets.dedup();
        assert_eq!(offsets, (0..RECORDS).collect::<Vec<_>>(), "partition {partition}");
        // The writes of an epoch stand together: none comes after another member's.
        let mut epochs: Vec<(usize, usize)> = here.iter().map(|write| write.epoch).collect();
        epochs.dedup();
        let runs = epochs.len();
        epochs.sort_unstable();
        epochs.dedup();
        assert_eq!(epochs.len(), runs, "partition {partition}");
    }
}

/// A row that was written, by which epoch of which member.
struct Write {
    partition: i32,
    offset: i64,
    epoch: (usize, usize),
}
