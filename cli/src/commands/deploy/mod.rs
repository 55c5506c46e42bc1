//! `sightstream deploy`: a SQL file onto an Arroyo cluster.

mod api;
mod calls;
mod dry_run;
mod follow;
mod functions;
mod pipelines;
mod wire;

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sightstream_sql::arroyo::{ArroyoScript, prepare};

use self::api::{Arroyo, CallError};
use self::calls::Stop;
use self::follow::Follower;
use self::functions::{Change, Function, Planned};
use self::pipelines::Found;
use self::wire::{Pipeline, QueryValidation};
use crate::args::{DeployAction, DeployArgs};
use crate::error::{Outcome, UsageError};

/// How long Arroyo may go on creating a pipeline after its answer was lost.
const LATE: Duration = Duration::from_secs(10);

/// Does what `args` say.
pub async fn execute(args: DeployArgs) -> anyhow::Result<Outcome> {
    let arroyo = Arroyo::new(&args.cluster)?;
    match (&args.action, &args.file) {
        (None, Some(file)) => deploy(&arroyo, file, &args).await,
        (Some(DeployAction::List(list)), None) => pipelines::list(&arroyo, list).await,
        (Some(DeployAction::Stop(stop)), None) => pipelines::stop(&arroyo, stop).await,
        (Some(DeployAction::Start(start)), None) => pipelines::start(&arroyo, start).await,
        (Some(_), Some(file)) => bail!(UsageError(format!(
            "{}: list, stop and start take no file before them",
            file.display()
        ))),
        (None, None) => unreachable!("clap wants a file where there is no action"),
    }
}

/// One step that was done, on standard output.
fn say(label: &str, what: impl Display) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{label:<11} {what}")?;
    out.flush()
}

fn not_created(error: CallError) -> anyhow::Error {
    anyhow::Error::from(error).context("the pipeline was not created")
}

/// A file on its way to the cluster.
struct Deployment<'a> {
    arroyo: &'a Arroyo,
    args: &'a DeployArgs,
    file: String,
    name: String,
    script: ArroyoScript,
}

async fn deploy(arroyo: &Arroyo, file: &Path, args: &DeployArgs) -> anyhow::Result<Outcome> {
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| UsageError(format!("cannot read the SQL file {shown}: {error}")))?;
    let script = prepare(&text, &shown, &|name| std::env::var(name).ok())?;
    let name = match (&args.name, file.file_stem()) {
        (Some(name), _) => name.clone(),
        (None, Some(stem)) => stem.to_string_lossy().into_owned(),
        (None, None) => bail!(UsageError(format!(
            "{shown} gives the pipeline no name; give it one with --name"
        ))),
    };
    if name.is_empty() {
        bail!(UsageError("--name is empty; the pipeline needs a name".to_string()));
    }
    let wanted = Function::wanted(&script.functions, &args.functions);
    if args.dry_run {
        return dry_run::print(arroyo, &script, &name, &wanted, args);
    }
    let deployment = Deployment {
        arroyo,
        args,
        file: shown,
        name,
        script,
    };
    deployment.run(wanted).await
}

