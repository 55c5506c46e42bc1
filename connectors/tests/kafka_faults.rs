//! Kafka away, changing, or refusing, on librdkafka's brokers in this process.

mod support;

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sightstream_connectors::{
    ConnectorError, Sink, SinkContext, Source, SourceContext, TableDefinition, Waits, open_sink, open_source,
};
use support::*;

static METRICS: LazyLock<PrometheusHandle> = LazyLock::new(|| {
    PrometheusBuilder::new()
        .install_recorder()
        .expect("no other recorder in this process")
});

/// A session that outlasts the faults of a test.
const LONG_SESSION: (&str, &str) = ("client_configs", "session.timeout.ms=30000,heartbeat.interval.ms=200");

async fn open_waiting(table: &TableDefinition, records: usize, waits: &Waits) -> Arc<dyn Source> {
    let context = SourceContext {
        waits: waits.clone(),
        ..context(records, false)
    };
    within(open_source(table, &context)).await.expect("the source opens")
}

fn sink_table(servers: &str, options: &[(&str, &str)]) -> TableDefinition {
    let base = [
        ("connector", "kafka"),
        ("bootstrap_servers", servers),
        ("topic", "media"),
        ("type", "sink"),
        ("format", "json"),
    ];
    TableDefinition {
        name: "out".into(),
        schema: Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)])),
        metadata_columns: Vec::new(),
        options: base
            .iter()
            .chain(options)
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
    }
}

async fn open_sink_waiting(table: &TableDefinition, waits: &Waits) -> Arc<dyn Sink> {
    let context = SinkContext {
        waits: waits.clone(),
        ..SinkContext::default()
    };
    within(open_sink(table, &context)).await.expect("the sink opens")
}

fn rows(ids: &[&str]) -> RecordBatch {
    let ids = Arc::new(StringArray::from(ids.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("id", ids as _, true)]).expect("one column")
}

async fn values(servers: &str, count: usize) -> Vec<String> {
    let servers = servers.to_string();
    let read = tokio::task::spawn_blocking(move || consume(&servers, "media", count)).await;
    let values = read.expect("it reads").into_iter().map(|message| {
        let value: serde_json::Value =
            serde_json::from_slice(message.payload().expect("it has a value")).expect("the value is JSON");
        value["id"].as_str().expect("ids are text").to_string()
    });
    values.collect()
}

/// What the group has committed of the partition 0.
async fn committed_offset(servers: &str) -> Option<i64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "indexer")
        .create()
        .expect("a consumer starts");
    let mut list = TopicPartitionList::new();
    list.add_partition("media", 0);
    let asked = tokio::task::spawn_blocking(move || consumer.committed_offsets(list, PATIENCE)).await;
    let offsets = asked.expect("no panic").expect("the broker answers");
    match offsets.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

