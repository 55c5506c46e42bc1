//! What a row costs in the Arroyo plugin, and how many rows a second it embeds beside the one-machine engine.
//!
//!     scripts/bench plugin [ROWS] [--model CHECKPOINT]
//!
//! SIGHTSTREAM_BINARY names the `sightstream` command of a release build. Prints tables in Markdown.
//!
//! The first table: rows through the plugin whose encoder does nothing and whose references are nothing to fetch, and
//! through a UDF that does nothing at all. The difference is the plugin's: its queue, its batches, and the way to the
//! service of the process. The second: texts, and the sample images, through `embed` of so many subtasks, and through
//! `sightstream run` from a file to a file; both decode in worker processes, and what both do at their start is left out.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sightstream_arroyo_host::compiler::{Compiler, UdfFile};
use sightstream_arroyo_host::metrics::{ANY_PORT, Metrics};
use sightstream_arroyo_host::protocol::{Row, shared_out, subtask};
use sightstream_arroyo_host::worker::Worker;
use sightstream_arroyo_host::{repository, target_folder};

const ROWS: usize = 4_000;

/// Rows that cost nothing are many more, or the clock would not see them.
const CHEAP: usize = 50;

const SUBTASKS: [usize; 3] = [1, 4, 8];
const PATIENCE: Duration = Duration::from_secs(300);

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Bench {
    compiler: Compiler,
    folder: PathBuf,
    sightstream: PathBuf,
    settings: BTreeMap<&'static str, String>,
}

/// How long rows took.
struct Measured {
    elapsed: Duration,
    cpu: Duration,
    mean_batch: f64,
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    let rows = match arguments.next_if(|argument| !argument.starts_with('-')) {
        Some(rows) => rows.parse()?,
        None => ROWS,
    };
    let model = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => None,
        (Some("--model"), Some(model)) => Some(model),
        _ => return Err("usage: plugin_cost [ROWS] [--model CHECKPOINT]".into()),
    };
    let folder = target_folder().join("plugin-cost");
    fs::create_dir_all(&folder)?;
    let sightstream = std::env::var_os("SIGHTSTREAM_BINARY").ok_or("SIGHTSTREAM_BINARY names no command")?;
    let mut settings = BTreeMap::from([
        (
            "SIGHTSTREAM_ALLOW_DIRECTORY",
            repository().join("examples").display().to_string(),
        ),
        ("SIGHTSTREAM_DECODE_WORKER", sightstream.to_string_lossy().into_owned()),
    ]);
    settings.extend(model.map(|model| ("SIGHTSTREAM_MODEL", model)));
    let bench = Bench {
        compiler: Compiler::of_repository(),
        folder,
        sightstream: sightstream.into(),
        settings,
    };
    bench.cost_of_a_row(rows * CHEAP)?;
    println!();
    bench.beside_the_engine(rows)
}

impl Bench {
    fn cost_of_a_row(&self, rows: usize) -> Outcome<()> {
        let rows = numbered((0..rows).map(|n| format!("row/{n}")));
        println!("| | subtasks | us a row | CPU us a row | mean batch |");
        println!("| --- | ---: | ---: | ---: | ---: |");
        let udfs = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/udfs");
        for (what, name) in [
            ("plugin, an encoder that does nothing", "nothing"),
            ("a UDF that does nothing", "bare"),
        ] {
            for subtasks in SUBTASKS {
                let measured = self.embedded(&udfs.join(name).with_extension("rs"), &rows, subtasks)?;
                let micros = |time: Duration| time.as_secs_f64() * 1e6 / rows.len() as f64;
                let batch = shown(measured.mean_batch);
                println!(
                    "| {what} | {subtasks} | {:.2} | {:.2} | {batch} |",
                    micros(measured.elapsed),
                    micros(measured.cpu)
                );
            }
        }
        Ok(())
    }

    fn beside_the_engine(&self, rows: usize) -> Outcome<()> {
        let texts = numbered((0..rows).map(|n| format!("data:,row%20{n}%20of%20many")));
        let samples = samples()?;
        let images = numbered(samples.into_iter().cycle().take(rows / 4));
        println!("| rows | | rows/s | beside the engine | mean batch |");
        println!("| --- | --- | ---: | ---: | ---: |");
        let embed = repository().join("udf/arroyo/embed.rs");
        for (what, rows) in [("texts", texts), ("images", images)] {
            let engine = rows.len() as f64 / self.engine_seconds(&rows)?;
            println!("| {what} | one-machine engine | {engine:.1} | | |");
            for subtasks in SUBTASKS {
                let measured = self.embedded(&embed, &rows, subtasks)?;
                let rate = rows.len() as f64 / measured.elapsed.as_secs_f64();
                let (beside, batch) = (rate / engine, shown(measured.mean_batch));
                println!("| {what} | plugin, {subtasks} subtasks | {rate:.1} | {beside:.2} | {batch} |");
            }
        }
        Ok(())
    }

