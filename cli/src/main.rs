//! `sightstream`: embed media references, index streams of them with SQL, and search what was indexed.
//!
//! Every command reads its flags here, prints its results to standard output and everything else (logs, progress,
//! errors) to standard error. `sightstream COMMAND --help` is the reference.

mod args;
mod commands;
mod error;
mod logging;
mod metrics;
mod progress;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::args::Cli;

/// How long threads that are still busy (a model being read, a download) may hold up the end of the process.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = logging::init(&cli.log, cli.command.default_log_level()).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(commands::execute(cli.command));
        runtime.shutdown_timeout(SHUTDOWN_LIMIT);
        outcome
    });
    error::report(outcome)
}