/// Returns when something is waited for whose purpose holds `purpose`, with what was seen.
async fn begun(waits: &Waits, purpose: &str) -> String {
    within(async {
        loop {
            if let Some(waiting) = waits.current().into_iter().find(|wait| wait.purpose.contains(purpose)) {
                return waiting.reason;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// Returns when nothing is waited for.
async fn over(waits: &Waits) {
    within(async {
        while !waits.current().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

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

#[tokio::test]
async fn records_that_were_removed_before_they_were_read_are_counted() {
    let metrics = &*METRICS;
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..4);
    let table = source_table(&servers, "media", &[]);
    let source = open(&table, 4, false).await;
    let epoch = next(&source).await.expect("there are records");
    source.commit(&epoch.position).await.expect("the position is taken");
    source.close().await.expect("it leaves the group");
    // The broker of the tests keeps 5 MiB of a partition.
    let padding = "x".repeat(100_000);
    let values = (0..80).map(|_| Some(format!(r#"{{"id": "{padding}"}}"#)));
    produce_values(&servers, "media", 0, values);

    for until_caught_up in [false, true] {
        let table = TableDefinition {
            name: format!("retained_{until_caught_up}"),
            ..table.clone()
        };
        let source = open(&table, 4, until_caught_up).await;
        let epoch = next(&source).await.expect("there are records");
        let first = places(&epoch)[0].1;
        assert!(first > 4, "the broker has removed some: {first}");
        let line = format!(
            "sightstream_source_records_lost_total{{table=\"{}\"}} {}",
            table.name,
            first - 4
        );
        within(async {
            while !metrics.render().contains(&line) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        source.close().await.expect("it leaves the group");
    }
}

#[tokio::test]
async fn what_alerts_count_begins_at_zero_when_a_source_opens() {
    let cluster = cluster(1);
    let metrics = METRICS.clone();
    let table = TableDefinition {
        name: "quiet".into(),
        ..source_table(&cluster.bootstrap_servers(), "media", &[])
    };
    let source = open(&table, 4, false).await;
    let told = metrics.render();
    for name in ["records_lost_total", "lost_commits_total"] {
        let line = format!("sightstream_source_{name}{{table=\"quiet\"}} 0");
        assert!(told.contains(&line), "{line}: {told}");
    }
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn a_topic_that_goes_away_for_good_ends_the_source_with_an_error() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, "media", 0, 0..4);
    let waits = Waits::default();
    let refresh = "session.timeout.ms=4000,heartbeat.interval.ms=200,topic.metadata.refresh.interval.ms=500";
    let table = source_table(&servers, "media", &[("client_configs", refresh)]);
    let source = open_waiting(&table, 4, &waits).await;
    next(&source).await.expect("there are records");
    cluster
        .topic_error("media", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        .expect("the topic goes");
    let seen = begun(&waits, "reading the topic media").await;
    assert!(seen.contains("do not know the topic"), "{seen}");
    let error = within(source.next_epoch()).await.expect_err("the topic is gone");
    assert!(error.to_string().contains("the topic `media` is gone"), "{error}");
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn a_sink_waits_while_the_topic_takes_no_records_and_keeps_their_order() {
    use RDKafkaRespErr::*;
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let sink = open_sink_waiting(&sink_table(&servers, &[]), &Waits::default()).await;
    for error in [
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    ] {
        cluster.request_errors(RDKafkaApiKey::Produce, &[error, error]);
        let written = within(sink.write(&rows(&["a", "b"]))).await;
        assert_eq!(written.expect("the rows are taken in the end"), [], "{error:?}");
    }
    let read = values(&servers, 12).await;
    assert_eq!(read, ["a", "b"].repeat(6));
}

#[tokio::test]
async fn of_a_batch_that_the_broker_refuses_only_what_it_refuses_alone_is_rejected() {
    use RDKafkaRespErr::*;
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let sink = open_sink_waiting(&sink_table(&servers, &[]), &Waits::default()).await;
    // The batch, then the first of its records by itself, then the second.
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[
            RD_KAFKA_RESP_ERR_INVALID_RECORD,
            RD_KAFKA_RESP_ERR_NO_ERROR,
            RD_KAFKA_RESP_ERR_INVALID_RECORD,
        ],
    );
    let rejections = within(sink.write(&rows(&["a", "b", "c"])))
        .await
        .expect("two are taken");
    let refused: Vec<usize> = rejections.iter().map(|rejection| rejection.row).collect();
    assert_eq!(refused, [1]);
    assert_eq!(values(&servers, 2).await, ["a", "c"]);
}

#[tokio::test]
async fn what_a_write_had_not_sent_when_it_was_given_up_is_taken_back() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let waits = Waits::default();
    let sink = open_sink_waiting(&sink_table(&servers, &[]), &waits).await;
    assert_eq!(within(sink.write(&rows(&["first"]))).await.expect("it is taken"), []);
    cluster.broker_down(1).expect("the broker goes");
    let batch = rows(&["stale"]);
    tokio::select! {
        written = sink.write(&batch) => panic!("there is no broker: {written:?}"),
        seen = begun(&waits, "writing to the topic media") => assert!(seen.contains("no answer"), "{seen}"),
    }
    assert!(waits.current().is_empty(), "nobody waits any more");
    cluster.broker_up(1).expect("the broker comes back");
    assert_eq!(within(sink.write(&rows(&["second"]))).await.expect("it is taken"), []);
    assert_eq!(values(&servers, 2).await, ["first", "second"]);
}
