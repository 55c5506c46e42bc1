//! `sightstream dead-letters`: a job leaves bad rows behind, the cause is mended, and they arrive.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use common::{code, folder, json_lines, output, png, sightstream, stderr, stdout};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// Runs `sightstream` with `arguments` in `folder`.
fn call(folder: &Path, servers: &str, arguments: &[&str]) -> Output {
    let mut command: Command = sightstream(folder);
    command.args(arguments).env("BROKER", servers);
    output(command)
}

fn job(folder: &Path, dead_letters: &str) {
    let sql = format!(
        "SET sightstream.dead_letters = '{dead_letters}';
         CREATE TABLE media (id TEXT, url TEXT)
           WITH (connector = 'kafka', bootstrap_servers = '{{{{ BROKER }}}}', topic = 'media', type = 'source',
                 format = 'json', 'source.offset' = 'earliest', 'source.group_id' = 'job',
                 client_configs = 'session.timeout.ms=6000');
         SELECT id, embed(url) AS vector FROM media;"
    );
    fs::write(folder.join("job.sql"), sql).expect("a new file");
}

/// Writes records with these values to the topic `media`.
fn produce(servers: &str, values: &[&str]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .create()
        .expect("a producer starts");
    for value in values {
        let record = BaseRecord::to("media").key("k").payload(*value);
        let queued = producer.send(record).map_err(|(error, _)| error);
        queued.expect("the queue has room");
    }
    let flushed = producer.flush(Duration::from_secs(30));
    flushed.expect("the broker takes the records");
}

