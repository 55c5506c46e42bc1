//! `sightstream run`: a SQL file, until it is stopped or its sources end.

use std::time::Instant;

use anyhow::Context;
use sightstream_sql::{Job, JobSummary, Script};

use super::job::{self, Extent, Watch};
use super::signals;
use crate::args::{RunArgs, Settings};
use crate::error::{Outcome, UsageError};
use crate::metrics::Endpoint;
use crate::{logging, progress};

/// Runs the file that `args` name.
pub async fn execute(mut args: RunArgs) -> anyhow::Result<Outcome> {
    let name = args.file.display().to_string();
    let text = std::fs::read_to_string(&args.file).with_context(|| format!("cannot read the SQL file {name}"))?;
    let script = Script::parse(&text, &name).map_err(|error| UsageError(error.to_string()))?;
    let mut settings = Settings::of(&script);
    args.encoder.fill(&mut settings)?;
    args.job.fill(&mut settings)?;
    settings.finish()?;

    let stop = signals::stop_on_signals()?;
    let endpoint = match args.metrics_address {
        Some(address) => Some(Endpoint::serve(address).await?),
        None => None,
    };
    let planned = tokio::select! {
        planned = plan(script, &args) => planned?,
        () = stop.cancelled() => {
            tracing::info!("stopped before the first row");
            return Ok(Outcome::Done);
        }
    };
    let counts = planned.progress();
    let extent = if args.until_caught_up {
        Extent::Backlog
    } else {
        Extent::Endless
    };
    if let Some(endpoint) = &endpoint {
        endpoint.set_ready(true);
    }
    let started = Instant::now();
    let watch = Watch::start(counts.clone(), extent);
    let result = planned.run(stop).await;
    drop(watch);
    if let Some(endpoint) = &endpoint {
        endpoint.set_ready(false);
    }
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

/// Loads the model, where the script needs one, and connects the tables.
async fn plan(script: Script, args: &RunArgs) -> anyhow::Result<Job> {
    let model = if script.uses_embedding() {
        Some(args.encoder.start().await?.into())
    } else {
        None
    };
    let options = job::options(&args.job, &args.file, args.until_caught_up);
    Ok(Job::plan(script, options, model).await?)
}

/// Tells the counts on standard error.
fn report(summary: &JobSummary) {
    if logging::is_json() {
        tracing::info!(
            read = summary.read,
            indexed = summary.written,
            dead_lettered = ?summary.dead_lettered,
            rows_per_second = job::rows_per_second(summary),
            seconds = summary.elapsed.as_secs_f64(),
            "the job has ended"
        );
    } else {
        progress::beside_bars(|| eprintln!("{}", job::report(summary)));
    }
}
