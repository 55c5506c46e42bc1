//! 5,000 rows of every modality through 8 subtasks at once, with failures among them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use sightstream_arroyo_host::metrics::{Metrics, free_address};
use sightstream_arroyo_host::protocol::{Answer, Row};

use crate::dead_letters::{Broker, Letter};
use crate::engine;
use crate::pipeline::{EMBED, answered, begin, end, finished, load, worker};
use crate::rows::{Expected, Outcome, rows};

const ROWS: u64 = 5_000;
const SUBTASKS: usize = 8;

/// So few that no batch of more could come from one subtask.
const IN_FLIGHT: u32 = 16;

/// The rows are handed over in so many rounds, with a look at the memory after each.
const ROUNDS: usize = 5;

/// What came of them, one way and the other.
struct Run {
    rows: Vec<Expected>,
    answers: Vec<Answer>,
    engine: BTreeMap<u64, Option<Vec<u8>>>,
    dead_letters: Vec<Letter>,
    metrics: Metrics,
    resident: Vec<u64>,
    log: String,
}

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = rows(ROWS, folder.path());
    let asked: Vec<Row> = rows.iter().map(|expected| expected.row.clone()).collect();
    let (broker, address) = (Broker::start(), free_address().expect("a port is free"));
    let mut settings = broker.settings().to_vec();
    settings.push(("SIGHTSTREAM_METRICS_ADDRESS", address.to_string()));
    let mut worker = worker(folder.path(), &settings);
    load(&mut worker, &EMBED);
    begin(&mut worker, &EMBED, SUBTASKS, Some(IN_FLIGHT));
    let (mut answers, mut resident) = (Vec::new(), Vec::new());
    for round in asked.chunks(asked.len() / ROUNDS) {
        answers.extend(answered(&mut worker, round, SUBTASKS));
        resident.push(worker.resident_bytes().expect("the worker runs"));
    }
    end(&mut worker, SUBTASKS);
    let failures = rows
        .iter()
        .filter(|expected| expected.outcome == Outcome::Failure)
        .count();
    let dead_letters = broker.letters(failures);
    let metrics = Metrics::of(address).expect("the plugin tells its metrics");
    Run {
        engine: engine::vectors(folder.path(), &asked),
        log: finished(worker),
        rows,
        answers,
        dead_letters,
        metrics,
        resident,
    }
});

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty(), "{} bytes are no vector", bytes.len());
    numbers.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

#[test]
fn every_vector_is_the_one_machine_engines() {
    let vectors = RUN
        .rows
        .iter()
        .zip(&RUN.answers)
        .filter(|(expected, _)| expected.outcome == Outcome::Vector);
    for (expected, answer) in vectors {
        let row = &expected.row;
        let Some(given) = answer.value() else {
            panic!("{row:?} has no vector:\n{}", RUN.log);
        };
        let engine = RUN.engine.get(&row.id).and_then(Option::as_ref);
        let engine = engine.unwrap_or_else(|| panic!("the engine has no vector of {row:?}"));
        let (given, engine) = (floats(&given), floats(engine));
        assert_eq!(given.len(), engine.len(), "{row:?}");
        let furthest = given
            .iter()
            .zip(&engine)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(furthest < 1e-5, "{row:?} is {furthest} away from the engine's");
    }
}

#[test]
fn what_fails_there_is_null_here_and_a_null_url_is_null_on_both() {
    for (expected, answer) in RUN.rows.iter().zip(&RUN.answers) {
        let (row, engine) = (&expected.row, RUN.engine.get(&expected.row.id));
        match expected.outcome {
            Outcome::Vector => {}
            Outcome::Null => assert_eq!((answer.value(), engine), (None, Some(&None)), "{row:?}"),
            Outcome::Failure => assert_eq!((answer.value(), engine), (None, None), "{row:?}"),
        }
    }
}

#[test]
fn every_failure_is_a_dead_letter_with_its_url_and_the_reason() {
    let failures = RUN.rows.iter().filter(|expected| expected.outcome == Outcome::Failure);
    let mut urls: Vec<&str> = failures
        .filter_map(|expected| expected.row.arguments[0].as_deref())
        .collect();
    let mut letters: Vec<&str> = RUN
        .dead_letters
        .iter()
        .filter_map(|letter| letter.call["url"].as_str())
        .collect();
    urls.sort_unstable();
    letters.sort_unstable();
    assert_eq!(letters, urls);
    let codes: BTreeSet<&str> = RUN.dead_letters.iter().map(|letter| letter.code.as_str()).collect();
    assert_eq!(
        codes,
        [
            "corrupt",
            "invalid_reference",
            "not_allowed",
            "not_found",
            "unsupported"
        ]
        .into()
    );
    assert!(RUN.dead_letters.iter().all(|letter| !letter.reason.is_empty()));
}

#[test]
fn counters_tell_the_outcome_of_every_row_that_names_something() {
    let counted = |label: &str| RUN.metrics.sum_with("sightstream_udf_rows_total", label) as usize;
    let expected = |outcome| RUN.rows.iter().filter(|expected| expected.outcome == outcome).count();
    assert_eq!(counted(r#"outcome="ok""#), expected(Outcome::Vector));
    assert_eq!(counted(r#"outcome="failed""#), expected(Outcome::Failure));
    assert_eq!(counted(""), RUN.rows.len() - expected(Outcome::Null));
}

#[test]
fn batches_are_larger_than_one_subtask_could_fill() {
    let mean = RUN.metrics.mean("sightstream_batch_inputs");
    assert!(
        mean > f64::from(IN_FLIGHT),
        "a batch holds {mean} inputs; one subtask has {IN_FLIGHT} in flight"
    );
}

#[test]
fn memory_does_not_grow_with_the_rows() {
    // The first rounds fill what is kept: vectors of parts, media that are open, the allocator's arenas.
    let (settled, last) = (RUN.resident[1], RUN.resident[ROUNDS - 1]);
    assert!(
        last < settled + (24 << 20),
        "resident after each round: {:?}",
        RUN.resident
    );
}
