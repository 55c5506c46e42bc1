//! What only Apache Kafka itself shows: transactions, retention, and a group that waits for its members.

mod support;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sightstream_connectors::{SinkContext, Source, TableDefinition, open_sink, open_source};
use support::*;

/// The servers of the test's Kafka.
fn servers() -> String {
    std::env::var("SIGHTSTREAM_TEST_KAFKA").expect(
        "SIGHTSTREAM_TEST_KAFKA is not set: these tests need an Apache Kafka; ./test starts one and sets the variable",
    )
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", servers())
        .create()
        .expect("an admin client starts")
}

/// A new topic with a name of its own.
async fn topic(name: &str, partitions: i32, config: &[(&str, &str)]) -> String {
    let name = format!("{name}-{}", uuid::Uuid::new_v4().simple());
    let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    for (key, value) in config {
        topic = topic.set(key, value);
    }
    let made = within(admin().create_topics([&topic], &AdminOptions::new()))
        .await
        .expect("the broker answers");
    made.into_iter().for_each(|made| drop(made.expect("the topic is made")));
    name
}

fn table(topic: &str, options: &[(&str, &str)]) -> TableDefinition {
    let group = format!("group-{topic}");
    let mut all = vec![
        ("source.group_id", group.as_str()),
        ("client_configs", "session.timeout.ms=10000"),
    ];
    all.extend(options);
    source_table(&servers(), topic, &all)
}

