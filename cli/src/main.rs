//! `sightstream`: embed media references, index streams of them with SQL, and search what was indexed.
//!
//! Every command reads its flags here, prints its results to standard output and everything else (logs, progress,
//! errors) to standard error. `sightstream COMMAND --help` is the reference.

mod args;
mod commands;
mod encoder;
mod endpoint;
mod error;
mod items;
mod logging;
mod memory;
mod progress;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return logging::refuse(&error),
    };
    let outcome = logging::init(&cli.log, cli.command.default_log_level());
    error::report(outcome.and_then(|()| commands::execute(cli.command)))
}
