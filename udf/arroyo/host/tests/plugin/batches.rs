//! Batches form across subtasks.

use sightstream_arroyo_host::metrics::ANY_PORT;

use crate::pipeline::{EMBED, answered, begin, end, finished, load, metrics, row, worker};

const SUBTASKS: usize = 8;

/// So few that no larger batch could come from one subtask.
const IN_FLIGHT: u32 = 16;

#[test]
fn batches_are_larger_than_one_subtask_could_fill() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = [
        (ANY_PORT.0, ANY_PORT.1.to_string()),
        // The device waits for whoever is on the way, however slow the machine is at that.
        ("SIGHTSTREAM_MAX_BATCH_WAIT", "500ms".to_string()),
    ];
    let mut worker = worker(folder.path(), &settings);
    load(&mut worker, &EMBED);
    begin(&mut worker, &EMBED, SUBTASKS, Some(IN_FLIGHT));
    let rows: Vec<_> = (0..600).map(|id| row(id, format!("data:,row%20{id}"), None)).collect();
    let answers = answered(&mut worker, &rows, SUBTASKS);
    assert!(
        answers.iter().all(|answer| answer.value().is_some()),
        "{}",
        worker.log()
    );
    let metrics = metrics(&worker);
    assert_eq!(metrics.sum("sightstream_batch_inputs_sum"), rows.len() as f64);
    let mean = metrics.mean("sightstream_batch_inputs");
    assert!(
        mean > f64::from(IN_FLIGHT),
        "a batch holds {mean} inputs; one subtask has {IN_FLIGHT} in flight"
    );
    end(&mut worker, SUBTASKS);
    finished(worker);
}