fn transaction(topic: &str, partition: i32, numbers: std::ops::Range<i64>, commit: bool) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers())
        .set("transactional.id", format!("tx-{}", uuid::Uuid::new_v4()))
        .create()
        .expect("a producer starts");
    producer.init_transactions(PATIENCE).expect("the coordinator answers");
    producer.begin_transaction().expect("a transaction begins");
    for n in numbers {
        let value = format!(r#"{{"id": "{partition}-{n}", "n": {n}}}"#);
        let record = BaseRecord::<str, str>::to(topic).partition(partition).payload(&value);
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("the queue has room");
    }
    producer.flush(PATIENCE).expect("the records are taken");
    if commit {
        producer.commit_transaction(PATIENCE).expect("it commits");
    } else {
        producer.abort_transaction(PATIENCE).expect("it aborts");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_reads_committed_records_ends_behind_aborted_and_committed_transactions() {
    let topic = topic("transactions", 3, &[]).await;
    let (t, done) = (topic.clone(), tokio::task::spawn_blocking);
    done(move || {
        (0..3).for_each(|partition| transaction(&t, partition, 0..10, true));
        transaction(&t, 0, 10..20, false);
        transaction(&t, 1, 10..20, false);
    })
    .await
    .expect("the transactions end");
    let table = table(&topic, &[("source.read_mode", "read_committed")]);
    let members = [open(&table, 4, true).await, open(&table, 4, true).await];
    let readers = members.map(|member| {
        tokio::spawn(async move {
            let read = drain(&member).await;
            member.close().await.expect("it leaves the group");
            read
        })
    });
    let mut read = Vec::new();
    for reader in readers {
        read.extend(within(reader).await.expect("it reads to the end"));
    }
    read.sort_unstable();
    read.dedup();
    let all: Vec<(i32, i64)> = (0..3)
        .flat_map(|partition| (0..10).map(move |offset| (partition, offset)))
        .collect();
    assert_eq!(read, all, "only what was committed");
    let again = open(&table, 4, true).await;
    assert!(next(&again).await.is_none());
    again.close().await.expect("it leaves the group");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_not_given_away_while_an_epoch_is_admitted() {
    let topic = topic("fence", 1, &[]).await;
    produce(&servers(), &topic, 0, 0..20);
    let table = table(&topic, &[]);
    let first = open(&table, 5, false).await;
    let epoch = next(&first).await.expect("there are records");
    let later = next(&first).await.expect("there are more");
    let admission = first.admit(&epoch.position).await.expect("the partition is still here");

    let second = open(&table, 5, false).await;
    let waited = tokio::time::timeout(Duration::from_secs(8), second.next_epoch()).await;
    assert!(waited.is_err(), "the partition is held");
    first
        .commit(&epoch.position)
        .await
        .expect("the position is taken while it is admitted");
    drop(admission);
    let epoch = read_after_loss(&first, &second, &later).await;
    assert_eq!(
        places(&epoch)[0],
        (0, 5),
        "what was committed is not read again, and nothing is passed over"
    );
    first.close().await.expect("it leaves the group");
    second.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn records_that_retention_took_do_not_keep_the_source_from_ending() {
    let topic = topic("retention", 2, &[]).await;
    produce(&servers(), &topic, 0, 0..100);
    produce(&servers(), &topic, 1, 0..100);
    let table = table(&topic, &[]);
    let source = open(&table, 10, false).await;
    let epoch = next(&source).await.expect("there are records");
    source.commit(&epoch.position).await.expect("the position is taken");
    source.close().await.expect("it leaves the group");

    let mut gone = TopicPartitionList::new();
    gone.add_partition_offset(&topic, 0, Offset::Offset(60))
        .expect("an offset");
    gone.add_partition_offset(&topic, 1, Offset::Offset(100))
        .expect("an offset");
    within(admin().delete_records(&gone, &AdminOptions::new()))
        .await
        .expect("the records go");
    let source = open(&table, 10, true).await;
    let read = drain(&source).await;
    assert_eq!(read, (60..100).map(|offset| (0, offset)).collect::<Vec<_>>());
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn a_row_that_the_topic_does_not_allow_is_rejected_and_the_rest_arrives() {
    let topic = topic("sizes", 1, &[("max.message.bytes", "2000")]).await;
    let servers = servers();
    let options = [
        ("connector", "kafka"),
        ("bootstrap_servers", servers.as_str()),
        ("topic", topic.as_str()),
        ("type", "sink"),
        ("format", "json"),
        ("sink.key_field", "id"),
    ];
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)]));
    let out = TableDefinition {
        name: "out".into(),
        schema: schema.clone(),
        metadata_columns: Vec::new(),
        options: options
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
    };
    let sink = within(open_sink(&out, &SinkContext::default()))
        .await
        .expect("the sink opens");
    // Not to be compressed under the limit.
    let large: String = (0..120).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
    for ids in [vec!["a"], vec![large.as_str()], vec!["c"]] {
        let expected = usize::from(ids[0].len() > 1);
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(StringArray::from(ids))]).expect("one column");
        assert_eq!(
            within(sink.write(&batch)).await.expect("the sink goes on").len(),
            expected
        );
    }
    sink.flush().await.expect("the rows are durable");
    let source = open(&table(&topic, &[]), 10, true).await;
    assert_eq!(drain(&source).await, [(0, 0), (0, 1)]);
    source.close().await.expect("it leaves the group");
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_named_and_not_made() {
    let absent = format!("absent-{}", uuid::Uuid::new_v4().simple());
    let error = within(open_source(&table(&absent, &[]), &context(8, false)))
        .await
        .err()
        .expect("no such topic");
    assert!(
        error.to_string().contains(&format!("there is no topic `{absent}`")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_come_and_go_lose_no_record() {
    let topic = topic("churn", 6, &[]).await;
    (0..6).for_each(|partition| produce(&servers(), &topic, partition, 0..400));
    let table = table(&topic, &[]);
    let steady = open(&table, 10, true).await;
    let reader = tokio::spawn({
        let steady = Arc::clone(&steady);
        async move { slowly(&steady, usize::MAX).await }
    });
    let mut read = Vec::new();
    for epochs in [3, 5, 8] {
        let passing = open(&table, 10, true).await;
        read.extend(slowly(&passing, epochs).await);
        // Leaves with an epoch that it has not committed.
        drop(tokio::time::timeout(Duration::from_secs(1), passing.next_epoch()).await);
        passing.close().await.expect("it leaves the group");
    }
    read.extend(within(reader).await.expect("it reads to the end"));
    steady.close().await.expect("it leaves the group");
    read.sort_unstable();
    read.dedup();
    let all: Vec<(i32, i64)> = (0..6)
        .flat_map(|partition| (0..400).map(move |offset| (partition, offset)))
        .collect();
    assert_eq!(read, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_busy_when_another_joined_reads_its_partitions_on() {
    let topic = topic("busy", 4, &[]).await;
    (0..4).for_each(|partition| produce(&servers(), &topic, partition, 0..200));
    let table = table(&topic, &[]);
    let busy = open(&table, 10, true).await;
    let first = next(&busy).await.expect("there is much to read");
    // Long enough for its buffer to fill and its partitions to pause.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let other = open(&table, 10, true).await;
    let other_reader = tokio::spawn({
        let other = Arc::clone(&other);
        async move { slowly(&other, usize::MAX).await }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(
        busy.admit(&first.position).await.is_none(),
        "its epoch went with the partitions"
    );
    within(busy.lost(&first.position)).await;
    let mut read = within(async { slowly(&busy, usize::MAX).await }).await;
    read.extend(within(other_reader).await.expect("it reads to the end"));
    read.sort_unstable();
    read.dedup();
    assert_eq!(read.len(), 800, "all partitions are read to their ends");
    busy.close().await.expect("it leaves the group");
    other.close().await.expect("it leaves the group");
}

/// Reads at most `epochs` epochs, each taking a while, and commits them.
async fn slowly(source: &Arc<dyn Source>, epochs: usize) -> Vec<(i32, i64)> {
    let mut read = Vec::new();
    for _ in 0..epochs {
        let Some(epoch) = next(source).await else { break };
        tokio::time::sleep(Duration::from_millis(20)).await;
        let Some(admission) = source.admit(&epoch.position).await else {
            continue;
        };
        source.commit(&epoch.position).await.expect("the position is taken");
        read.extend(places(&epoch));
        drop(admission);
    }
    read
}
