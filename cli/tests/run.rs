//! `sightstream run`.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{code, folder, json_lines, output, sightstream, stderr, stdout};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use serde_json::Value;
use sightstream_connectors::qdrant::Store;

/// A job that reads `in.jsonl`.
fn file_job(directory: &Path, input: &str, query: &str) -> Command {
    fs::write(directory.join("in.jsonl"), input).expect("a new file");
    let sql = format!(
        "CREATE TABLE media (id BIGINT, url TEXT)
           WITH (connector = 'single_file', path = 'in.jsonl', type = 'source', format = 'json');
         {query}"
    );
    fs::write(directory.join("job.sql"), sql).expect("a new file");
    let mut command = sightstream(directory);
    command.args(["run", "job.sql"]);
    command
}

#[test]
fn a_select_prints_its_rows_and_the_counts_go_to_standard_error() {
    let folder = folder();
    let input = "{\"id\":1,\"url\":\"data:,a\"}\n{\"id\":2,\"url\":\"data:,b\"}\n";
    let query = "SELECT id * 10 AS tenfold, cosine_similarity(embed(url), embed(url)) AS one FROM media WHERE id > 1;";
    let output = output(file_job(folder.path(), input, query));
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["tenfold"], 20);
    assert!((lines[0]["one"].as_f64().expect("a number") - 1.0).abs() < 1e-5);
    let stderr = stderr(&output);
    for part in ["rows read", "indexed", "dead-lettered", "rows per second"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}

#[test]
fn rows_that_fail_go_to_the_dead_letters_with_the_reason_and_the_rest_arrive() {
    let folder = folder();
    let input = "{\"id\":1,\"url\":\"missing.png\"}\nnot json\n{\"id\":3,\"url\":\"data:,c\"}\n";
    let output = output(file_job(
        folder.path(),
        input,
        "SELECT id, embed(url) AS vector FROM media;",
    ));
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let ids: Vec<Value> = json_lines(&output).into_iter().map(|line| line["id"].clone()).collect();
    assert_eq!(ids, [3]);
    let letters = fs::read_to_string(folder.path().join(".sightstream/job/dead_letters.jsonl"));
    let letters = letters.expect("the dead letters are beside the job's state");
    assert_eq!(letters.lines().count(), 2, "{letters}");
    assert!(
        letters.contains("missing.png") && letters.contains("not json"),
        "{letters}"
    );
    assert!(stderr(&output).contains("not_found 1"), "{}", stderr(&output));
}

