//! The pipelines that are there: showing, finding, stopping and starting them.

use std::io::Write;

use anyhow::{Context, bail};
use futures::{StreamExt, TryStreamExt};
use serde_json::json;

use super::api::Arroyo;
use super::calls::Stop;
use super::follow::{self, Follower};
use super::wire::{Collection, Job, Pipeline};
use super::{calls, say};
use crate::args::{ListPipelinesArgs, StartArgs, StopArgs};
use crate::error::{Outcome, UsageError};

/// How many jobs are asked for at a time.
const JOBS_AT_ONCE: usize = 8;

/// A pipeline and its job, as it was a moment ago.
pub struct Found {
    pub pipeline: Pipeline,
    /// `None` in the moment before Arroyo has made it.
    pub job: Option<Job>,
}

impl Found {
    pub fn is_at_rest(&self) -> bool {
        self.job.as_ref().is_some_and(Job::is_at_rest)
    }

    pub fn state(&self) -> &str {
        self.job.as_ref().map_or("Created", |job| job.state.as_str())
    }
}

/// All pipelines, newest first.
pub async fn all(arroyo: &Arroyo) -> anyhow::Result<Vec<Pipeline>> {
    let mut pipelines: Vec<Pipeline> = Vec::new();
    loop {
        let before = pipelines.last().map(|pipeline| pipeline.id.as_str());
        let page: Collection<Pipeline> = arroyo.call(&calls::pipelines(before)).await?;
        let more = page.has_more && !page.data.is_empty();
        pipelines.extend(page.data);
        if !more {
            return Ok(pipelines);
        }
    }
}

