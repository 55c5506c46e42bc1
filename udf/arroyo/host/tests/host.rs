//! The host itself, on a UDF that has nothing to do with media: what it tells of the plugin it must be able to tell.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sightstream_arroyo_host::compiler::{CompileError, Compiler, UdfFile};
use sightstream_arroyo_host::protocol::{Command, Row};
use sightstream_arroyo_host::worker::Worker;

const PATIENCE: Duration = Duration::from_secs(20);

fn source() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/udfs/shout.rs");
    fs::read_to_string(path).expect("the UDF is there")
}

fn shout() -> (UdfFile, PathBuf) {
    let file = UdfFile::parse(&source()).expect("it is a UDF");
    let dylib = Compiler::of_repository().build(&file).expect("it compiles");
    (file, dylib)
}

fn worker() -> Worker {
    let program = Path::new(env!("CARGO_BIN_EXE_arroyo-worker"));
    let mut worker = Worker::start(program, Path::new("/"), &[]).expect("the worker starts");
    worker.load("shout", &shout().1).expect("the UDF loads");
    worker
}

/// Rows whose first ones take longest.
fn rows(count: u64) -> Vec<Row> {
    let row = |id: u64| Row {
        id,
        arguments: vec![
            Some(format!("row {id}")),
            id.is_multiple_of(2).then(|| ((count - id) * 5).to_string()),
        ],
    };
    (0..count).map(row).collect()
}

fn start(worker: &mut Worker, handle: &str, ordered: bool, timeout: Duration) {
    let (handle, udf) = (handle.to_string(), "shout".to_string());
    let allowed_in_flight = 16;
    let command = Command::Start {
        handle,
        udf,
        ordered,
        timeout,
        allowed_in_flight,
    };
    worker.tell(&command).expect("it starts");
}

#[test]
fn every_call_is_answered_once_in_order_only_where_order_is_asked_for() {
    let mut worker = worker();
    start(&mut worker, "in order", true, PATIENCE);
    start(&mut worker, "as they come", false, PATIENCE);
    let both = [("in order", rows(40)), ("as they come", rows(40))];
    let answers = worker.call(both.map(|(name, rows)| (name.to_string(), rows)).into(), PATIENCE);
    for (handle, given) in answers.expect("all are answered").by_handle {
        let mut ids: Vec<u64> = given.answers.iter().map(|answer| answer.id).collect();
        assert_eq!(ids.is_sorted(), handle == "in order", "{handle}: {ids:?}");
        ids.sort_unstable();
        assert_eq!(ids, (0..40).collect::<Vec<_>>());
        for answer in &given.answers {
            assert_eq!(answer.value(), Some(format!("ROW {}", answer.id).into_bytes()));
        }
    }
    for handle in ["in order", "as they come"] {
        worker.end(handle).expect("it stops");
    }
    assert!(worker.finish().expect("it ends").0.success());
}

#[test]
fn a_udf_that_meets_its_timeout_is_told_by_the_host() {
    let mut worker = worker();
    start(&mut worker, "slow", false, Duration::from_millis(50));
    let slow = vec![Row {
        id: 7,
        arguments: vec![Some("never".to_string()), Some("600000".to_string())],
    }];
    let error = worker.call(vec![("slow".to_string(), slow)], PATIENCE);
    assert!(error.expect_err("the runtime panics").to_string().contains("slow: "));
    // What the panic says comes through another pipe.
    let (_, log) = worker.finish().expect("it ends");
    assert!(log.contains("Async UDF timed out"), "{log}");
}

#[test]
fn what_the_compiler_says_is_passed_on() {
    let broken = source()
        .replace("to_uppercase", "to_no_case")
        .replace("fn shout", "fn mumble");
    let file = UdfFile::parse(&broken).expect("it parses");
    match Compiler::of_repository().build(&file) {
        Err(CompileError::Build(said)) => assert!(said.contains("to_no_case"), "{said}"),
        other => panic!("{other:?}"),
    }
}