#[test]
fn without_dead_letters_the_first_bad_row_stops_the_job() {
    let folder = folder();
    let mut command = file_job(folder.path(), "not json\n", "SELECT id FROM media;");
    command.args(["--dead-letters", "none"]);
    let output = output(command);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("error: ") && stderr(&output).contains("in.jsonl"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_mistake_in_the_file_is_told_with_its_line() {
    let folder = folder();
    fs::write(folder.path().join("job.sql"), "-- one\n\nCREATE TABLE\n;").expect("a new file");
    let mut command = sightstream(folder.path());
    command.args(["run", "job.sql"]);
    let failed = output(command);
    assert_eq!(code(&failed), 2);
    assert!(stderr(&failed).contains("error: job.sql:"), "{}", stderr(&failed));
    assert!(stdout(&failed).is_empty());
}

#[test]
fn settings_of_the_file_stand_below_flags_and_unknown_ones_are_refused() {
    let folder = folder();
    let input = "{\"id\":1,\"url\":\"data:,a\"}\n";
    let query = "SET sightstream.model = 'no-such-folder'; SELECT embed(url) AS v FROM media;";
    let failed = output(file_job(folder.path(), input, query));
    assert_eq!(code(&failed), 1);
    assert!(stderr(&failed).contains("no-such-folder"), "{}", stderr(&failed));

    let misspelt = output(file_job(
        folder.path(),
        input,
        "SET sightstream.modle = 'x'; SELECT id FROM media;",
    ));
    assert_eq!(code(&misspelt), 2);
    assert!(stderr(&misspelt).contains("sightstream.modle"), "{}", stderr(&misspelt));

    let mut overruled = file_job(folder.path(), input, query);
    overruled.args(["--model", "another-folder"]);
    let overruled = stderr(&output(overruled));
    assert!(
        overruled.contains("another-folder") && !overruled.contains("no-such-folder"),
        "{overruled}"
    );
}

#[test]
fn a_password_in_a_target_of_dead_letters_that_cannot_be_used_is_not_told() {
    const TARGET: &str = "kafka://h/t?sasl.password=s3cret&bad=1";
    let folder = folder();
    let job = |query: &str| file_job(folder.path(), "", query);
    let select = "SELECT id FROM media;";
    let mut by_flag = job(select);
    by_flag.args(["--dead-letters", TARGET]);
    let by_flag = output(by_flag);
    let mut by_environment = job(select);
    by_environment.env("SIGHTSTREAM_DEAD_LETTERS", TARGET);
    let by_environment = output(by_environment);
    let by_file = output(job(&format!("SET sightstream.dead_letters = '{TARGET}'; {select}")));
    for failed in [by_flag, by_environment, by_file] {
        let told = stderr(&failed);
        assert_eq!(code(&failed), 2, "{told}");
        assert!(told.contains("'kafka://h/t'") && told.contains("bad"), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
}

/// A broker in this process with a topic `media` that holds `records` records.
fn broker(records: usize) -> MockCluster<'static, DefaultProducerContext> {
    let broker = MockCluster::new(1).expect("a broker starts");
    broker.create_topic("media", 1, 1).expect("a topic can be made");
    produce(&broker, 0..records);
    broker
}

fn produce(broker: &MockCluster<'static, DefaultProducerContext>, ids: std::ops::Range<usize>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .create()
        .expect("a producer starts");
    for id in ids {
        let value = format!("{{\"id\":{id},\"url\":\"data:,text%20{id}\"}}");
        let record: BaseRecord<'_, str, String> = BaseRecord::to("media").payload(&value);
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("the queue has room");
    }
    producer
        .flush(Duration::from_secs(30))
        .expect("the broker takes the records");
}

/// A running job that prints the rows of the topic `media`. The mock broker lets a group that a member has left wait for
/// nearly the session's timeout before the next member gets its partitions, so the timeout is short.
fn kafka_job(directory: &Path, servers: &str, arguments: &[&str]) -> Child {
    let sql = "CREATE TABLE media (id BIGINT, url TEXT)
          WITH (connector = 'kafka', bootstrap_servers = '{{ BROKER }}', topic = 'media', type = 'source',
                format = 'json', 'source.offset' = 'earliest', 'source.group_id' = 'printer',
                client_configs = 'session.timeout.ms=6000');
        SELECT id, embed(url) AS vector FROM media;";
    fs::write(directory.join("job.sql"), sql).expect("a new file");
    let mut command = sightstream(directory);
    command.args(["run", "job.sql"]).args(arguments).env("BROKER", servers);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the command can be started")
}

fn signal(child: &Child, name: &str) {
    let command = format!("kill -{name} {}", child.id());
    let status = Command::new("sh")
        .args(["-c", &command])
        .status()
        .expect("a shell can be started");
    assert!(status.success());
}

fn ids(lines: &[String]) -> Vec<i64> {
    let id = |line: &String| {
        let line: Value = serde_json::from_str(line).expect("a row is JSON");
        line["id"].as_i64().expect("an id")
    };
    lines.iter().map(id).collect()
}

#[test]
fn after_sigterm_what_was_written_is_committed_and_the_exit_code_is_zero() {
    let folder = folder();
    let broker = broker(50);
    let servers = broker.bootstrap_servers();
    let mut first = kafka_job(folder.path(), &servers, &[]);
    let mut rows = BufReader::new(first.stdout.take().expect("standard output is piped")).lines();
    let mut read: Vec<String> = rows
        .by_ref()
        .take(50)
        .map(|line| line.expect("a row is text"))
        .collect();
    signal(&first, "TERM");
    read.extend(rows.map(|line| line.expect("a row is text")));
    let ended = first.wait_with_output().expect("the command ends");
    assert_eq!(code(&ended), 0, "{}", stderr(&ended));
    assert_eq!(ids(&read), (0..50).collect::<Vec<i64>>());

    produce(&broker, 50..60);
    let second = kafka_job(folder.path(), &servers, &["--until-caught-up"]);
    let ended = second.wait_with_output().expect("the command ends");
    assert_eq!(code(&ended), 0, "{}", stderr(&ended));
    let rows: Vec<String> = stdout(&ended).lines().map(str::to_string).collect();
    assert_eq!(
        ids(&rows),
        (50..60).collect::<Vec<i64>>(),
        "the second run goes on where the first stopped"
    );
}

#[test]
fn a_running_job_answers_for_its_health_and_its_metrics() {
    let folder = folder();
    let broker = broker(5);
    let servers = broker.bootstrap_servers();
    let arguments = ["--metrics-address", "127.0.0.1:0", "--log-format", "json"];
    let mut job = kafka_job(folder.path(), &servers, &arguments);
    let mut log = BufReader::new(job.stderr.take().expect("standard error is piped")).lines();
    let address = log
        .find_map(|line| {
            let line: Value = serde_json::from_str(&line.expect("the log is text")).expect("each log line is JSON");
            Some(line.get("address")?.as_str()?.to_string())
        })
        .expect("the log tells the address");
    let drained = std::thread::spawn(move || log.for_each(drop));
    let mut rows = BufReader::new(job.stdout.take().expect("standard output is piped")).lines();
    assert_eq!(rows.by_ref().take(5).count(), 5);

    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/readyz").starts_with("HTTP/1.1 200"));
    let metrics = get(&address, "/metrics");
    assert!(metrics.contains("sightstream_batch_inputs_bucket"), "{metrics}");

    signal(&job, "INT");
    assert_eq!(job.wait().expect("the command ends").code(), Some(0));
    drained.join().expect("the log was read to its end");
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

#[tokio::test]
async fn records_of_qdrant_kafkas_shape_go_in() {
    let folder = folder();
    let records = [
        r#"{"collection_name":"films","id":7,"vector":[1.0,0.0],"payload":{"title":"Metropolis","year":1927}}"#,
        r#"{"collection_name":"films","id":"5c56c793-69f3-4fbf-87e6-c4bf54c28c26","vector":[0.0,1.0],"payload":{"title":"M"}}"#,
        r#"{"collection_name":"books","id":7,"vector":[0.5,0.5,0.5],"payload":{"title":"Momo"}}"#,
    ];
    fs::write(folder.path().join("in.jsonl"), records.join("\n")).expect("a new file");
    let sql = "CREATE TABLE records (collection_name TEXT, id JSON, vector FLOAT[], payload JSON)
          WITH (connector = 'single_file', path = 'in.jsonl', type = 'source', format = 'json');
        CREATE TABLE points (collection_name TEXT, id JSON, vector FLOAT[], payload JSON)
          WITH (connector = 'qdrant', url = 'embedded:db');
        INSERT INTO points SELECT * FROM records;";
    fs::write(folder.path().join("job.sql"), sql).expect("a new file");
    let mut command = sightstream(folder.path());
    command.args(["run", "job.sql", "--dead-letters", "none"]);
    let output = output(command);
    assert_eq!(code(&output), 0, "{}", stderr(&output));

    let url = format!("embedded:{}", folder.path().join("db").display());
    let store = Store::open(&url, None).await.expect("the store opens");
    let films = store.collection("films").await.expect("there are films");
    let hits = films
        .search(vec![1.0, 0.1], &[], 2)
        .await
        .expect("films can be searched");
    assert_eq!(hits[0].id, "7");
    assert_eq!(
        (&hits[0].payload["title"], &hits[0].payload["year"]),
        (&"Metropolis".into(), &1927.into())
    );
    assert_eq!(hits[1].id, "5c56c793-69f3-4fbf-87e6-c4bf54c28c26");
    let books = store.collection("books").await.expect("there are books");
    assert_eq!((books.info().dimension, books.info().points), (3, 1));
}

#[test]
fn a_file_that_cannot_be_planned_ends_with_two_before_anything_is_loaded() {
    let folder = folder();
    let mut command = file_job(folder.path(), "", "SELECT embed(picture) FROM media;");
    command.args(["--model", "no/such/model"]);
    let output = output(command);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("job.sql:") && stderr(&output).contains("picture"),
        "{}",
        stderr(&output)
    );
}
