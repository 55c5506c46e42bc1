//! What is documented, drawn and watched is what a job tells.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::{folder, sightstream};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use sightstream_connectors::qdrant::testing::TestServer;

/// The suffixes of a histogram's series.
const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names in `text` that look like a metric of ours, between `quote`s if it is not empty.
fn names(text: &str, quote: &str) -> BTreeSet<String> {
    const PREFIX: &str = "sightstream_";
    text.match_indices(PREFIX)
        .filter_map(|(start, _)| {
            let rest = &text[start..];
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let quoted = text[..start].ends_with(quote) && rest[end..].starts_with(quote);
            (quoted && end > PREFIX.len()).then(|| rest[..end].to_string())
        })
        .collect()
}

/// The metrics of the table in docs/operations.md.
fn documented() -> BTreeSet<String> {
    let docs = text("docs/operations.md");
    let rows = docs.lines().filter(|line| line.starts_with("| `sightstream_"));
    rows.flat_map(|row| names(row.split('|').nth(1).unwrap_or_default(), "`"))
        .collect()
}

/// The Rust files of the program, tests aside.
fn sources() -> Vec<PathBuf> {
    let crates = ["model", "udf", "connectors", "sql", "cli"];
    let mut folders: Vec<PathBuf> = crates.iter().map(|name| repository().join(name).join("src")).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the crate is there") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn every_metric_of_the_program_is_documented_and_described_and_no_other() {
    let sources: Vec<String> = sources()
        .iter()
        .map(|path| fs::read_to_string(path).expect("it can be read"))
        .collect();
    let used: BTreeSet<String> = sources.iter().flat_map(|source| names(source, "\"")).collect();
    // By their names, or by the constants that hold them.
    let constants: Vec<(&str, &str)> = sources
        .iter()
        .flat_map(|source| source.lines())
        .filter_map(|line| line.split_once("const ")?.1.split_once(": &str = \""))
        .filter_map(|(constant, value)| Some((constant, value.strip_suffix("\";")?)))
        .collect();
    let mut described = BTreeSet::new();
    for source in sources.iter().filter(|source| source.contains("describe_")) {
        described.extend(names(source, "\""));
        let held = constants.iter().filter(|(constant, _)| source.contains(constant));
        described.extend(
            held.map(|(_, value)| (*value).to_string())
                .filter(|value| used.contains(value)),
        );
    }
    assert_eq!(used, documented(), "the program and docs/operations.md");
    assert_eq!(used, described, "every metric has a HELP text");
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_metrics_that_there_are() {
    let documented = documented();
    for file in ["deploy/grafana/sightstream.json", "deploy/prometheus/alerts.yml"] {
        let asked = names(&text(file), "");
        assert!(asked.len() > 3, "{file}: {asked:?}");
        for name in asked {
            let metric = SUFFIXES
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(&name);
            assert!(documented.contains(metric), "{file} asks for {name}");
        }
    }
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/sightstream.json")).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("there are panels");
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let title = panel["title"].as_str().expect("each has a title");
        assert!(ids.insert(panel["id"].as_u64()), "{title}: each has an id of its own");
        let place = &panel["gridPos"];
        let number = |key: &str| place[key].as_u64().unwrap_or_else(|| panic!("{title}: {key}"));
        assert!(number("x") + number("w") <= 24, "{title} is on the grid");
        assert!(places.insert((number("y"), number("x"))), "{title} covers no other");
        if panel["type"] == "row" {
            continue;
        }
        for target in panel["targets"].as_array().expect("each asks for something") {
            assert!(
                target["expr"].as_str().is_some_and(|query| query.contains("$job")),
                "{title}"
            );
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    assert!(panels.len() > 20);
}

struct Job(Child);

impl Drop for Job {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the endpoint listens");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

/// Asks until the answer contains `part`.
fn wait_for(address: &str, path: &str, part: &str) -> String {
    for _ in 0..600 {
        let answer = get(address, path);
        if answer.contains(part) {
            return answer;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("no {part} at {path}: {}", get(address, path));
}

fn start(mut command: Command) -> (Job, String) {
    command.args(["--metrics-address", "127.0.0.1:0", "--log-format", "json"]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command can be started");
    let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let address = log
        .find_map(|line| {
            let line: Value = serde_json::from_str(&line.expect("the log is text")).expect("each line is JSON");
            Some(line.get("address")?.as_str()?.to_string())
        })
        .expect("the log tells the address");
    std::thread::spawn(move || log.for_each(drop));
    (Job(child), address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_from_kafka_to_qdrant_tells_documented_metrics_with_help() {
    let folder = folder();
    let broker = MockCluster::new(1).expect("a broker starts");
    broker.create_topic("media", 2, 1).expect("a topic can be made");
    let servers = broker.bootstrap_servers();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .create()
        .expect("a producer starts");
    for id in 0..6 {
        let value = format!("{{\"id\":\"{id}\",\"url\":\"data:,text%20{id}\"}}");
        let record: BaseRecord<'_, str, String> = BaseRecord::to("media").payload(&value).partition(id % 2);
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("there is room");
    }
    let bad: BaseRecord<'_, str, str> = BaseRecord::to("media").payload("no json").partition(0);
    producer.send(bad).map_err(|(error, _)| error).expect("there is room");
    producer
        .flush(std::time::Duration::from_secs(30))
        .expect("the broker takes them");
    let server = TestServer::start(&folder.path().join("store"), None)
        .await
        .expect("a server starts");
    let sql = format!(
        "CREATE TABLE media (id TEXT, url TEXT)
           WITH (connector = 'kafka', bootstrap_servers = '{servers}', topic = 'media', type = 'source', format = 'json',
                 'source.offset' = 'earliest', client_configs = 'session.timeout.ms=6000');
         CREATE TABLE vectors (id TEXT, url TEXT, vector FLOAT[])
           WITH (connector = 'qdrant', url = '{}', collection = 'media');
         INSERT INTO vectors SELECT id, url, embed(url) FROM media;",
        server.url()
    );
    fs::write(folder.path().join("job.sql"), sql).expect("a new file");
    let mut command = sightstream(folder.path());
    command.args(["run", "job.sql"]);
    let (_job, address) = start(command);

    wait_for(&address, "/readyz", "200 OK");
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200"));
    wait_for(
        &address,
        "/metrics",
        "sightstream_rows_written_total{table=\"vectors\"} 6",
    );
    let metrics = wait_for(
        &address,
        "/metrics",
        "sightstream_source_lag{table=\"media\",partition=\"1\"} 0",
    );
    let documented = documented();
    let mut told = BTreeSet::new();
    for line in metrics.lines().filter(|line| line.starts_with("sightstream_")) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let metric = SUFFIXES
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix).filter(|metric| documented.contains(*metric)))
            .unwrap_or(name);
        assert!(documented.contains(metric), "{line}");
        assert!(metrics.contains(&format!("# HELP {metric} ")), "{metric} has no HELP");
        told.insert(metric.to_string());
    }
    for part in [
        "sightstream_build_info{version=",
        "model=\"demo\",device=\"cpu\"} 1",
        "sightstream_dead_letters_total{reason=\"bad_record\"} 1",
        "sightstream_epoch_write_seconds_bucket{table=\"media\",le=\"0.1\"}",
        "sightstream_epoch_commit_seconds_count{table=\"media\"}",
        "sightstream_epochs_in_flight{table=\"media\"} 0",
        "sightstream_source_committed{table=\"media\",partition=\"0\"} 4",
        "sightstream_source_position{table=\"media\",partition=\"0\"} 4",
        "sightstream_source_partitions{table=\"media\"} 2",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_start_time_seconds ",
    ] {
        assert!(metrics.contains(part), "{part}: {metrics}");
    }
    assert!(told.len() > 25, "{told:?}");
}

#[test]
fn a_job_that_cannot_begin_says_what_it_waits_for_and_is_alive() {
    let folder = folder();
    let sql = "CREATE TABLE media (id TEXT)
          WITH (connector = 'kafka', bootstrap_servers = '127.0.0.1:9', topic = 'media', type = 'source', format = 'json');
        SELECT id FROM media;";
    fs::write(folder.path().join("job.sql"), sql).expect("a new file");
    let mut command = sightstream(folder.path());
    command.args(["run", "job.sql"]);
    let (_job, address) = start(command);
    let answer = wait_for(&address, "/readyz", "opening the tables");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200"));
}
