//! Workers with the plugin, and subtasks of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use sightstream_arroyo_host::compiler::{Compiler, UdfFile};
use sightstream_arroyo_host::metrics::Metrics;
use sightstream_arroyo_host::protocol::{Answer, Row, shared_out, subtask};
use sightstream_arroyo_host::repository;
use sightstream_arroyo_host::worker::Worker;

/// Long enough for any row on a slow machine; no test waits for it unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// A UDF file of the plugin, and its dylib.
pub struct Udf {
    pub file: UdfFile,
    pub dylib: PathBuf,
}

impl Udf {
    fn build(name: &str) -> Self {
        let path = repository().join("udf/arroyo").join(name).with_extension("rs");
        let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = UdfFile::parse(&source).unwrap_or_else(|error| panic!("{name}: {error}"));
        let dylib = Compiler::of_repository()
            .build(&file)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { file, dylib }
    }
}

/// `embed.rs`.
pub static EMBED: LazyLock<Udf> = LazyLock::new(|| Udf::build("embed"));

/// `segments.rs`.
pub static SEGMENTS: LazyLock<Udf> = LazyLock::new(|| Udf::build("segments"));

/// The folders of the repository whose media the tests use.
pub fn examples() -> PathBuf {
    repository().join("examples")
}

/// A worker in `folder` that may read the examples and what lies in `folder`, with more `settings`, and without a UDF.
pub fn worker(folder: &Path, settings: &[(&str, String)]) -> Worker {
    let directories = format!("{}:{}", examples().display(), folder.display());
    let mut all = vec![("SIGHTSTREAM_ALLOW_DIRECTORY", directories)];
    all.extend(settings.iter().cloned());
    let program = Path::new(env!("CARGO_BIN_EXE_arroyo-worker"));
    Worker::start(program, folder, &all).expect("the worker starts")
}

/// Loads `udf` into `worker`.
pub fn load(worker: &mut Worker, udf: &Udf) {
    let loaded = worker.load(&udf.file.name, &udf.dylib);
    loaded.unwrap_or_else(|error| panic!("{}: {error}", udf.file.name));
}

/// A row of `embed`.
pub fn row(id: u64, url: impl Into<String>, instruction: Option<&str>) -> Row {
    Row {
        id,
        arguments: vec![Some(url.into()), instruction.map(str::to_string)],
    }
}

/// Starts so many subtasks of `udf`, with the names of [`shared_out`].
pub fn begin(worker: &mut Worker, udf: &Udf, subtasks: usize, allowed_in_flight: Option<u32>) {
    for n in 0..subtasks {
        let begun = worker.begin(&subtask(n), &udf.file, allowed_in_flight);
        begun.expect("the subtask starts");
    }
}

/// Stops them.
pub fn end(worker: &mut Worker, subtasks: usize) {
    for n in 0..subtasks {
        worker.end(&subtask(n)).expect("the subtask stops");
    }
}

/// Has `rows` answered by subtasks that were begun; all answers, by id.
pub fn answered(worker: &mut Worker, rows: &[Row], subtasks: usize) -> Vec<Answer> {
    let answers = worker.call(shared_out(rows, subtasks), PATIENCE);
    let answers = answers.unwrap_or_else(|error| panic!("{error}"));
    let mut answers: Vec<Answer> = answers
        .by_handle
        .into_iter()
        .flat_map(|(_, given)| given.answers)
        .collect();
    answers.sort_by_key(|answer| answer.id);
    let ids: Vec<u64> = answers.iter().map(|answer| answer.id).collect();
    let mut asked: Vec<u64> = rows.iter().map(|row| row.id).collect();
    asked.sort_unstable();
    assert_eq!(ids, asked, "every row is answered once");
    answers
}

/// Begins one subtask, has `rows` answered, and ends it.
pub fn answered_by_one(worker: &mut Worker, udf: &Udf, rows: &[Row]) -> Vec<Answer> {
    begin(worker, udf, 1, None);
    let answers = answered(worker, rows, 1);
    end(worker, 1);
    answers
}

/// Ends `worker`, which must not have panicked; gives its log.
pub fn finished(worker: Worker) -> String {
    let (status, log) = worker.finish().expect("the worker ends");
    assert!(status.success(), "{status}; its log:\n{log}");
    assert!(!log.contains("panicked"), "{log}");
    log
}

/// What `worker` tells of its rows; it was started with `metrics::ANY_PORT`.
pub fn metrics(worker: &Worker) -> Metrics {
    Metrics::of(worker, PATIENCE).unwrap_or_else(|error| panic!("{error}:\n{}", worker.log()))
}

/// The setting that has the allocator give memory back. By itself it keeps what each thread has freed for that thread, so
/// that what is resident tells which thread did what.
pub fn few_arenas() -> (&'static str, String) {
    ("MALLOC_ARENA_MAX", "2".to_string())
}

/// The least of several looks at the bytes that `worker` holds: what a moment needs is none of what stays.
pub fn resident(worker: &Worker) -> u64 {
    let look = |_| {
        std::thread::sleep(Duration::from_millis(100));
        worker.resident_bytes().expect("the worker runs")
    };
    (0..5).map(look).min().expect("there are five looks")
}

/// Whether `met` within the time that anything may take; it is asked again and again.
pub fn comes_true(mut met: impl FnMut() -> bool) -> bool {
    let started = std::time::Instant::now();
    while !met() {
        if started.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}
