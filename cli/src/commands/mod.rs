//! The commands, one a module.

mod check;
mod dead_letters;
mod deploy;
mod embed;
mod eval;
mod job;
mod quickstart;
mod run;
mod search;
mod signals;
mod sql_file;
mod train;

use std::time::Duration;

use sightstream_model::isolation;

use crate::args::Command;
use crate::error::Outcome;

/// How long threads that are still busy (a model being read, a download) may hold up the end of the process.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(1);

/// Runs `command` to its end.
pub fn execute(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::DeadLetters(args) => on_runtime(dead_letters::execute(args)),
        Command::Deploy(args) => on_runtime(deploy::execute(args)),
        Command::Embed(args) => on_runtime(embed::execute(args)),
        Command::Search(args) => on_runtime(search::execute(args)),
        Command::Run(args) => on_runtime(run::execute(args)),
        Command::Check(args) => on_runtime(check::execute(args)),
        Command::Train(args) => on_runtime(train::execute(*args)),
        Command::Eval(args) => on_runtime(eval::execute(*args)),
        Command::Quickstart(args) => on_runtime(quickstart::execute(args)),
        // One thread, which confines itself before it decodes.
        Command::DecodeWorker => Ok(isolation::run_worker().map(|()| Outcome::Done)?),
    }
}

fn on_runtime(command: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(command);
    runtime.shutdown_timeout(SHUTDOWN_LIMIT);
    outcome
}
