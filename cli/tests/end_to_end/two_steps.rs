//! Vectors by way of a topic: `embed_media.sql` writes them, here or on Arroyo, and `index_vectors.sql` makes points of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::{Map, Value, json};
use sightstream_connectors::qdrant::{Store, Vectors};

use crate::broker::{lag, produce, produce_records};
use crate::command::{output, sightstream};
use crate::references::distinct;

const INDEX_MEDIA: &str = include_str!("../../../sql/pipelines/index_media.sql");
const EMBED_MEDIA: &str = include_str!("../../../sql/pipelines/embed_media.sql");
const INDEX_VECTORS: &str = include_str!("../../../sql/pipelines/index_vectors.sql");

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("librdkafka can start a broker");
    for topic in ["media", "vectors"] {
        cluster.create_topic(topic, 1, 1).expect("the topic is made");
    }
    cluster
}

/// Runs `sql` until it has caught up, into the embedded Qdrant `qdrant`, and gives the reasons of its dead letters by id.
fn run(folder: &Path, servers: &str, sql: &str, name: &str, qdrant: &str) -> BTreeMap<String, String> {
    fs::write(folder.join(format!("{name}.sql")), sql).expect("a new file");
    let letters = folder.join(format!("{name}.dead.jsonl"));
    let mut command = sightstream(folder);
    command
        .args(["run", &format!("{name}.sql"), "--until-caught-up", "--dead-letters"])
        .arg(&letters)
        .env("SIGHTSTREAM_KAFKA", servers)
        .env("SIGHTSTREAM_QDRANT", format!("embedded:{qdrant}"));
    output(&mut command);
    let letters = fs::read_to_string(letters).unwrap_or_default();
    let letters = letters.lines().map(|line| {
        let letter: Value = serde_json::from_str(line).expect("a dead letter is JSON");
        let record: Value = serde_json::from_str(letter["value"].as_str().expect("its record")).expect("it is JSON");
        let text = |value: &Value| value.as_str().expect("it is text").to_string();
        (text(&record["id"]), text(&letter["reason"]))
    });
    letters.collect()
}

/// The points of the collection `media`: payload and vector by the id of the row.
async fn points(folder: &Path, qdrant: &str) -> BTreeMap<String, (Map<String, Value>, Vec<f32>)> {
    let store = Store::open(&format!("embedded:{}", folder.join(qdrant).display()), None)
        .await
        .expect("no other process holds the store");
    let collection = store.collection("media").await.expect("the pipeline has made it");
    let (records, next) = collection.scroll(None, 1_000).await.expect("the store can be read");
    assert!(next.is_none(), "there are no more than a thousand");
    let mut points = BTreeMap::new();
    for record in records {
        let id = record.payload["id"].as_str().expect("it is text").to_string();
        let Vectors::Unnamed(vector) = record.vectors else {
            panic!("{id} has vectors with names");
        };
        assert!(
            points.insert(id, (record.payload, vector)).is_none(),
            "an id for each point"
        );
    }
    points
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_by_way_of_a_topic_make_the_points_that_one_step_makes() {
    let cluster = cluster();
    let servers = cluster.bootstrap_servers();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let media = distinct(15, folder.path());
    let missing = json!({"id": "missing", "url": "there-is-none.png", "title": "None"});
    let records = media.iter().enumerate().map(|(n, reference)| {
        let value =
            json!({"id": reference.id, "url": reference.url, "title": format!("No. {n}"), "kind": reference.kind()});
        (reference.id.clone(), value.to_string())
    });
    produce(
        &servers,
        "media",
        records.chain([("missing".to_string(), missing.to_string())]),
    );

    let dead = run(folder.path(), &servers, INDEX_MEDIA, "one", "one");
    assert_eq!(dead.keys().collect::<Vec<_>>(), ["missing"]);
    let expected = points(folder.path(), "one").await;
    assert_eq!(expected.len(), media.len());

    // The file stands as it is on Arroyo too; only the broker is another one.
    let embed_media = EMBED_MEDIA.replace("localhost:9092", &servers);
    let dead = run(folder.path(), &servers, &embed_media, "embed", "none");
    assert_eq!(dead.keys().collect::<Vec<_>>(), ["missing"]);
    let dead = run(folder.path(), &servers, INDEX_VECTORS, "two", "two");
    assert!(dead.is_empty(), "{dead:?}");
    let found = points(folder.path(), "two").await;
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (id, (payload, vector)) in found {
        let (expected_payload, expected_vector) = &expected[&id];
        assert_eq!(&payload, expected_payload);
        assert!(
            is_near(&vector, expected_vector),
            "{id}: {vector:?}, not {expected_vector:?}"
        );
    }
    assert_eq!(lag(&servers, "vectors", "vectors-indexer", 1), 0);
}

/// Whether two vectors are the same but for the last bits, which depend on the batch that a vector was computed in.
fn is_near(one: &[f32], other: &[f32]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| (one - other).abs() < 1e-5)
}

