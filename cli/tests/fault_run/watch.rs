//! Looks at the running job as an operator does: its endpoint, and its memory.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::process::{Process, family};

const PAUSE: Duration = Duration::from_millis(250);

/// How long the endpoint may take to answer; the machine may be busy.
const ANSWER: Duration = Duration::from_secs(20);

/// The process that is looked at.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Which start of the job it is, from 0.
    pub start: usize,
    pub process: u32,
    /// Where it writes its log, which names its endpoint.
    pub log: PathBuf,
}

/// What the endpoint said.
#[derive(Debug, Clone)]
pub struct Answer {
    pub at: Instant,
    pub start: usize,
    /// `/healthz` answered 200.
    pub healthy: bool,
    /// `/readyz` answered 200.
    pub ready: bool,
    /// Records of this process that are durable.
    pub read: f64,
    /// The systems that it waited for: `Kafka at 127.0.0.1:9092`.
    pub waits_for: Vec<String>,
}

#[derive(Debug, Default)]
struct Seen {
    subject: Option<Subject>,
    answers: Vec<Answer>,
    /// The processes that the subject has started.
    helpers: HashSet<Process>,
    /// The most memory, in bytes, of any one process of the job itself.
    peak: u64,
    /// The most memory, in bytes, of any one process that it started.
    peak_helper: u64,
}

/// A task that looks at the job several times a second. Dropping it ends it.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Starts to look, at nothing yet.
    pub fn start() -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn(watch(Arc::clone(&seen)));
        Self { seen, task }
    }

    /// Looks at this process from now on.
    pub fn turn_to(&self, subject: Subject) {
        let mut seen = locked(&self.seen);
        seen.subject = Some(subject);
        seen.helpers.clear();
    }

    /// Looks at the processes now.
    pub fn look(&self) {
        look_at_processes(&self.seen);
    }

    /// Processes that the subject has started and that have not ended.
    pub fn helpers(&self) -> Vec<Process> {
        let seen = locked(&self.seen);
        seen.helpers
            .iter()
            .filter(|process| process.is_alive())
            .copied()
            .collect()
    }

    /// Everything that the endpoints said.
    pub fn answers(&self) -> Vec<Answer> {
        locked(&self.seen).answers.clone()
    }

    /// The most memory, in bytes, of one process of the job, and of one that it started.
    pub fn peaks(&self) -> (u64, u64) {
        let seen = locked(&self.seen);
        (seen.peak, seen.peak_helper)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// No code panics while it holds this lock.
fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch(seen: Arc<Mutex<Seen>>) {
    let client = reqwest::Client::builder()
        .timeout(ANSWER)
        .pool_max_idle_per_host(0)
        .build()
        .expect("the settings are valid");
    loop {
        tokio::time::sleep(PAUSE).await;
        look_at_processes(&seen);
        let subject = locked(&seen).subject.clone();
        if let Some(subject) = subject
            && let Some(endpoint) = endpoint(&subject)
            && let Ok(answer) = ask(&client, &endpoint, subject.start).await
        {
            locked(&seen).answers.push(answer);
        }
    }
}

fn look_at_processes(seen: &Mutex<Seen>) {
    let Some(subject) = locked(seen).subject.clone() else {
        return;
    };
    let family = family(subject.process);
    let mut seen = locked(seen);
    for process in family {
        let memory = process.peak_memory().unwrap_or(0);
        if process.id == subject.process {
            seen.peak = seen.peak.max(memory);
        } else {
            seen.peak_helper = seen.peak_helper.max(memory);
            seen.helpers.insert(process);
        }
    }
}

/// Where the process serves its metrics, if it has said so.
fn endpoint(subject: &Subject) -> Option<String> {
    let log = fs::read_to_string(&subject.log).ok()?;
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.find(|line| line["message"] == "metrics are served")?;
    Some(format!("http://{}", line["address"].as_str()?))
}

async fn ask(client: &reqwest::Client, endpoint: &str, start: usize) -> reqwest::Result<Answer> {
    let ok = async |path: &str| Ok::<_, reqwest::Error>(client.get(format!("{endpoint}{path}")).send().await?);
    let healthy = ok("/healthz").await?.status().is_success();
    let ready = ok("/readyz").await?.status().is_success();
    let metrics = ok("/metrics").await?.text().await?;
    Ok(Answer {
        at: Instant::now(),
        start,
        healthy,
        ready,
        read: sum(&metrics, "sightstream_records_read_total"),
        waits_for: waits_for(&metrics),
    })
}

/// The lines of a metric without its name.
fn samples<'a>(metrics: &'a str, name: &str) -> impl Iterator<Item = (&'a str, f64)> {
    metrics.lines().filter_map(move |line| {
        let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
        (labels.is_empty() || labels.starts_with('{')).then_some((labels, value.parse().ok()?))
    })
}

/// The sum of a metric over its labels.
fn sum(metrics: &str, name: &str) -> f64 {
    samples(metrics, name).map(|(_, value)| value).sum()
}

fn waits_for(metrics: &str) -> Vec<String> {
    let waits = samples(metrics, "sightstream_waiting").filter(|(_, waits)| *waits > 0.0);
    let systems = waits.filter_map(|(labels, _)| labels.strip_prefix("{for=\"")?.strip_suffix("\"}"));
    systems.map(str::to_string).collect()
}
