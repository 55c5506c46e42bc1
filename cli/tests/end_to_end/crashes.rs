//! `kill -9` at any moment: nothing is lost, nothing is there twice, and the later record of an id wins.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use sightstream_connectors::qdrant::Store;

use crate::broker::{lag, produce};
use crate::command::{Pipeline, Running};

const IDS: usize = 150;
const VERSIONS: usize = 3;
const PARTITIONS: i32 = 3;
/// Between two broken records.
const BROKEN_EVERY: usize = 100;

/// A topic in which every id comes several times, and some records are broken.
fn fill(servers: &str, topic: &str) -> usize {
    let records: Vec<(String, String)> = (0..IDS * VERSIONS)
        .flat_map(|n| {
            let id = format!("id-{}", n % IDS);
            let value = serde_json::json!({"id": id, "url": format!("data:,version%20{n}"), "kind": "text", "n": n});
            let broken = n
                .is_multiple_of(BROKEN_EVERY)
                .then(|| ("broken".to_string(), format!("broken {n}")));
            [(id, value.to_string())].into_iter().chain(broken)
        })
        .collect();
    let count = records.len();
    produce(servers, topic, records);
    count
}

/// What must be there in the end: each id once, with its last version, and each broken record in the dead letters.
async fn check(qdrant: &str, dead_letters: &std::path::Path) {
    let store = Store::open(qdrant, None)
        .await
        .expect("no other process holds the store");
    let collection = store.collection("media").await.expect("the pipeline has made it");
    let (points, rest) = collection.scroll(None, 10_000).await.expect("the store can be read");
    assert!(rest.is_none());
    let versions: BTreeMap<String, u64> = points
        .iter()
        .map(|point| {
            let id = point.payload["id"].as_str().expect("ids are text").to_string();
            (id, point.payload["n"].as_u64().expect("n is a number"))
        })
        .collect();
    let expected: BTreeMap<String, u64> = (0..IDS)
        .map(|id| (format!("id-{id}"), (IDS * (VERSIONS - 1) + id) as u64))
        .collect();
    assert_eq!(points.len(), IDS, "no id is there twice");
    assert_eq!(versions, expected);
    let dead = std::fs::read_to_string(dead_letters).expect("there are dead letters");
    for n in (0..IDS * VERSIONS).step_by(BROKEN_EVERY) {
        assert!(
            dead.contains(&format!("broken {n}")),
            "broken {n} is in the dead letters"
        );
    }
}

struct Scene {
    cluster: MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
    servers: String,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let cluster = MockCluster::new(1).expect("librdkafka can start a broker");
        let servers = cluster.bootstrap_servers();
        Self {
            cluster,
            servers,
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
        }
    }

    fn topic(&self, name: &str) -> usize {
        self.cluster
            .create_topic(name, PARTITIONS, 1)
            .expect("the topic is made");
        fill(&self.servers, name)
    }

    fn pipeline<'a>(&'a self, name: &'a str) -> Pipeline<'a> {
        let qdrant = format!("embedded:{}", self.folder.path().join(name).display());
        Pipeline {
            servers: &self.servers,
            topic: name,
            group: name,
            qdrant,
        }
    }

    fn command(&self, name: &str) -> std::process::Command {
        let mut command = self.pipeline(name).command(self.folder.path());
        command
            .args(["--epoch-rows", "20", "--state-dir"])
            .arg(self.folder.path().join(format!("{name}.state")));
        command
    }

    /// Runs to the end, and checks what is there then.
    async fn finish(&self, name: &str) {
        let mut run = Running::start(&mut self.command(name));
        assert_eq!(
            run.wait_for(Duration::from_secs(120)),
            Some(true),
            "the last run catches up"
        );
        assert_eq!(lag(&self.servers, name, name, PARTITIONS), 0, "everything is committed");
        let dead = self.folder.path().join(format!("{name}.state/dead_letters.jsonl"));
        check(&self.pipeline(name).qdrant, &dead).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_write_flush_and_commit() {
    let scene = Scene::new();
    for point in ["after-write", "after-flush", "after-commit"] {
        scene.topic(point);
        for epochs in [0, 3, 7] {
            let mut command = scene.command(point);
            command.env("FAILPOINTS", format!("{point}={epochs}*off->return"));
            let mut run = Running::start(&mut command);
            assert_eq!(
                run.wait_for(Duration::from_secs(120)),
                Some(false),
                "the failpoint {point} kills the process"
            );
        }
        scene.finish(point).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_five_times_at_random_moments() {
    let scene = Scene::new();
    let name = "random";
    scene.topic(name);
    let mut killed = 0;
    let mut seed = u64::from(std::process::id());
    while killed < 5 {
        let mut run = Running::start(&mut scene.command(name));
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let moment = Duration::from_millis(20 + (seed >> 33) % 1500);
        if run.wait_for(moment).is_some() {
            // It was done before its moment came: there is more to read for the next.
            fill(&scene.servers, name);
            continue;
        }
        killed += 1;
    }
    scene.finish(name).await;
}
