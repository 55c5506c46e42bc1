//! 5,000 rows of every modality through 8 subtasks at once, with failures among them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use sightstream_arroyo_host::metrics::{ANY_PORT, Metrics};
use sightstream_arroyo_host::protocol::{Answer, Row};

use crate::dead_letters::{Broker, Letter};
use crate::engine;
use crate::pipeline::{EMBED, answered, begin, end, few_arenas, finished, load, metrics, resident, worker};
use crate::rows::{Expected, Outcome, rows};

const ROWS: u64 = 5_000;
const SUBTASKS: usize = 8;

/// The rows are handed over in so many rounds, with a look at the memory after each.
const ROUNDS: usize = 5;

/// What came of them, one way and the other.
struct Run {
    rows: Vec<Expected>,
    answers: Vec<Answer>,
    engine: BTreeMap<u64, Option<Vec<u8>>>,
    dead_letters: Vec<Letter>,
    metrics: Metrics,
    resident_bytes: Vec<u64>,
    log: String,
}

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = rows(ROWS, folder.path());
    let asked: Vec<Row> = rows.iter().map(|expected| expected.row.clone()).collect();
    let broker = Broker::start();
    let mut settings = broker.settings().to_vec();
    settings.extend([(ANY_PORT.0, ANY_PORT.1.to_string()), few_arenas()]);
    let mut worker = worker(folder.path(), &settings);
    load(&mut worker, &EMBED);
    begin(&mut worker, &EMBED, SUBTASKS, None);
    let (mut answers, mut resident_bytes) = (Vec::new(), Vec::new());
    for round in asked.chunks(asked.len() / ROUNDS) {
        answers.extend(answered(&mut worker, round, SUBTASKS));
        resident_bytes.push(resident(&worker));
    }
    end(&mut worker, SUBTASKS);
    let failures = rows
        .iter()
        .filter(|expected| expected.outcome == Outcome::Failure)
        .count();
    let dead_letters = broker.letters(failures);
    Run {
        metrics: metrics(&worker),
        engine: engine::vectors(folder.path(), &asked),
        log: finished(worker),
        rows,
        answers,
        dead_letters,
        resident_bytes,
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
fn memory_does_not_grow_with_the_rows() {
    // The first rounds fill what is kept: vectors of parts, media that are open, the allocator's arenas.
    let (settled, last) = (RUN.resident_bytes[1], RUN.resident_bytes[ROUNDS - 1]);
    assert!(
        last < settled + (24 << 20),
        "resident after each round: {:?}",
        RUN.resident_bytes
    );
}