/// `pipelines` with their jobs; one that is deleted meanwhile is left out.
async fn with_jobs(arroyo: &Arroyo, pipelines: Vec<Pipeline>) -> anyhow::Result<Vec<Found>> {
    let asked = futures::stream::iter(pipelines).map(|pipeline| async move {
        match follow::job(arroyo, &pipeline.id).await {
            Ok(job) => Ok(Some(Found { pipeline, job })),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    });
    let found: Vec<Option<Found>> = asked.buffered(JOBS_AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// The pipelines with the name `name`, newest first.
pub async fn named(arroyo: &Arroyo, name: &str) -> anyhow::Result<Vec<Found>> {
    let mut pipelines = all(arroyo).await?;
    pipelines.retain(|pipeline| pipeline.name == name);
    with_jobs(arroyo, pipelines).await
}

/// The one pipeline that `wanted` names, by its id or its name. Of several with one name, the one that `prefers` says yes to.
async fn one(arroyo: &Arroyo, wanted: &str, prefers: impl Fn(&Found) -> bool) -> anyhow::Result<Found> {
    let pipelines = all(arroyo).await?;
    let names: Vec<String> = pipelines
        .iter()
        .map(|pipeline| format!("{} ({})", pipeline.name, pipeline.id))
        .collect();
    let by_id = pipelines.iter().any(|pipeline| pipeline.id == wanted);
    let meant = pipelines.into_iter().filter(|pipeline| match by_id {
        true => pipeline.id == wanted,
        false => pipeline.name == wanted,
    });
    let mut found = with_jobs(arroyo, meant.collect()).await?;
    if found.len() > 1 && found.iter().filter(|found| prefers(found)).count() == 1 {
        found.retain(|found| prefers(found));
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 if names.is_empty() => bail!(UsageError(format!("there is no pipeline {wanted}: Arroyo has none"))),
        0 => bail!(UsageError(format!(
            "there is no pipeline {wanted}; Arroyo has {}",
            names.join(", ")
        ))),
        _ => {
            let ids: Vec<String> = found
                .iter()
                .map(|found| format!("{} ({})", found.pipeline.id, found.state()))
                .collect();
            bail!(UsageError(format!(
                "several pipelines have the name {wanted}: {}; name one by its id",
                ids.join(", ")
            )))
        }
    }
}

/// `sightstream deploy list`.
pub async fn list(arroyo: &Arroyo, args: &ListPipelinesArgs) -> anyhow::Result<Outcome> {
    let found = with_jobs(arroyo, all(arroyo).await?).await?;
    let mut out = std::io::stdout().lock();
    if args.json {
        for Found { pipeline, job } in &found {
            let line = json!({
                "id": pipeline.id,
                "name": pipeline.name,
                "state": job.as_ref().map(|job| &job.state),
                "parallelism": pipeline.graph.parallelism(),
                "tasks": job.as_ref().and_then(|job| job.tasks),
                "checkpoint_interval_micros": pipeline.checkpoint_interval_micros,
                "created_at": pipeline.created_at,
                "failure": job.as_ref().and_then(Job::failure),
            });
            writeln!(out, "{line}")?;
        }
        return Ok(Outcome::Done);
    }
    let width = |of: fn(&Found) -> &str| found.iter().map(|found| of(found).chars().count()).max();
    let name_width = width(|found| &found.pipeline.name).unwrap_or(0).max("name".len());
    let id_width = width(|found| &found.pipeline.id).unwrap_or(0).max("id".len());
    writeln!(
        out,
        "{:<name_width$}  {:<id_width$}  {:<18}  parallelism",
        "name", "id", "state"
    )?;
    for row in &found {
        let Pipeline { id, name, graph, .. } = &row.pipeline;
        let parallelism = graph.parallelism();
        write!(
            out,
            "{name:<name_width$}  {id:<id_width$}  {:<18}  {parallelism:>11}",
            row.state()
        )?;
        match row
            .job
            .as_ref()
            .filter(|job| job.state == "Failed")
            .and_then(Job::failure)
        {
            Some(reason) => writeln!(out, "  {}", reason.lines().next().unwrap_or_default())?,
            None => writeln!(out)?,
        }
    }
    Ok(Outcome::Done)
}

/// `sightstream deploy stop`.
pub async fn stop(arroyo: &Arroyo, args: &StopArgs) -> anyhow::Result<Outcome> {
    let found = one(arroyo, &args.pipeline, |found| !found.is_at_rest()).await?;
    let Pipeline { id, name, .. } = &found.pipeline;
    if found.is_at_rest() {
        say("pipeline", format!("{name}: is {} already ({id})", found.state()))?;
    } else {
        let how = if args.force { Stop::Immediate } else { Stop::Checkpoint };
        let job = stopped(arroyo, id, how, args.timeout).await?;
        if job.state == "Failed" && !args.delete {
            let reason = job.failure().unwrap_or("Arroyo gives no reason");
            bail!("{name} ({id}) has failed instead of stopping: {reason}");
        }
        say("pipeline", format!("{name}: stopped ({id})"))?;
    }
    if args.delete {
        arroyo.tell(&calls::delete_pipeline(id)).await?;
        say("pipeline", format!("{name}: deleted ({id})"))?;
    }
    Ok(Outcome::Done)
}

/// Stops the pipeline `id`: its job, at rest.
pub async fn stopped(arroyo: &Arroyo, id: &str, how: Stop, timeout: std::time::Duration) -> anyhow::Result<Job> {
    arroyo.tell(&calls::stop(id, how)).await?;
    Follower::new(arroyo, id).until_at_rest(timeout).await
}

/// `sightstream deploy start`.
pub async fn start(arroyo: &Arroyo, args: &StartArgs) -> anyhow::Result<Outcome> {
    let found = one(arroyo, &args.pipeline, Found::is_at_rest).await?;
    let Pipeline { id, name, .. } = &found.pipeline;
    if found.state() == "Finished" {
        bail!("{name} ({id}) has come to its end: its sources have no more rows; deploy its file again");
    }
    started(arroyo, &found).await?;
    Follower::of_restarted(arroyo, id, found.job.clone().filter(Job::is_at_rest))
        .until_running(args.run.settle, args.run.timeout)
        .await
        .with_context(|| format!("{name} was started again"))?;
    say("running", arroyo.page(id))?;
    Ok(Outcome::Done)
}

/// Lets a pipeline that is at rest go on from its last checkpoint. One that runs stays as it is.
pub async fn started(arroyo: &Arroyo, found: &Found) -> anyhow::Result<()> {
    let id = &found.pipeline.id;
    arroyo.tell(&calls::stop(id, Stop::None)).await?;
    if found.state() == "Failed" {
        arroyo.tell(&calls::restart(id)).await?;
    }
    Ok(())
}
