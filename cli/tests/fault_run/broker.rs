//! An Apache Kafka node of this test's own, by `scripts/kafka`: it can be killed, stopped, and started again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A node with its data in a folder. Dropping it kills it.
pub struct Broker {
    folder: PathBuf,
    address: SocketAddr,
}

fn script(command: &str, folder: &Path) -> Command {
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kafka"));
    script.arg(command).arg("--folder").arg(folder).stdin(Stdio::null());
    script
}

/// Runs the script apart from the runtime's threads; an exit code other than 0 fails the test.
async fn run(mut script: Command) -> String {
    tokio::task::spawn_blocking(move || {
        let output = script.output().expect("scripts/kafka can be run");
        let (out, error) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{script:?}: {error}");
        out.trim().to_string()
    })
    .await
    .expect("the script ends")
}

impl Broker {
    /// A node without data, which tells its clients that it is at `advertised`.
    pub async fn start(folder: &Path, advertised: SocketAddr) -> Self {
        let mut start = script("start", folder);
        start.arg("--advertised").arg(advertised.to_string());
        // The node inherits what the script has, so the script's output must not be waited for to end.
        start.stdout(Stdio::null());
        let mut broker = Self {
            folder: folder.to_path_buf(),
            address: advertised,
        };
        run(start).await;
        let address = run(script("address", folder)).await;
        broker.address = address.parse().expect("the script prints an address");
        broker
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it by SIGKILL.
    pub async fn kill(&self) {
        run(script("kill", &self.folder)).await;
    }

    /// Ends it by SIGTERM.
    pub async fn stop(&self) {
        run(script("stop", &self.folder)).await;
    }

    /// Starts it again where it was, with its data, and returns when it answers.
    pub async fn resume(&self) {
        run(script("resume", &self.folder)).await;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may be away already.
        let _ = script("kill", &self.folder).output();
    }
}
