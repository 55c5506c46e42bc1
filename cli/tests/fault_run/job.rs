//! The command under test: it is started, killed and started again, and watched meanwhile.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::command::sightstream;
use crate::process;
use crate::watch::{Subject, Watch};

/// How long a job may take to end after SIGTERM, and its processes after it.
const ENDING: Duration = Duration::from_secs(90);

/// `sightstream` that may fetch from the loopback interface.
pub fn command(folder: &Path) -> Command {
    let mut command = sightstream(folder);
    command.env("SIGHTSTREAM_ALLOW_NETWORK", "127.0.0.0/8");
    command
}

/// The same command, again and again.
pub struct Job {
    folder: PathBuf,
    script: PathBuf,
    process: Option<Child>,
    /// How often it was started.
    pub starts: usize,
    watch: Watch,
}

impl Job {
    /// A job in `folder` that runs `script`; not started yet.
    pub fn new(folder: &Path, script: PathBuf) -> Self {
        Self {
            folder: folder.to_path_buf(),
            script,
            process: None,
            starts: 0,
            watch: Watch::start(),
        }
    }

    /// Starts it, with `arguments` after the usual ones.
    pub fn start(&mut self, arguments: &[&str]) {
        let log = log(&self.folder, self.starts);
        let output = File::create(&log).expect("the folder can be written to");
        let mut command = command(&self.folder);
        command
            .args(["--log-format", "json", "run"])
            .arg(&self.script)
            .args(["--epoch-rows", "100", "--metrics-address", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output);
        let process = command.spawn().expect("the command starts");
        self.watch.turn_to(Subject {
            start: self.starts,
            process: process.id(),
            log,
        });
        self.process = Some(process);
        self.starts += 1;
    }

    /// `kill -9`, of the process alone; what it had started has to end by itself. Fails the test if the job had ended.
    pub async fn kill(&mut self) {
        let mut process = self.process.take().expect("the job runs");
        self.watch.look();
        if let Some(status) = process.try_wait().expect("the job can be waited for") {
            self.ended_early(status);
        }
        process.kill().expect("the job takes a signal");
        process.wait().expect("the job ends");
        self.nothing_is_left().await;
    }

    /// Fails the test if the job has ended by itself.
    pub fn check_runs(&mut self) {
        let process = self.process.as_mut().expect("the job runs");
        if let Some(status) = process.try_wait().expect("the job can be waited for") {
            self.ended_early(status);
        }
    }

    fn ended_early(&self, status: ExitStatus) -> ! {
        panic!("the job ended by itself, with {status}: {}", self.last_words());
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(log(&self.folder, self.starts - 1)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// SIGTERM: the job finishes what is in flight, and ends well.
    pub async fn stop(&mut self) {
        let deadline = Instant::now() + ENDING;
        // Before a process has come so far that it answers, a signal just ends it.
        while self
            .watch
            .answers()
            .last()
            .is_none_or(|answer| answer.start + 1 < self.starts)
        {
            self.check_runs();
            assert!(
                Instant::now() < deadline,
                "the job does not answer: {}",
                self.last_words()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        process::terminate(self.process.as_ref().expect("the job runs").id());
        self.ends_well(ENDING).await;
    }

    /// Waits until the job has ended by itself, and fails the test if it does not within `limit` or does not end well.
    pub async fn ends_well(&mut self, limit: Duration) {
        let mut process = self.process.take().expect("the job runs");
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = process.try_wait().expect("the job can be waited for") {
                break status;
            }
            if Instant::now() >= deadline {
                self.process = Some(process);
                panic!("the job has not ended after {limit:?}: {}", self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(status.success(), "the job ended with {status}: {}", self.last_words());
        self.nothing_is_left().await;
    }

    /// Waits until no process that the last one had started is left, and fails the test if one stays.
    async fn nothing_is_left(&self) {
        let deadline = Instant::now() + ENDING;
        loop {
            let left = self.watch.helpers();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "processes outlive the job: {left:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What was seen of all its processes.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The logs of all its processes, in order.
    pub fn logs(&self) -> Vec<PathBuf> {
        (0..self.starts).map(|start| log(&self.folder, start)).collect()
    }
}

fn log(folder: &Path, start: usize) -> PathBuf {
    folder.join(format!("job-{start:03}.log"))
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended already, which is what is wanted.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
