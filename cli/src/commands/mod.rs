//! The commands, one a module.

mod embed;
mod job;
mod quickstart;
mod run;
mod search;
mod signals;

use crate::args::Command;
use crate::error::Outcome;

/// Runs `command` to its end.
pub async fn execute(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Embed(args) => embed::execute(args).await,
        Command::Search(args) => search::execute(args).await,
        Command::Run(args) => run::execute(args).await,
        Command::Quickstart(args) => quickstart::execute(args).await,
    }
}