impl Deployment<'_> {
    async fn run(self, wanted: Vec<Function>) -> anyhow::Result<Outcome> {
        let Self { arroyo, args, name, .. } = &self;
        let functions = functions::plan(arroyo, wanted, args.functions.rebuild).await?;
        let same_name = pipelines::named(arroyo, name).await?;
        if let Some(found) = self.unchanged(&same_name, &functions) {
            say("pipeline", format!("{name}: unchanged, {}", found.pipeline.id))?;
            return self.follow(&found.pipeline).await.map(|()| Outcome::Done);
        }
        if !same_name.is_empty() && !args.replace {
            return Err(self.name_is_taken(&same_name));
        }
        // The planner answers in a moment, a build in minutes: so it is asked first, with the functions that are still to be
        // built.
        self.validate(&functions).await?;
        functions::register(arroyo, &functions, args.functions.build_timeout).await?;
        let pipeline = self.replace(&same_name).await?;
        if let Err(error) = self.follow(&pipeline).await {
            return Err(match same_name.first() {
                Some(old) => error.context(format!(
                    "the pipeline {} in whose place it came is kept, and goes on from its checkpoint with sightstream deploy \
                     stop {} and sightstream deploy start {}",
                    old.pipeline.id, pipeline.id, old.pipeline.id
                )),
                None => error,
            });
        }
        for old in &same_name {
            let id = &old.pipeline.id;
            let deleted = arroyo.tell(&calls::delete_pipeline(id)).await;
            deleted.with_context(|| {
                format!(
                    "{name} runs as {}, but the old pipeline {id} is still there",
                    pipeline.id
                )
            })?;
            say("pipeline", format!("{name}: the old one is deleted, {id}"))?;
        }
        Ok(Outcome::Done)
    }

    /// The pipeline that is what this one would be, and runs.
    fn unchanged<'a>(&self, same_name: &'a [Found], functions: &[Planned]) -> Option<&'a Found> {
        let [found] = same_name else { return None };
        let Pipeline {
            query,
            graph,
            checkpoint_interval_micros,
            created_at,
            ..
        } = &found.pipeline;
        let interval = self.args.checkpoint_interval.map(|interval| interval.as_micros());
        let unchanged = !found.is_at_rest()
            && *query == self.script.text
            && graph.parallelism() as usize == self.args.parallelism
            && interval.is_none_or(|interval| interval == u128::from(*checkpoint_interval_micros))
            && functions.iter().all(|planned| planned.is_of(*created_at));
        unchanged.then_some(found)
    }

    fn name_is_taken(&self, same_name: &[Found]) -> anyhow::Error {
        let name = &self.name;
        let ids: Vec<String> = same_name
            .iter()
            .map(|found| format!("{} ({})", found.pipeline.id, found.state()))
            .collect();
        let go_on = match same_name {
            [found] if found.is_at_rest() => {
                format!("; sightstream deploy start {name} lets that one go on from its checkpoint")
            }
            _ => String::new(),
        };
        let message = format!(
            "there is a pipeline {name}: {}; --replace stops it with a checkpoint and puts this one in its place, --name gives \
             this one another name{go_on}",
            ids.join(", ")
        );
        anyhow::anyhow!(message)
    }

    /// Asks the planner.
    async fn validate(&self, functions: &[Planned]) -> anyhow::Result<()> {
        let unregistered: Vec<&str> = functions
            .iter()
            .filter(|planned| !matches!(planned.change, Change::Kept(_)))
            .map(|planned| planned.function.definition.as_str())
            .collect();
        let call = calls::validate_query(&self.script.text, &unregistered);
        let QueryValidation { graph, errors } = self.arroyo.call(&call).await?;
        let warnings = &self.script.warnings;
        if !errors.is_empty() {
            let mut errors: Vec<String> = errors.iter().map(|error| error.in_file(&self.file)).collect();
            if !warnings.is_empty() {
                errors.push("and as the one-machine engine reads it:".to_string());
                errors.extend_from_slice(warnings);
            }
            bail!(UsageError(format!(
                "Arroyo cannot plan this file:\n{}",
                errors.join("\n")
            )));
        }
        for warning in warnings {
            say("warning", format!("{warning} (Arroyo takes it)"))?;
        }
        let operators = graph.map_or(0, |graph| graph.nodes.len());
        say("query", format!("Arroyo can run it: {operators} operators"))?;
        if !self.script.variables.is_empty() {
            let variables: Vec<&str> = self.script.variables.iter().map(String::as_str).collect();
            say("variables", format!("Arroyo's workers need {}", variables.join(", ")))?;
        }
        Ok(())
    }

    /// Creates the pipeline, in the place of those in `same_name`.
    async fn replace(&self, same_name: &[Found]) -> anyhow::Result<Pipeline> {
        let Self { arroyo, name, .. } = self;
        for (index, found) in same_name.iter().enumerate().filter(|(_, found)| !found.is_at_rest()) {
            let id = &found.pipeline.id;
            say(
                "pipeline",
                format!("{name}: stopping the old one with a checkpoint, {id}"),
            )?;
            if let Err(error) = pipelines::stopped(arroyo, id, Stop::Checkpoint, self.args.run.timeout).await {
                return Err(self.back(&same_name[..index], error).await);
            }
        }
        let create = calls::create_pipeline(
            name,
            &self.script.text,
            self.args.parallelism,
            self.args.checkpoint_interval,
        );
        let pipeline: Pipeline = match arroyo.call(&create).await {
            Ok(pipeline) => pipeline,
            Err(error) if error.may_be_done() => match self.created_all_the_same(same_name, &error).await {
                Ok(Some(pipeline)) => pipeline,
                Ok(None) => return Err(self.back(same_name, not_created(error)).await),
                // Two pipelines that write the same rows are worse than none.
                Err(unknown) => {
                    return Err(anyhow::Error::from(error).context(format!(
                        "whether the pipeline {name} was created is not known ({unknown:#}); sightstream deploy list tells, and \
                         sightstream deploy start starts an old one again"
                    )));
                }
            },
            Err(error) => return Err(self.back(same_name, not_created(error)).await),
        };
        let parallelism = self.args.parallelism;
        let id = &pipeline.id;
        say(
            "pipeline",
            format!("{name}: created as {id}, parallelism {parallelism}"),
        )?;
        Ok(pipeline)
    }

    /// The pipeline that Arroyo has created although its answer is the error `error`; `None` if it has not.
    async fn created_all_the_same(&self, same_name: &[Found], error: &CallError) -> anyhow::Result<Option<Pipeline>> {
        let until = match error {
            // Arroyo's own error is its last word; behind any other it may still be at it.
            CallError::Refused { .. } => Instant::now(),
            _ => Instant::now() + LATE,
        };
        loop {
            let found = pipelines::all(self.arroyo).await.map(|pipelines| {
                pipelines.into_iter().find(|pipeline| {
                    let is_old = same_name.iter().any(|old| old.pipeline.id == pipeline.id);
                    !is_old && pipeline.name == self.name && pipeline.query == self.script.text
                })
            });
            if matches!(found, Ok(Some(_))) || Instant::now() >= until {
                return found;
            }
            tokio::time::sleep(LATE / 10).await;
        }
    }

    /// Starts again what was stopped for a pipeline that could not take its place.
    async fn back(&self, stopped: &[Found], error: anyhow::Error) -> anyhow::Error {
        let mut error = error;
        for found in stopped.iter().filter(|found| !found.is_at_rest()) {
            let id = &found.pipeline.id;
            error = match self.arroyo.tell(&calls::stop(id, Stop::None)).await {
                Ok(()) => error.context(format!("the old pipeline {id} was started again from its checkpoint")),
                Err(again) => error.context(format!(
                    "the old pipeline {id} is stopped, and could not be started again ({again}); do so with sightstream \
                     deploy start {id}"
                )),
            };
        }
        error
    }

    /// Follows the job of `pipeline` until it runs.
    async fn follow(&self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let id = &pipeline.id;
        let job = Follower::new(self.arroyo, id)
            .until_running(self.args.run.settle, self.args.run.timeout)
            .await?;
        let label = if job.state == "Finished" { "finished" } else { "running" };
        Ok(say(label, self.arroyo.page(id))?)
    }
}
