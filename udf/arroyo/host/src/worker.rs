//! A process that stands for an Arroyo worker, seen from outside.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::compiler::UdfFile;
use crate::protocol::{Answers, Command, Reply, Row};

/// Why a command to a worker failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// What the worker says.
    #[error("{0}")]
    Failed(String),
    /// It ended, or was never there.
    #[error("the worker process is gone ({error}); its log:\n{log}")]
    Gone {
        /// What the pipe says.
        error: io::Error,
        /// What it wrote to standard error.
        log: String,
    },
}

/// A running worker process; killed when it is dropped.
pub struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts `program` in `folder`, with `settings` as the only ones in its environment that concern Sightstream.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(program: &Path, folder: &Path, settings: &[(&str, String)]) -> io::Result<Self> {
        let mut command = std::process::Command::new(program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SIGHTSTREAM_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        command.current_dir(folder);
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn()?;
        let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let output = BufReader::new(output.expect("it is piped"));
        let log = Arc::new(Mutex::new(String::new()));
        let reader = std::thread::spawn({
            let (log, errors) = (Arc::clone(&log), errors.expect("it is piped"));
            move || keep(errors, &log)
        });
        Ok(Self {
            child,
            input,
            output,
            log,
            reader: Some(reader),
        })
    }

    /// Loads `dylib` as `udf`.
    ///
    /// # Errors
    /// If it cannot be loaded, or the worker is gone.
    pub fn load(&mut self, udf: &str, dylib: &Path) -> Result<(), WorkerError> {
        let (udf, dylib) = (udf.to_string(), dylib.to_path_buf());
        self.tell(&Command::Load { udf, dylib }).map(drop)
    }

    /// Closes the dylib of `udf`.
    ///
    /// # Errors
    /// If there is none, or the worker is gone.
    pub fn unload(&mut self, udf: &str) -> Result<(), WorkerError> {
        self.tell(&Command::Unload { udf: udf.to_string() }).map(drop)
    }

    /// Starts a subtask of `file` with what its attribute says, apart from `allowed_in_flight` where it is given.
    ///
    /// # Errors
    /// If the UDF is not loaded, or the worker is gone.
    pub fn begin(&mut self, handle: &str, file: &UdfFile, allowed_in_flight: Option<u32>) -> Result<(), WorkerError> {
        let most = u32::try_from(file.options.max_concurrency).unwrap_or(u32::MAX);
        self.tell(&Command::Start {
            handle: handle.to_string(),
            udf: file.name.clone(),
            ordered: file.options.ordered,
            timeout: file.options.timeout,
            allowed_in_flight: allowed_in_flight.unwrap_or(most),
        })
        .map(drop)
    }

    /// Hands `rows` to their handles, and waits for the results.
    ///
    /// # Errors
    /// If a handle gives nothing for `patience`, its runtime ends, or the worker is gone.
    pub fn call(&mut self, rows: Vec<(String, Vec<Row>)>, patience: Duration) -> Result<Answers, WorkerError> {
        match self.tell(&Command::Call { rows, patience })? {
            Reply::Answers(answers) => Ok(answers),
            other => Err(WorkerError::Failed(format!("unexpected: {other:?}"))),
        }
    }

    /// Stops a subtask.
    ///
    /// # Errors
    /// If there is none, or the worker is gone.
    pub fn end(&mut self, handle: &str) -> Result<(), WorkerError> {
        let handle = handle.to_string();
        self.tell(&Command::Stop { handle }).map(drop)
    }

    /// Has a command done.
    ///
    /// # Errors
    /// If it fails, or the worker is gone.
    pub fn tell(&mut self, command: &Command) -> Result<Reply, WorkerError> {
        let reply = self
            .ask(command)
            .map_err(|error| WorkerError::Gone { error, log: self.log() })?;
        match reply {
            Reply::Failed(reason) => Err(WorkerError::Failed(format!("{reason}; its log:\n{}", self.log()))),
            reply => Ok(reply),
        }
    }

    fn ask(&mut self, command: &Command) -> io::Result<Reply> {
        let input = self.input.as_mut().expect("it is taken at the end only");
        let mut line = serde_json::to_string(command)?;
        line.push('\n');
        input.write_all(line.as_bytes())?;
        let mut reply = String::new();
        if self.output.read_line(&mut reply)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&reply)?)
    }

    /// What it has written to standard error up to now.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its memory in bytes: what of it lies in RAM.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        self.bytes("VmRSS:")
    }

    /// The most that [`Worker::resident_bytes`] ever was.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn most_resident_bytes(&self) -> io::Result<u64> {
        self.bytes("VmHWM:")
    }

    fn bytes(&self, name: &str) -> io::Result<u64> {
        let status = fs::read_to_string(self.proc().join("status"))?;
        let mut lines = status.lines();
        let kibibytes = lines.find_map(|line| line.strip_prefix(name)?.strip_suffix("kB"));
        let kibibytes = kibibytes.and_then(|text| text.trim().parse::<u64>().ok());
        kibibytes
            .map(|count| count * 1024)
            .ok_or_else(|| io::Error::other(format!("no {name}")))
    }

    /// How many threads it has.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn threads(&self) -> io::Result<usize> {
        Ok(fs::read_dir(self.proc().join("task"))?.count())
    }

    /// How many files and sockets it has open.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn open_files(&self) -> io::Result<usize> {
        Ok(fs::read_dir(self.proc().join("fd"))?.count())
    }

    fn proc(&self) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string())
    }

    /// Lets it end by itself, and gives how it did and all that it logged.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn finish(mut self) -> io::Result<(ExitStatus, String)> {
        drop(self.input.take());
        let status = self.child.wait()?;
        if let Some(reader) = self.reader.take() {
            reader
                .join()
                .map_err(|_| io::Error::other("the log's reader panicked"))?;
        }
        Ok((status, self.log()))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Appends what `errors` gives to `log`, until it ends.
fn keep(errors: impl Read, log: &Mutex<String>) {
    for line in BufReader::new(errors).split(b'\n').map_while(Result::ok) {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push_str(&String::from_utf8_lossy(&line));
        log.push('\n');
    }
}
