//! A Qdrant server in a process of its own, so that it can be killed: this same executable in another role.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use sightstream_connectors::qdrant::testing::TestServer;

/// The folder of the server's data. Where it is set, this executable is a server instead of a test.
const FOLDER: &str = "SIGHTSTREAM_TEST_QDRANT_FOLDER";

/// What this process serves, if it is a server.
pub fn folder_to_serve() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Serves the store in `folder` and prints the address. Ends with its standard input: no server outlives its test.
pub fn serve(folder: &Path) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("the runtime starts");
    runtime.block_on(async {
        let server = TestServer::start(folder, None).await.expect("the store opens");
        println!("{}", server.address());
        let input = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        let _ = input.await;
        server.stop().await;
    });
    ExitCode::SUCCESS
}

/// A running server. Dropping it kills it.
pub struct Qdrant {
    process: Child,
    address: SocketAddr,
}

impl Qdrant {
    /// A server over the store in `folder`, at a free port.
    pub async fn start(folder: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this executable has a path"));
        command.env(FOLDER, folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        tokio::task::spawn_blocking(move || {
            let mut process = command.spawn().expect("this executable can be started");
            let output = process.stdout.take().expect("standard output is a pipe");
            let mut line = String::new();
            BufReader::new(output)
                .read_line(&mut line)
                .expect("the server prints its address");
            let address = line.trim().parse().expect("the server prints its address");
            Self { process, address }
        })
        .await
        .expect("the server starts")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Qdrant {
    /// By SIGKILL.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