/// A job with one row whose file is missing, and one that is no JSON; the file appears, and the row is sent back.
fn mend_and_replay(dead_letters: impl Fn(&str) -> String) {
    let folder = folder();
    let cluster = MockCluster::new(1).expect("a broker starts");
    let servers = cluster.bootstrap_servers();
    for topic in ["media", "dead"] {
        cluster.create_topic(topic, 1, 1).expect("a topic can be made");
    }
    produce(
        &servers,
        &[
            r#"{"id":"good","url":"data:,a"}"#,
            r#"{"id":"missing","url":"cat.png"}"#,
            "no json",
        ],
    );
    let target = dead_letters(&servers);
    job(folder.path(), &target);
    let run = || {
        let ran = call(folder.path(), &servers, &["run", "job.sql", "--until-caught-up"]);
        assert_eq!(code(&ran), 0, "{}", stderr(&ran));
        json_lines(&ran)
            .iter()
            .map(|row| row["id"].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), ["\"good\""]);

    let letters = |arguments: &[&str]| {
        let arguments = [&["dead-letters"], arguments, &["--job", "job.sql"]].concat();
        call(folder.path(), &servers, &arguments)
    };
    let listed = letters(&["list"]);
    assert_eq!(code(&listed), 0, "{}", stderr(&listed));
    let table = stdout(&listed);
    for part in ["not_found", "bad_record", "media/0/1", "media/0/2", "cat.png"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert!(stderr(&listed).contains("2 dead letters"), "{}", stderr(&listed));
    let whole = json_lines(&letters(&["list", "--format", "json", "--stage", "read"]));
    assert_eq!((whole.len(), &whole[0]["value"]), (1, &"no json".into()));
    let summary = stdout(&letters(&["list", "--summary", "--since", "1h"]));
    assert!(summary.contains("not_found") && summary.contains("embed"), "{summary}");
    assert_eq!(
        json_lines(&letters(&["list", "--format", "json", "--until", "1h"])).len(),
        0
    );

    let dry = letters(&["replay", "--code", "not_found", "--dry-run"]);
    assert!(
        stderr(&dry).contains("would be sent") && stderr(&dry).contains("to media"),
        "{}",
        stderr(&dry)
    );
    png(folder.path(), "cat.png", 1);
    let replayed = letters(&["replay", "--code", "not_found"]);
    assert_eq!(code(&replayed), 0, "{}", stderr(&replayed));
    assert!(stderr(&replayed).contains("not chosen"), "{}", stderr(&replayed));
    assert_eq!(run(), ["\"missing\""], "the row arrives");

    // The other fails again, and is a new letter.
    assert_eq!(code(&letters(&["replay"])), 0);
    assert_eq!(run(), [""; 0]);
    let whole = json_lines(&letters(&["list", "--format", "json"]));
    assert_eq!((whole.len(), &whole[0]["offset"]), (1, &4.into()), "{whole:?}");
    let all = json_lines(&letters(&["list", "--format", "json", "--all"]));
    assert_eq!(all.len(), 3);
}

#[test]
fn rows_of_a_file_of_dead_letters_arrive_after_the_cause_is_mended() {
    mend_and_replay(|_| "letters.jsonl".to_string());
}

#[test]
fn rows_of_a_topic_of_dead_letters_arrive_after_the_cause_is_mended() {
    mend_and_replay(|servers| format!("kafka://{servers}/dead"));
}

#[test]
fn without_dead_letters_the_job_stops_at_the_row_and_its_position_stays() {
    let folder = folder();
    let cluster = MockCluster::new(1).expect("a broker starts");
    let servers = cluster.bootstrap_servers();
    cluster.create_topic("media", 1, 1).expect("a topic can be made");
    produce(&servers, &[r#"{"id":"good","url":"data:,a"}"#, "no json"]);
    job(folder.path(), "none");
    for _ in 0..2 {
        let stopped = call(folder.path(), &servers, &["run", "job.sql", "--until-caught-up"]);
        assert_eq!(code(&stopped), 1);
        let told = stderr(&stopped);
        assert!(
            told.contains("media (partition 0, offset 1): ") && told.contains("not JSON"),
            "{told}"
        );
        // Rows before it in its epoch may be written, and come again.
        assert!(json_lines(&stopped).iter().all(|row| row["id"] == "good"));
    }
    job(folder.path(), "letters.jsonl");
    let ran = call(folder.path(), &servers, &["run", "job.sql", "--until-caught-up"]);
    assert_eq!(json_lines(&ran).len(), 1, "nothing was committed: {}", stderr(&ran));
    assert!(stderr(&ran).contains("bad_record 1"), "{}", stderr(&ran));
}

#[test]
fn what_is_missing_is_told() {
    let folder = folder();
    let call = |arguments: &[&str]| call(folder.path(), "", arguments);
    let none = call(&["dead-letters", "list"]);
    assert_eq!(code(&none), 2);
    assert!(stderr(&none).contains("--job"), "{}", stderr(&none));
    let empty = call(&["dead-letters", "list", "letters.jsonl"]);
    assert_eq!(code(&empty), 0);
    assert!(stderr(&empty).contains("no dead letters"), "{}", stderr(&empty));
    let nowhere = call(&["dead-letters", "replay", "letters.jsonl"]);
    assert_eq!(code(&nowhere), 2);
    assert!(
        stderr(&nowhere).contains("--to kafka://HOST:PORT"),
        "{}",
        stderr(&nowhere)
    );
    assert_eq!(code(&call(&["dead-letters", "list", "none"])), 2);
    let wrong = call(&["dead-letters", "list", "x", "--since", "yesterday"]);
    assert_eq!(code(&wrong), 2);
    assert!(stderr(&wrong).contains("24h"), "{}", stderr(&wrong));
}

#[test]
fn the_help_says_what_a_replay_does_to_the_order() {
    let folder = folder();
    for (arguments, parts) in [
        (["list", "--help"], ["Examples:", "SIGHTSTREAM_CODE", "--summary"]),
        (
            ["replay", "--help"],
            ["Examples:", "SIGHTSTREAM_MAX_REPLAYS", "overwrites it"],
        ),
    ] {
        let help = stdout(&call(folder.path(), "", &[&["dead-letters"], &arguments[..]].concat()));
        for part in parts {
            assert!(help.contains(part), "{part}: {help}");
        }
    }
}
