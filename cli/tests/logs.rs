//! What is on standard error: JSON where that is asked for, to the last word; and nothing, where nobody reads it any more.

mod common;

use std::fs;
use std::io;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use common::{code, folder, output, sightstream, stderr};
use serde_json::Value;

/// The lines of standard error of `arguments`, each of which must be a log line, and the exit code.
fn logged(arguments: &[&str], environment: &[(&str, &str)]) -> (Vec<Value>, i32) {
    let folder = folder();
    fs::write(folder.path().join("in.jsonl"), "{\"id\": 1}\nnot json\n").expect("a new file");
    let table = "CREATE TABLE media (id BIGINT)
        WITH (connector = 'single_file', path = 'in.jsonl', type = 'source', format = 'json');";
    fs::write(folder.path().join("job.sql"), format!("{table} SELECT id FROM media;")).expect("a new file");
    fs::write(folder.path().join("wrong.sql"), "SELECT nothing;\nSELECT nowhere;").expect("a new file");
    let mut command = sightstream(folder.path());
    command.args(arguments).envs(environment.iter().copied());
    let output = output(command);
    let lines = stderr(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    (lines, code(&output))
}

#[test]
fn every_line_of_a_run_is_an_object_with_a_time_a_level_and_a_message() {
    let (lines, code) = logged(&["run", "job.sql", "--log-format", "json"], &[]);
    assert_eq!(code, 0, "{lines:?}");
    for line in &lines {
        let time = line["timestamp"].as_str().unwrap_or_default();
        assert!(time.len() > 20 && time.contains('T') && time.ends_with('Z'), "{line}");
        assert!(
            line["level"].is_string() && line["message"].is_string() && line["target"].is_string(),
            "{line}"
        );
    }
    let last = lines.last().expect("it says how it ended");
    assert_eq!(
        (&last["message"], &last["read"]),
        (&"the job has ended".into(), &2.into())
    );
    assert_eq!(last["dead_lettered"], 1);
    assert_eq!(last["dead_letters"], "bad_record 1");
}

#[test]
fn errors_of_the_file_and_of_the_command_line_are_objects_too() {
    let json = [("SIGHTSTREAM_LOG_FORMAT", "json")];
    let (lines, code) = logged(&["run", "wrong.sql"], &json);
    assert_eq!((lines.len(), code), (2, 2), "{lines:?}");
    assert!(lines.iter().all(|line| line["level"] == "ERROR"), "{lines:?}");
    assert!(
        lines[0]["message"]
            .as_str()
            .is_some_and(|message| message.starts_with("wrong.sql:1:8: "))
    );

    for (arguments, environment) in [
        (
            ["run", "job.sql", "--epoch-rows", "none", "--log-format", "json"].as_slice(),
            [].as_slice(),
        ),
        (&["run", "job.sql", "--no-such-flag"], &json),
    ] {
        let (lines, code) = logged(arguments, environment);
        assert_eq!((lines.len(), code), (1, 2), "{lines:?}");
        assert_eq!(lines[0]["level"], "ERROR");
    }
}

#[test]
fn a_failure_while_running_is_an_object_too() {
    let (lines, code) = logged(&["run", "job.sql", "--dead-letters", "none", "--log-format=json"], &[]);
    assert_eq!(code, 1, "{lines:?}");
    let last = lines.last().expect("it says why it ended");
    assert_eq!(last["level"], "ERROR");
    assert!(
        last["message"]
            .as_str()
            .is_some_and(|message| message.contains("in.jsonl")),
        "{last}"
    );
}

#[test]
fn a_command_whose_standard_error_nobody_reads_ends_as_it_would() {
    let folder = folder();
    fs::write(folder.path().join("in.jsonl"), "{\"id\": 1}\nnot json\n").expect("a new file");
    let sql = "CREATE TABLE media (id BIGINT)
                 WITH (connector = 'single_file', path = 'in.jsonl', type = 'source', format = 'json');
               SELECT id FROM media;";
    fs::write(folder.path().join("job.sql"), sql).expect("a new file");
    for (arguments, expected) in [
        (["run", "job.sql", "--log-format=text"], 0),
        (["run", "job.sql", "--log-format=json"], 0),
        (["run", "missing.sql", "--log-format=text"], 2),
        (["run", "missing.sql", "--log-format=json"], 2),
    ] {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let mut command = sightstream(folder.path());
        command.args(arguments).stdout(Stdio::null()).stderr(writer);
        let mut process = command.spawn().expect("the command can be started");
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = loop {
            match process.try_wait().expect("it can be waited for") {
                Some(status) => break status,
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
                None => {
                    process.kill().expect("it runs");
                    panic!("{arguments:?} does not end");
                }
            }
        };
        assert_eq!(status.code(), Some(expected), "{arguments:?}");
    }
}
