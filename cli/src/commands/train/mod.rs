//! `sightstream train`: training, and what works on what training reads and writes.

mod batches;
mod merge;
mod mine;
mod progress;
mod run;
mod summary;

use crate::args::{TrainAction, TrainArgs};
use crate::error::Outcome;

/// Trains, or does what `args` name instead.
pub async fn execute(args: TrainArgs) -> anyhow::Result<Outcome> {
    match args.action {
        None => run::execute(args.run).await,
        Some(TrainAction::Merge(args)) => merge::execute(args).await,
        Some(TrainAction::MineNegatives(args)) => mine::execute(*args).await,
    }
}
