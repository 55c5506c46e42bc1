//! One service a process, started and given up in time, and nothing left behind.

use sightstream_arroyo_host::protocol::Row;
use sightstream_arroyo_host::worker::Worker;

use crate::pipeline::{
    EMBED, SEGMENTS, Udf, answered, answered_by_one, begin, comes_true, end, examples, few_arenas, finished, load,
    resident, row, worker,
};

/// What the log says when a model has been loaded.
const LOADED: &str = "encoder loaded";

fn some_rows() -> Vec<Row> {
    let image = examples().join("media/boat.jpg").display().to_string();
    let row = |id| match id % 4 {
        0 => row(id, image.clone(), None),
        1 => row(id, "missing.jpg", None),
        _ => row(id, format!("data:,row%20{id}"), None),
    };
    (0..40).map(row).collect()
}

fn film() -> Vec<Row> {
    vec![Row {
        id: 0,
        arguments: vec![Some(examples().join("media/seven_places.mp4").display().to_string())],
    }]
}

#[test]
fn both_functions_in_one_process_share_one_model_whichever_is_loaded_first() {
    for order in [[&*EMBED, &*SEGMENTS], [&*SEGMENTS, &*EMBED]] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut worker = worker(folder.path(), &[]);
        order.iter().for_each(|udf| load(&mut worker, udf));
        for udf in [order[0], order[1], order[0]] {
            let is_embed = udf.file.name == "embed";
            let rows = if is_embed { some_rows() } else { film() };
            let answers = answered_by_one(&mut worker, udf, &rows);
            assert!(answers[0].value().is_some(), "{}", worker.log());
        }
        let log = finished(worker);
        assert_eq!(log.matches(LOADED).count(), 1, "{log}");
    }
}

#[test]
fn the_model_is_loaded_with_the_first_row_or_at_the_start_if_a_setting_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut lazy = worker(folder.path(), &[]);
    load(&mut lazy, &EMBED);
    begin(&mut lazy, &EMBED, 2, None);
    let mut eager = worker(folder.path(), &[("SIGHTSTREAM_EAGER_START", "true".to_string())]);
    load(&mut eager, &EMBED);
    begin(&mut eager, &EMBED, 2, None);
    assert!(comes_true(|| eager.log().contains(LOADED)), "{}", eager.log());
    assert!(!lazy.log().contains(LOADED), "{}", lazy.log());
    answered(&mut lazy, &some_rows(), 2);
    assert!(comes_true(|| lazy.log().contains(LOADED)), "{}", lazy.log());
    for mut worker in [lazy, eager] {
        end(&mut worker, 2);
        finished(worker);
    }
}

/// Threads and open files.
fn held(worker: &Worker) -> (usize, usize) {
    let threads = worker.threads().expect("the worker runs");
    (threads, worker.open_files().expect("the worker runs"))
}

#[test]
fn ten_starts_and_stops_leave_no_threads_files_or_memory_behind() {
    const SUBTASKS: usize = 4;
    const ROUNDS: usize = 10;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut worker = worker(folder.path(), &[few_arenas()]);
    let udfs: [&Udf; 2] = [&EMBED, &SEGMENTS];
    let (mut settled, mut resident_bytes) = (None, Vec::new());
    for _ in 0..ROUNDS {
        udfs.iter().for_each(|udf| load(&mut worker, udf));
        begin(&mut worker, &EMBED, SUBTASKS, None);
        let answers = answered(&mut worker, &some_rows(), SUBTASKS);
        assert_eq!(answers.iter().filter(|answer| answer.value().is_none()).count(), 10);
        end(&mut worker, SUBTASKS);
        answered_by_one(&mut worker, &SEGMENTS, &film());
        // Stopping is a word to the subtasks' threads, which then end by themselves.
        let resident_now = resident(&worker);
        let (threads, files) = *settled.get_or_insert_with(|| held(&worker));
        let ended = comes_true(|| {
            let now = held(&worker);
            now.0 <= threads && now.1 <= files
        });
        assert!(
            ended,
            "threads and files: {threads} and {files} after the first round, {:?} now",
            held(&worker)
        );
        udfs.iter()
            .for_each(|udf| worker.unload(&udf.file.name).expect("it unloads"));
        resident_bytes.push(resident_now);
    }
    let (settled, last) = (resident_bytes[2], resident_bytes[ROUNDS - 1]);
    assert!(
        last < settled + (16 << 20),
        "resident after each round: {resident_bytes:?}"
    );
    assert_eq!(finished(worker).matches(LOADED).count(), 1);
}