    /// Has `rows` answered by subtasks of the UDF `path`, once a first row has loaded what there is to load.
    fn embedded(&self, path: &Path, rows: &[Row], subtasks: usize) -> Outcome<Measured> {
        let file = UdfFile::parse(&fs::read_to_string(path)?)?;
        let dylib = self.compiler.build(&file)?;
        let mut settings: Vec<(&str, String)> = self.settings.clone().into_iter().collect();
        settings.push((ANY_PORT.0, ANY_PORT.1.to_string()));
        let mut worker = Worker::start(&worker_program()?, &self.folder, &settings)?;
        worker.load(&file.name, &dylib)?;
        for n in 0..subtasks {
            worker.begin(&subtask(n), &file, None)?;
        }
        worker.call(shared_out(&numbered(["data:,first".to_string()]), 1), PATIENCE)?;
        let before = batches(&worker);
        let answers = worker.call(shared_out(rows, subtasks), PATIENCE)?;
        let after = batches(&worker);
        let given: Vec<_> = answers.by_handle.iter().map(|(_, given)| given).collect();
        if given
            .iter()
            .any(|given| given.answers.iter().any(|answer| answer.value().is_none()))
        {
            return Err(format!("rows have no vector:\n{}", worker.log()).into());
        }
        Ok(Measured {
            elapsed: given.iter().map(|given| given.took).max().unwrap_or_default(),
            cpu: answers.cpu,
            mean_batch: (after.0 - before.0) / (after.1 - before.1),
        })
    }

    /// The seconds that the job's own report names.
    fn engine_seconds(&self, rows: &[Row]) -> Outcome<f64> {
        let line = |row: &Row| format!("{}\n", json!({"id": row.id, "url": row.arguments[0]}));
        fs::write(
            self.folder.join("rows.jsonl"),
            rows.iter().map(line).collect::<String>(),
        )?;
        // A file is appended to.
        let vectors = self.folder.join("vectors.jsonl");
        fs::write(&vectors, "")?;
        let script = "CREATE TABLE asked (id BIGINT, url TEXT)
               WITH (connector = 'single_file', path = 'rows.jsonl', type = 'source', format = 'json');
             CREATE TABLE given (id BIGINT, vector BYTEA)
               WITH (connector = 'single_file', path = 'vectors.jsonl', type = 'sink', format = 'json');
             INSERT INTO given SELECT id, vector_bytes(embed(url)) AS vector FROM asked;";
        fs::write(self.folder.join("job.sql"), script)?;
        let mut command = Command::new(&self.sightstream);
        let run = command.current_dir(&self.folder).envs(&self.settings);
        let output = run.args(["run", "job.sql", "--log-format", "json"]).output()?;
        let log = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || fs::read_to_string(&vectors)?.lines().count() != rows.len() {
            return Err(format!("the engine has not embedded all rows:\n{log}").into());
        }
        let reports = log.lines().filter(|line| line.contains("the job has ended"));
        let mut seconds = reports.filter_map(|line| serde_json::from_str::<Value>(line).ok()?["seconds"].as_f64());
        Ok(seconds.next_back().ok_or("the engine does not say how long it took")?)
    }
}

/// The sum of the batches' inputs, and how many batches there were; nothing where no plugin tells.
fn batches(worker: &Worker) -> (f64, f64) {
    Metrics::of(worker, Duration::from_secs(1)).map_or((f64::NAN, f64::NAN), |metrics| {
        let sum = |name| metrics.sum(name);
        (
            sum("sightstream_batch_inputs_sum"),
            sum("sightstream_batch_inputs_count"),
        )
    })
}

fn shown(mean: f64) -> String {
    if mean.is_nan() {
        String::new()
    } else {
        format!("{mean:.1}")
    }
}

fn numbered(urls: impl IntoIterator<Item = String>) -> Vec<Row> {
    let row = |(id, url)| Row {
        id,
        arguments: vec![Some(url), None],
    };
    (0..).zip(urls).map(row).collect()
}

/// The sample images that are whole.
fn samples() -> Outcome<Vec<String>> {
    let mut images = Vec::new();
    for entry in fs::read_dir(repository().join("examples/media"))? {
        let path = entry?.path();
        let is_image = path
            .extension()
            .is_some_and(|kind| ["jpg", "png", "webp"].iter().any(|known| kind == *known));
        if is_image && !path.ends_with("boat_at_dusk.jpg") {
            images.push(path.display().to_string());
        }
    }
    images.sort();
    Ok(images)
}

/// Cargo puts programs beside the folder of examples.
fn worker_program() -> Outcome<PathBuf> {
    let example = std::env::current_exe()?;
    let profile = example
        .ancestors()
        .nth(2)
        .ok_or("the example lies in no target folder")?;
    Ok(profile.join("arroyo-worker"))
}
