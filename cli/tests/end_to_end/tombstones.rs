//! Tombstones: a record without a value deletes the point that its key names.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use rdkafka::mocking::MockCluster;
use sightstream_connectors::qdrant::Store;

use crate::broker::{lag, produce_records};
use crate::command::{output, sightstream};

/// Two statements to one collection, by the kind of the row, so that neither sees all rows of an id.
fn script(servers: &str, qdrant: &str, options: &str) -> String {
    format!(
        "CREATE TABLE media (id TEXT, url TEXT, kind TEXT)
           WITH (connector = 'kafka', bootstrap_servers = '{servers}', topic = 'media', type = 'source', format = 'json',
                 'source.offset' = 'earliest', 'source.group_id' = 'indexer',
                 client_configs = 'session.timeout.ms=3000,heartbeat.interval.ms=500'{options});
         CREATE TABLE vectors (id TEXT, url TEXT, vector FLOAT[])
           WITH (connector = 'qdrant', url = '{qdrant}', collection = 'media');
         INSERT INTO vectors SELECT id, url, embed(url) FROM media WHERE kind = 'a';
         INSERT INTO vectors SELECT id, url, embed(url) FROM media WHERE kind = 'b';"
    )
}

fn run(folder: &Path, epoch_rows: &str) -> Command {
    let mut command = sightstream(folder);
    command.args(["run", "job.sql", "--until-caught-up", "--epoch-rows", epoch_rows]);
    command
}

/// The points' ids and urls.
async fn points(qdrant: &str) -> BTreeMap<String, String> {
    let store = Store::open(qdrant, None)
        .await
        .expect("no other process holds the store");
    let collection = store.collection("media").await.expect("the pipeline has made it");
    let (points, _) = collection.scroll(None, 1_000).await.expect("the store can be read");
    let text = |value: &serde_json::Value| value.as_str().expect("it is text").to_string();
    points
        .iter()
        .map(|point| (text(&point.payload["id"]), text(&point.payload["url"])))
        .collect()
}

fn row(id: &str, kind: &str, version: usize) -> (Option<String>, Option<String>) {
    let value = format!(r#"{{"id":"{id}","kind":"{kind}","url":"data:,{id}%20{version}"}}"#);
    (Some(id.to_string()), Some(value))
}

fn tombstone(id: &str) -> (Option<String>, Option<String>) {
    (Some(id.to_string()), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_tombstones_of_one_key_take_effect_in_their_order_whatever_the_epochs() {
    let cluster = MockCluster::new(1).expect("librdkafka can start a broker");
    let servers = cluster.bootstrap_servers();
    cluster.create_topic("media", 1, 1).expect("the topic is made");
    let records = [
        row("deleted", "a", 1),
        row("back", "a", 1),
        row("kind-changed", "a", 1),
        tombstone("never-there"),
        tombstone("deleted"),
        tombstone("back"),
        row("back", "b", 2),
        tombstone("kind-changed"),
        row("kind-changed", "b", 2),
        row("stays", "b", 1),
        row("b-then-deleted", "b", 1),
        tombstone("b-then-deleted"),
        (None, None),
        row("deleted-at-the-end", "a", 1),
        tombstone("deleted-at-the-end"),
    ];
    produce_records(&servers, "media", records.clone());
    let expected: BTreeMap<String, String> = [("back", 2), ("kind-changed", 2), ("stays", 1)]
        .map(|(id, version)| (id.to_string(), format!("data:,{id}%20{version}")))
        .into();
    // One epoch for all, several rows in each, and one row in each.
    for epoch_rows in ["1000", "4", "1"] {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let qdrant = format!("embedded:{}", folder.path().join("qdrant").display());
        let sql = script(&servers, &qdrant, ", 'source.tombstones' = 'delete'")
            .replace("indexer", &format!("indexer-{epoch_rows}"));
        std::fs::write(folder.path().join("job.sql"), sql).expect("a new file");
        let output = output(&mut run(folder.path(), epoch_rows));
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(points(&qdrant).await, expected, "epochs of {epoch_rows}: {told}");
        assert!(told.contains("deleted                    6"), "{told}");
        assert!(
            told.contains("refused 1"),
            "the tombstone without a key is a dead letter: {told}"
        );
        assert_eq!(lag(&servers, "media", &format!("indexer-{epoch_rows}"), 1), 0);
        let letters = std::fs::read_to_string(folder.path().join(".sightstream/job/dead_letters.jsonl"));
        let letters = letters.expect("there are dead letters");
        assert!(
            letters.contains(r#""value":null"#) && letters.contains("has no key"),
            "{letters}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_are_passed_over_unless_a_flag_or_the_table_says_otherwise() {
    let cluster = MockCluster::new(1).expect("librdkafka can start a broker");
    let servers = cluster.bootstrap_servers();
    cluster.create_topic("media", 1, 1).expect("the topic is made");
    produce_records(&servers, "media", [row("x", "a", 1), tombstone("x")]);
    for (group, flag, left) in [("plain", None, 1), ("flag", Some("delete"), 0)] {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let qdrant = format!("embedded:{}", folder.path().join("qdrant").display());
        let sql = script(&servers, &qdrant, "").replace("indexer", group);
        std::fs::write(folder.path().join("job.sql"), sql).expect("a new file");
        let mut command = run(folder.path(), "10");
        command.args(flag.map(|value| format!("--tombstones={value}")));
        output(&mut command);
        assert_eq!(points(&qdrant).await.len(), left, "{group}");
    }
}
