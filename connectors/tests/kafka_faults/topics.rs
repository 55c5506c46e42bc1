//! Topics whose records, or which themselves, are removed.

use std::time::Duration;

use rdkafka::types::RDKafkaRespErr;
use sightstream_connectors::{TableDefinition, Waits};

use crate::kit::{METRICS, begun, open_waiting};
use crate::support::{cluster, next, open, places, produce, produce_values, source_table, within};

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
