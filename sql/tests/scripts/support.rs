//! Runs scripts over files, with an embedder that counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use sightstream_connectors::dead_letter::DeadLetterTarget;
use sightstream_connectors::{EpochLimits, VectorSpace};
use sightstream_sql::{Job, JobOptions, JobSummary, Model, Plan, Script, SqlError, SqlErrors};
use sightstream_udf::{EmbedFailure, Embedder};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Gives `[length of the url, length of the instruction]`, fails on urls that start with `bad`, and counts its calls. An mp4
/// has three windows, a pdf two pages; those of urls that start with `unlisted` cannot be told.
#[derive(Default)]
pub struct CountingEmbedder {
    calls: Mutex<BTreeMap<String, usize>>,
    listed: Mutex<BTreeMap<String, usize>>,
}

#[async_trait]
impl Embedder for CountingEmbedder {
    async fn embed(&self, url: &str, instruction: Option<&str>) -> Result<Arc<[f32]>, EmbedFailure> {
        *self
            .calls
            .lock()
            .expect("no test panics while it counts")
            .entry(url.to_string())
            .or_default() += 1;
        tokio::task::yield_now().await;
        if url.starts_with("bad") {
            let message = format!("{url} cannot be read");
            return Err(EmbedFailure {
                code: "corrupt".to_string(),
                message,
                fatal: false,
            });
        }
        Ok(Arc::from([url.len() as f32, instruction.map_or(0, str::len) as f32]))
    }

    async fn segments(&self, url: &str) -> Result<Arc<[String]>, EmbedFailure> {
        *self
            .listed
            .lock()
            .expect("no test panics while it counts")
            .entry(url.to_string())
            .or_default() += 1;
        tokio::task::yield_now().await;
        if url.starts_with("unlisted") {
            let message = format!("{url} cannot be opened");
            return Err(EmbedFailure {
                code: "corrupt".to_string(),
                message,
                fatal: false,
            });
        }
        Ok(match url.rsplit_once('.') {
            Some((_, "mp4")) => [0, 30, 60]
                .map(|start| format!("{url}#t={start},{}", start + 30))
                .into(),
            Some((_, "pdf")) => [1, 2].map(|page| format!("{url}#page={page}")).into(),
            _ => [url.to_string()].into(),
        })
    }
}

/// A folder with the files of a test.
pub struct Workbench {
    folder: TempDir,
    pub embedder: Arc<CountingEmbedder>,
    pub records: usize,
    /// What `{{ KAFKA }}` stands for.
    pub kafka: String,
}

impl Workbench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self {
            folder,
            embedder: Arc::default(),
            records: 3,
            kafka: "localhost:1".to_string(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `lines` to the file `name`.
    pub fn file(&self, name: &str, lines: &[&str]) {
        std::fs::write(self.path(name), lines.join("\n") + "\n").expect("the temporary folder can be written to");
    }

    /// How often each url was embedded.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        self.embedder
            .calls
            .lock()
            .expect("no test panics while it counts")
            .clone()
    }

    /// How often each url's parts were asked for.
    pub fn listed(&self) -> BTreeMap<String, usize> {
        let listed = self.embedder.listed.lock();
        listed.expect("no test panics while it counts").clone()
    }

    /// Runs `sql`, in which `{{ KAFKA }}` is the address of a broker and any other `{{ NAME }}` the path of the file NAME
    /// in lower case with `.jsonl`.
    pub async fn run(&self, sql: &str) -> Result<JobSummary, SqlError> {
        self.run_with(sql, DeadLetterTarget::File(self.path("dead.jsonl")))
            .await
    }

    pub async fn run_with(&self, sql: &str, dead_letters: DeadLetterTarget) -> Result<JobSummary, SqlError> {
        let variable = |name: &str| {
            let path = || self.path(&format!("{}.jsonl", name.to_lowercase()));
            Some(match name {
                "KAFKA" => self.kafka.clone(),
                _ => path().display().to_string(),
            })
        };
        let script = Script::parse_with_environment(sql, "test.sql", &variable).map_err(first)?;
        let options = JobOptions {
            until_caught_up: true,
            dead_letters,
            epoch: EpochLimits {
                records: self.records,
                ..EpochLimits::default()
            },
            epochs_in_flight: 3,
            stop_timeout: Duration::from_secs(5),
        };
        let space = VectorSpace {
            dimension: 2,
            model: "counting".to_string(),
            fingerprint: "c0".to_string(),
        };
        let model = Model {
            embedder: Arc::clone(&self.embedder) as Arc<dyn Embedder>,
            space,
        };
        Job::open(Plan::new(script).await.map_err(first)?, options, Some(model))
            .await?
            .run(CancellationToken::new())
            .await
    }

    /// The rows in the file `name`, in order; none if it is not there.
    pub fn rows(&self, name: &str) -> Vec<Value> {
        read_lines(&self.path(name))
    }
}

fn read_lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).expect("sinks write JSON lines"))
        .collect()
}

/// The first of a script's errors; these tests make one mistake at a time.
fn first(errors: SqlErrors) -> SqlError {
    let message = errors.to_string();
    errors
        .into_iter()
        .next()
        .unwrap_or_else(|| panic!("no error: {message}"))
}

/// The message of an error that must come.
pub fn message(result: Result<JobSummary, SqlError>) -> String {
    match result {
        Ok(summary) => panic!("the script ran: {summary:?}"),
        Err(error) => error.to_string(),
    }
}
