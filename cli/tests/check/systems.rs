//! What is told of brokers, Qdrants, files and models.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use sightstream_connectors::qdrant::testing::TestServer;

use crate::common::{code, folder, output, sightstream, stderr, stdout};

/// A tiny checkpoint: its vectors have another length than the built-in one's.
fn tiny() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/single_kv");
    path.display().to_string()
}

/// Writes `job.sql`: from the topic `media` at `servers` into the collection `media` at `qdrant`.
fn job(directory: &Path, servers: &str, qdrant: &str) {
    let sql = format!(
        "CREATE TABLE media (id TEXT, url TEXT)
  WITH (connector = 'kafka', bootstrap_servers = '{servers}', topic = 'media', type = 'source', format = 'json',
        'source.offset' = 'earliest', 'source.group_id' = 'checker');
CREATE TABLE vectors (id TEXT, url TEXT, vector FLOAT[])
  WITH (connector = 'qdrant', url = '{qdrant}', collection = 'media');
INSERT INTO vectors SELECT id, url, embed(url) FROM media;"
    );
    fs::write(directory.join("job.sql"), sql).expect("a new file");
}

/// What `check job.sql` tells, and its exit code.
fn check(directory: &Path, arguments: &[&str]) -> (String, i32) {
    let mut command = sightstream(directory);
    command.args(["check", "job.sql", "--timeout", "3s"]).args(arguments);
    let output = output(command);
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
    (stdout(&output), code(&output))
}

