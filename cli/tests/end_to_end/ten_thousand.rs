//! A topic of 10,000 references on Apache Kafka, into embedded Qdrant and into a server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use sightstream_connectors::qdrant::testing::TestServer;
use sightstream_connectors::qdrant::{Store, Vectors};

use crate::broker::{apache_kafka, create_topic, lag, produce, unique};
use crate::command::{Pipeline, Running, output, sightstream};
use crate::references::{Reference, distinct};

const COUNT: usize = 10_000;
const FEWER: usize = 2_000;
const PARTITIONS: i32 = 4;
const LIMIT: Duration = Duration::from_secs(600);

/// The vector of each reference, as `sightstream embed` gives it.
fn embed_all(references: &[Reference], folder: &Path) -> BTreeMap<String, Vec<f32>> {
    let lines: Vec<String> = references
        .iter()
        .map(|reference| serde_json::json!({"id": reference.id, "url": reference.url}).to_string())
        .collect();
    let input = folder.join("references.jsonl");
    std::fs::write(&input, lines.join("\n")).expect("the folder can be written to");
    let output = output(sightstream(folder).arg("embed").arg("--input").arg(&input));
    String::from_utf8(output.stdout)
        .expect("the output is text")
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("the output is JSON lines");
            let vector = serde_json::from_value(line["vector"].clone()).expect("every reference has a vector");
            (line["id"].as_str().expect("ids are text").to_string(), vector)
        })
        .collect()
}

async fn all_vectors(qdrant: &str) -> Vec<(String, Vec<f32>)> {
    let store = Store::open(qdrant, None).await.expect("the store opens");
    let collection = store.collection("media").await.expect("the pipeline has made it");
    let (mut vectors, mut from) = (Vec::new(), None);
    loop {
        let (points, next) = collection.scroll(from, 1_000).await.expect("the store can be read");
        vectors.extend(points.into_iter().map(|point| {
            let Vectors::Unnamed(vector) = point.vectors else {
                panic!("the collection has one vector a point")
            };
            (point.payload["id"].as_str().expect("ids are text").to_string(), vector)
        }));
        from = next;
        if from.is_none() {
            return vectors;
        }
    }
}

/// Every id once, with the vector that `embed` gives.
async fn check(qdrant: &str, expected: &BTreeMap<String, Vec<f32>>) {
    let found = all_vectors(qdrant).await;
    assert_eq!(found.len(), expected.len(), "no id is there twice");
    let ids: BTreeSet<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids.len(), expected.len(), "every id is there");
    for (id, vector) in &found {
        let cosine: f32 = vector.iter().zip(&expected[id]).map(|(a, b)| a * b).sum();
        assert!(
            cosine > 0.9999,
            "{id} has the vector that embed gives; their cosine is {cosine}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_id_arrives_once_with_its_vector() {
    let servers = apache_kafka();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let references = distinct(COUNT, folder.path());
    let topic = unique("ten-thousand");
    create_topic(&servers, &topic, PARTITIONS).await;
    produce(
        &servers,
        &topic,
        references.iter().enumerate().map(|(n, reference)| reference.record(n)),
    );
    let expected = embed_all(&references, folder.path());
    let distinct: BTreeSet<Vec<u32>> = expected
        .values()
        .map(|vector| vector.iter().map(|number| number.to_bits()).collect())
        .collect();
    assert!(
        distinct.len() > COUNT * 99 / 100,
        "the references differ, so that a mix-up would show"
    );

    // Into the embedded store, by one process.
    let qdrant = format!("embedded:{}", folder.path().join("qdrant").display());
    let pipeline = Pipeline {
        servers: &servers,
        topic: &topic,
        group: &unique("embedded"),
        qdrant,
    };
    let mut run = Running::start(&mut pipeline.command(folder.path()));
    assert_eq!(run.wait_for(LIMIT), Some(true), "the run catches up");
    assert_eq!(
        lag(&servers, &topic, pipeline.group, PARTITIONS),
        0,
        "everything is committed"
    );
    check(&pipeline.qdrant, &expected).await;

    // Into a server, by two processes of one group.
    let server = TestServer::start(&folder.path().join("server"), None)
        .await
        .expect("the server starts");
    let pipeline = Pipeline {
        servers: &servers,
        topic: &topic,
        group: &unique("server"),
        qdrant: server.url(),
    };
    let mut runs = [(); 2].map(|()| Running::start(pipeline.command(folder.path()).args(["--epoch-rows", "100"])));
    for run in &mut runs {
        assert_eq!(
            run.wait_for(LIMIT),
            Some(true),
            "both processes end when the group has caught up"
        );
    }
    assert_eq!(
        lag(&servers, &topic, pipeline.group, PARTITIONS),
        0,
        "everything is committed"
    );
    check(&server.url(), &expected).await;
}

/// The most memory, in KiB, that one process needs for `references`, into a server.
async fn peak_memory(references: &[Reference], folder: &Path) -> u64 {
    let servers = apache_kafka();
    let topic = unique("memory");
    create_topic(&servers, &topic, PARTITIONS).await;
    produce(
        &servers,
        &topic,
        references.iter().enumerate().map(|(n, reference)| reference.record(n)),
    );
    let server = TestServer::start(&folder.join(&topic), None)
        .await
        .expect("the server starts");
    let pipeline = Pipeline {
        servers: &servers,
        topic: &topic,
        group: &topic,
        qdrant: server.url(),
    };
    let mut command = pipeline.command(folder);
    // Little in flight, so that chance has little to decide; and few heaps, which glibc otherwise makes for every thread,
    // and whose gaps are another chance.
    command
        .args([
            "--epoch-rows",
            "64",
            "--epochs-in-flight",
            "2",
            "--max-batch-tokens",
            "1024",
        ])
        .env("MALLOC_ARENA_MAX", "2");
    let mut run = Running::start(&mut command);
    let mut peak = 0;
    let ended = loop {
        if let Some(ended) = run.wait_for(Duration::from_millis(50)) {
            break ended;
        }
        peak = run.peak_memory().unwrap_or(peak);
    };
    assert!(ended, "the run catches up");
    println!("{} rows: {peak} KiB at most", references.len());
    peak
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_rows() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let references = distinct(COUNT, folder.path());
    // What chance adds differs from run to run, what the rows add does not: the lesser of two runs each.
    let mut peaks = [u64::MAX; 2];
    for _ in 0..2 {
        for (peak, count) in peaks.iter_mut().zip([FEWER, COUNT]) {
            *peak = peak_memory(&references[..count], folder.path()).await.min(*peak);
        }
    }
    let growth = peaks[1] as f64 / peaks[0] as f64;
    assert!(growth < 1.1, "peak memory for {FEWER} and {COUNT} rows: {peaks:?} KiB");
}
