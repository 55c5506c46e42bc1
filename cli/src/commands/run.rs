//! `sightstream run`: a SQL file, until it is stopped or its sources end.

use std::sync::Arc;
use std::time::Instant;

use sightstream_sql::{Job, JobSummary, Plan, SqlErrors};

use super::job::{self, Extent, Watch};
use super::signals;
use super::sql_file::SqlFile;
use crate::args::RunArgs;
use crate::endpoint::Health;
use crate::error::Outcome;
use crate::{encoder, endpoint, logging, memory, progress};

/// Runs the file that `args` name.
pub async fn execute(mut args: RunArgs) -> anyhow::Result<Outcome> {
    let SqlFile { plan, errors } = SqlFile::read(&args.file, &mut args.encoder, &mut args.job).await?;
    SqlErrors::unless_any(errors, ())?;
    let prints_rows = plan.prints_rows();

    let stop = signals::stop_on_signals(signals::OF_A_JOB)?;
    let health = Health::watch();
    if let Some(address) = args.metrics_address {
        endpoint::serve(address, Arc::clone(&health))?;
        memory::publish(args.encoder.memory_limit.map(|limit| limit as u64));
    }
    let job = tokio::select! {
        job = open(plan, &args, &health) => job?,
        () = stop.cancelled() => {
            tracing::info!("stopped before the first row");
            return Ok(Outcome::Done);
        }
    };
    let counts = job.progress();
    let extent = if args.until_caught_up {
        Extent::Backlog
    } else {
        Extent::Endless
    };
    health.runs(counts.clone(), job.waits());
    let asked = (stop.clone(), Arc::clone(&health));
    tokio::spawn(async move {
        asked.0.cancelled().await;
        asked.1.stops();
    });
    let started = Instant::now();
    // A progress bar and rows would write over each other.
    let watch = (!prints_rows).then(|| Watch::start(counts.clone(), extent));
    let result = job.run(stop).await;
    drop(watch);
    health.stops();
    match result {
        Ok(summary) => {
            report(&summary);
            Ok(Outcome::Done)
        }
        Err(error) => {
            report(&job::summary_so_far(&counts, started.elapsed()));
            Err(error.into())
        }
    }
}

/// Loads the model, where the plan needs one, and opens the tables.
async fn open(plan: Plan, args: &RunArgs, health: &Health) -> anyhow::Result<Job> {
    let records = job::records(&args.job, plan.streams());
    let (model, memory) = if plan.uses_embedding() {
        health.starts("loading the model");
        let (service, memory) = encoder::start_beside(&args.encoder, records).await?;
        health.has_device(service.device());
        (Some(service.into()), memory)
    } else {
        encoder::tell_build("none", "none");
        (None, encoder::plan_without_model(&args.encoder, records)?)
    };
    health.starts("opening the tables");
    let mut options = job::options(&args.job, &args.file, args.until_caught_up, &plan);
    if let Some(memory) = memory {
        options.epoch.bytes = memory.epoch_bytes as usize;
    }
    Ok(Job::open(plan, options, model).await?)
}

/// Tells the counts on standard error.
fn report(summary: &JobSummary) {
    if logging::is_json() {
        tracing::info!(
            read = summary.read,
            indexed = summary.written,
            deleted = summary.deleted,
            dropped = summary.dropped,
            dead_lettered = summary.dead_lettered.values().sum::<u64>(),
            dead_letters = job::reasons(summary),
            rows_per_second = job::rows_per_second(summary),
            seconds = summary.elapsed.as_secs_f64(),
            "the job has ended"
        );
    } else {
        progress::tell(job::report(summary));
    }
}