/// The line of `told` that contains `part`.
fn line<'a>(told: &'a str, part: &str) -> &'a str {
    let found = told.lines().find(|line| line.contains(part));
    found.unwrap_or_else(|| panic!("no line with {part}: {told}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn systems_that_answer_are_told_and_left_as_they_are() {
    let folder = folder();
    let broker = MockCluster::new(1).expect("a broker starts");
    broker.create_topic("media", 2, 1).expect("a topic can be made");
    let servers = broker.bootstrap_servers();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .create()
        .expect("a producer starts");
    let record: BaseRecord<'_, str, str> = BaseRecord::to("media").payload(r#"{"id": 7, "url": "data:,a"}"#);
    producer
        .send(record)
        .map_err(|(error, _)| error)
        .expect("there is room");
    producer.flush(Duration::from_secs(30)).expect("the broker takes it");
    let store = folder.path().join("store");
    let server = TestServer::start(&store, None).await.expect("a server starts");
    job(folder.path(), &servers, &server.url());

    let (told, code) = check(folder.path(), &["--metrics-address", "127.0.0.1:0"]);
    assert_eq!(code, 0, "{told}");
    assert!(
        line(&told, "the topic `media` has 2 partitions").starts_with("ok "),
        "{told}"
    );
    let group = line(&told, "the group `checker`");
    assert!(group.contains("starts with the first of 1 records"), "{told}");
    // The column is TEXT, and the record has a number there.
    assert!(
        line(&told, "does not fit the columns").starts_with("warning "),
        "{told}"
    );
    assert!(told.contains("model demo: complete"), "{told}");
    assert!(
        line(&told, "there is no collection yet").contains("256 numbers by cosine"),
        "{told}"
    );
    assert!(
        told.contains("is free") && told.contains("job.sql can run: 0 errors, 1 warning"),
        "{told}"
    );

    assert_eq!(server.requests("create_collection"), 0);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .set("group.id", "checker")
        .create()
        .expect("a consumer starts");
    let mut asked = TopicPartitionList::new();
    asked.add_partition("media", 0);
    asked.add_partition("media", 1);
    let committed = consumer
        .committed_offsets(asked, Duration::from_secs(10))
        .expect("the broker tells offsets");
    assert!(
        committed
            .elements()
            .iter()
            .all(|element| element.offset() == Offset::Invalid)
    );
    assert!(!folder.path().join(".sightstream").exists(), "no dead letters are made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_told_and_not_made() {
    let folder = folder();
    let broker = MockCluster::new(1).expect("a broker starts");
    let servers = broker.bootstrap_servers();
    job(folder.path(), &servers, "embedded:store");
    let letters = format!("kafka://{servers}/dead");
    let (told, code) = check(folder.path(), &["--dead-letters", &letters]);
    assert_eq!(code, 1, "{told}");
    assert!(
        line(&told, "has no topic `media`").starts_with("error    job.sql:2:"),
        "{told}"
    );
    assert!(line(&told, "has no topic `dead`").starts_with("error "), "{told}");
    assert!(!folder.path().join("store").exists());
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .create()
        .expect("a consumer starts");
    let all = consumer
        .fetch_metadata(None, Duration::from_secs(10))
        .expect("the broker answers");
    assert_eq!(all.topics().len(), 0, "no topic was made");
}

#[test]
fn systems_that_are_away_are_told_within_seconds_and_all_of_them() {
    let folder = folder();
    job(folder.path(), "127.0.0.1:9", "http://127.0.0.1:9");
    let started = Instant::now();
    let (told, code) = check(folder.path(), &["--dead-letters", "kafka://127.0.0.1:9/dead"]);
    assert_eq!(code, 1, "{told}");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    let kafka = line(&told, "table media: Kafka at 127.0.0.1:9 does not answer");
    assert!(
        kafka.starts_with("error    job.sql:2:") && kafka.contains("bootstrap_servers"),
        "{told}"
    );
    assert!(
        line(&told, "Qdrant at http://127.0.0.1:9 does not answer").starts_with("error "),
        "{told}"
    );
    assert!(
        line(&told, "dead letters: Kafka at 127.0.0.1:9").starts_with("error "),
        "{told}"
    );

    let (told, code) = check(folder.path(), &["--offline"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("(no other system was asked)"), "{told}");
}

#[test]
fn a_memory_limit_that_run_refuses_is_told() {
    let folder = folder();
    job(folder.path(), "127.0.0.1:9", "http://127.0.0.1:9");
    let offline = ["--offline", "--memory-limit"];
    let (told, code) = check(
        folder.path(),
        &[&offline[..], &["1GiB", "--decoder", "in-process"]].concat(),
    );
    assert_eq!(code, 1, "{told}");
    assert!(
        line(&told, "leave out --decoder or --memory-limit").starts_with("error "),
        "{told}"
    );
    let (told, code) = check(folder.path(), &[&offline[..], &["200MiB"]].concat());
    assert_eq!(code, 1, "{told}");
    assert!(
        line(&told, "a memory limit of 200 MiB is too small").starts_with("error "),
        "{told}"
    );
    let (told, code) = check(folder.path(), &[&offline[..], &["8GiB"]].concat());
    assert_eq!(code, 0, "{told}");
    assert!(line(&told, "memory: 8192 MiB").starts_with("ok "), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_of_another_model_is_told_with_what_to_do() {
    let folder = folder();
    fs::write(folder.path().join("in.jsonl"), "{\"id\":\"1\",\"url\":\"data:,a\"}\n").expect("a new file");
    let sql = |url: &str, options: &str| {
        format!(
            "CREATE TABLE media (id TEXT, url TEXT)
  WITH (connector = 'single_file', path = 'in.jsonl', type = 'source', format = 'json');
CREATE TABLE vectors (id TEXT, url TEXT, vector FLOAT[])
  WITH (connector = 'qdrant', url = '{url}', collection = 'media'{options});
INSERT INTO vectors SELECT id, url, embed(url) FROM media;"
        )
    };
    let file = folder.path().join("job.sql");
    fs::write(&file, sql("embedded:store", "")).expect("a new file");
    let mut filled = sightstream(folder.path());
    filled.args(["run", "job.sql"]);
    let filled = output(filled);
    assert_eq!(code(&filled), 0, "{}", stderr(&filled));

    let (told, code) = check(folder.path(), &[]);
    assert_eq!(code, 0, "{told}");
    assert!(
        line(&told, "takes the vectors").contains("256 numbers by cosine"),
        "{told}"
    );
    fs::write(&file, sql("embedded:store", ", distance = 'dot'")).expect("the file can be written");
    let (told, code) = check(folder.path(), &["--model", &tiny()]);
    assert_eq!(code, 1, "{told}");
    assert!(
        line(&told, "has the distance cosine").starts_with("error    job.sql:4:"),
        "{told}"
    );
    assert!(
        line(&told, "holds vectors of 256 numbers (demo)").starts_with("error "),
        "{told}"
    );

    let server = TestServer::start(&folder.path().join("store"), None)
        .await
        .expect("a server starts");
    // This process has the folder open now.
    let (told, code) = check(folder.path(), &[]);
    assert_eq!(code, 1, "{told}");
    assert!(
        line(&told, "only one process at a time").starts_with("error "),
        "{told}"
    );
    fs::write(&file, sql(&server.url(), "")).expect("the file can be written");
    let (told, code) = check(folder.path(), &["--model", &tiny()]);
    assert_eq!(code, 1, "{told}");
    assert!(
        line(&told, "holds vectors of 256 numbers (demo)").starts_with("error "),
        "{told}"
    );
}

#[test]
fn a_model_that_is_missing_or_incomplete_is_told_without_loading_it() {
    let folder = folder();
    job(folder.path(), "127.0.0.1:9", "embedded:store");
    let copy = folder.path().join("model");
    fs::create_dir(&copy).expect("a new folder");
    for entry in fs::read_dir(tiny()).expect("the checkpoint is there") {
        let entry = entry.expect("it can be read");
        fs::copy(entry.path(), copy.join(entry.file_name())).expect("it can be copied");
    }
    let (told, code) = check(folder.path(), &["--offline", "--model", "model"]);
    assert_eq!(code, 0, "{told}");
    assert!(line(&told, "model model: complete").starts_with("ok "), "{told}");

    let adapters = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/tests/fixtures/adapters");
    for (adapter, told_of_it, expected) in [
        ("patterns", "patterns: complete", "ok "),
        (
            "lora",
            "it changes `model.language_model.layers.0.self_attn.q_proj`",
            "error ",
        ),
    ] {
        let adapter = format!("{adapters}/{adapter}");
        let (told, _) = check(folder.path(), &["--offline", "--model", "model", "--adapter", &adapter]);
        assert!(line(&told, told_of_it).starts_with(expected), "{told}");
    }

    fs::remove_file(copy.join("model-00002-of-00002.safetensors")).expect("it is there");
    for (model, reason) in [
        ("model", "model-00002-of-00002.safetensors"),
        ("no/such/model", "neither a directory"),
    ] {
        let (told, code) = check(folder.path(), &["--offline", "--model", model]);
        assert_eq!(code, 1, "{told}");
        let told = line(&told, reason);
        assert!(told.starts_with("error    job.sql:6 "), "{told}");
    }
    let mut hub = sightstream(folder.path());
    hub.env("HF_HOME", folder.path().join("hub"));
    hub.args(["check", "job.sql", "--offline", "--model", "owner/name"]);
    let hub = output(hub);
    assert_eq!(crate::common::code(&hub), 0, "{}", stdout(&hub));
    assert!(
        line(&stdout(&hub), "will download it").starts_with("warning "),
        "{}",
        stdout(&hub)
    );
}
