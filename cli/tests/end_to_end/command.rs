//! Runs the command.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A tiny checkpoint with random weights: real vectors, quickly.
pub fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/single_kv")
}

/// `sightstream` with the tiny checkpoint and nothing of the caller's settings.
pub fn sightstream(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sightstream"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SIGHTSTREAM_") {
            command.env_remove(name);
        }
    }
    command.env("SIGHTSTREAM_MODEL", checkpoint()).current_dir(folder);
    command
}

/// Where a script reads from and writes to.
pub struct Pipeline<'a> {
    pub servers: &'a str,
    pub topic: &'a str,
    pub group: &'a str,
    /// The Qdrant url.
    pub qdrant: String,
}

impl Pipeline<'_> {
    /// Writes the script into `folder`. The group notices within seconds that a member was killed.
    pub fn script(&self, folder: &Path) -> PathBuf {
        let Self {
            servers,
            topic,
            group,
            qdrant,
        } = self;
        let sql = format!(
            "CREATE TABLE media (id TEXT, url TEXT, kind TEXT, n BIGINT)
               WITH (connector = 'kafka', bootstrap_servers = '{servers}', topic = '{topic}', type = 'source',
                     format = 'json', 'source.offset' = 'earliest', 'source.group_id' = '{group}',
                     client_configs = 'session.timeout.ms=3000,heartbeat.interval.ms=500');
             CREATE TABLE vectors (id TEXT, url TEXT, kind TEXT, n BIGINT, vector FLOAT[])
               WITH (connector = 'qdrant', url = '{qdrant}', collection = 'media');
             INSERT INTO vectors SELECT id, url, kind, n, embed(url) FROM media;"
        );
        let path = folder.join(format!("{group}.sql"));
        std::fs::write(&path, sql).expect("the folder can be written to");
        path
    }

    /// The command that runs the script until it has caught up.
    pub fn command(&self, folder: &Path) -> Command {
        let mut command = sightstream(folder);
        command.arg("run").arg(self.script(folder)).arg("--until-caught-up");
        command
    }
}

/// A running command that dies with its test.
pub struct Running(pub Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::inherit())
                .spawn()
                .expect("the command starts"),
        )
    }

    /// Whether it has ended well; `None` if it still runs after `time`.
    pub fn wait_for(&mut self, time: Duration) -> Option<bool> {
        let end = Instant::now() + time;
        loop {
            if let Some(status) = self.0.try_wait().expect("the command can be waited for") {
                return Some(status.success());
            }
            if Instant::now() >= end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The most memory it has held so far, in KiB.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The output of a command that must succeed.
pub fn output(command: &mut Command) -> Output {
    let output = command.output().expect("the command starts");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