/// The bytes of a vector as `embed` gives them into a BYTEA column.
fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A record as Arroyo writes it: every column of the table, NULL as null, the key beside it.
fn record(id: &str, vector: Value) -> (Option<String>, Option<String>) {
    let value = json!({"id": id, "url": format!("data:,{id}"), "title": null, "kind": "text", "folder": null, "vector": vector});
    (Some(id.to_string()), Some(value.to_string()))
}

/// Checks that the points have the ids `ids` and all of them `vector`, which Qdrant has brought to unit length once more.
async fn assert_points(folder: &Path, ids: &[&str], vector: &[f32]) {
    let points = points(folder, "qdrant").await;
    assert_eq!(points.keys().collect::<Vec<_>>(), ids);
    for (id, (payload, found)) in points {
        assert!(is_near(&found, vector), "{id}: {found:?}");
        assert_eq!(
            (&payload["url"], &payload["title"]),
            (&json!(format!("data:,{id}")), &Value::Null)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_arroyo_are_taken_and_those_without_a_whole_vector_are_dead_letters() {
    let cluster = cluster();
    let servers = cluster.bootstrap_servers();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let vector = [0.6_f32, 0.0, -0.8];
    let base64 = |bytes: Vec<u8>| json!(BASE64_STANDARD.encode(bytes));
    let hex: String = bytes(&vector).iter().map(|byte| format!("{byte:02x}")).collect();
    let records = [
        record("base64", base64(bytes(&vector))),
        record("list", json!(vector)),
        record("null", Value::Null),
        record("cut", base64(bytes(&vector)[..11].to_vec())),
        record("infinite", base64(bytes(&[0.6, f32::INFINITY, 0.8]))),
        record("longer", base64(bytes(&[0.5, 0.5, 0.5, 0.5]))),
        record("hexadecimal", json!(hex)),
        record("object", json!({"data": [1]})),
    ];
    produce_records(&servers, "vectors", records);
    let dead = run(folder.path(), &servers, INDEX_VECTORS, "job", "qdrant");
    assert_points(folder.path(), &["base64", "list"], &vector).await;
    for (id, reason) in [
        ("null", "the vector is NULL"),
        ("cut", "11 bytes are no whole number of 4-byte floats"),
        ("infinite", "holds inf at position 1"),
        ("longer", "4 numbers where the collection has 3"),
        // Hexadecimal digits are base64 too, of other bytes: told by their number, if not by what they say.
        ("hexadecimal", "vector"),
        ("object", "expected FLOAT[], found the object"),
    ] {
        assert!(
            dead.get(id).is_some_and(|found| found.contains(reason)),
            "{id}: {dead:?}"
        );
    }
    assert_eq!(dead.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn hexadecimal_vectors_of_an_older_arroyo_are_taken_by_option() {
    let cluster = cluster();
    let servers = cluster.bootstrap_servers();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let vector = [0.6_f32, 0.0, -0.8];
    let hex: String = bytes(&vector).iter().map(|byte| format!("{byte:02x}")).collect();
    let records = [
        record("hexadecimal", json!(hex)),
        record("list", json!(vector)),
        record("base64", json!(BASE64_STANDARD.encode(bytes(&vector)))),
    ];
    produce_records(&servers, "vectors", records);
    let sql = INDEX_VECTORS.replacen("format = 'json',", "format = 'json', 'json.bytes_encoding' = 'hex',", 1);
    let dead = run(folder.path(), &servers, &sql, "job", "qdrant");
    assert_points(folder.path(), &["hexadecimal", "list"], &vector).await;
    let reason = dead.get("base64").expect("it is not hexadecimal");
    assert!(reason.contains("expected FLOAT[], found the string"), "{reason}");
    assert_eq!(dead.len(), 1);
}
