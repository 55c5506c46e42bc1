//! `sightstream train CONFIG.yaml`: from a configuration to a trained model.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use sightstream_jobs::data::Position;
use sightstream_jobs::train::checkpoint::{Checkpoint, Checkpoints};
use sightstream_jobs::train::config::{Length, TrainConfig, Written};
use sightstream_jobs::train::model::ModelPlan;
use sightstream_jobs::train::report::Reports;
use sightstream_jobs::train::trainer::{Ended, Trainer};
use sightstream_jobs::whole;
use sightstream_settings::EncoderArgs;

use super::batches::Batches;
use super::progress::Progress;
use super::summary::Summary;
use crate::args::{LATEST, TrainRunArgs};
use crate::commands::signals::{self, Words};
use crate::error::{Outcome, UsageError, UsageErrors};
use crate::{items, progress};

/// What a run keeps of its configuration.
const KEPT_CONFIGURATION: &str = "training.yaml";

const SIGNALS: Words = Words {
    first: "writing a checkpoint of the last step; a second signal ends the process at once",
    second: "ended at once; --resume goes on after the last checkpoint",
};

/// Trains as `args` say.
pub async fn execute(args: TrainRunArgs) -> anyhow::Result<Outcome> {
    let file = args.config.clone().context("no configuration was named")?;
    let written = TrainConfig::read(&file, &args.set).map_err(|errors| UsageErrors(errors.into_sentences()))?;
    let asked = signals::stop_on_signals(SIGNALS)?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    tokio::spawn(async move {
        asked.cancelled().await;
        stopping.store(true, Ordering::Relaxed);
    });
    tokio::task::spawn_blocking(move || train(&args, &written, &stop))
        .await
        .context("training ended early")?
}

fn train(args: &TrainRunArgs, written: &Written, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let config = &written.config;
    let output = config.output_dir.as_path();
    let checkpoints = Checkpoints::open(output, config.save_total_limit).map_err(items::usage)?;
    let from = goes_on_from(args, &checkpoints)?;
    let after = from.as_ref().map_or(0, |checkpoint| checkpoint.state.step);

    // What is quick to look at comes first: a wrong path is told before gigabytes of weights are read.
    let plan = ModelPlan::open(config, progress::download()).map_err(items::usage)?;
    let place = from.as_ref().map(place).transpose()?;
    let mut options = config.loader_options(items::prepare_options(&media_args(args))?);
    options.stop = Arc::clone(stop);
    let mut batches = Batches::open(options, plan.processor(), place.as_ref()).map_err(items::usage)?;
    let begun = from
        .as_ref()
        .and_then(|from| from.state.settings.get("max_steps")?.as_u64());
    let max_steps = match (begun, config.length) {
        // Epochs that were begun are as long as they were to be.
        (Some(max_steps), Length::Epochs(_)) => max_steps,
        _ => batches.max_steps(config).map_err(items::usage)?,
    };
    let mut settings = config.settings(max_steps, plan.dtype());
    // A name may come to mean another model.
    let fingerprint = plan.fingerprint().map_err(items::usage)?;
    settings.insert("model (its fingerprint)".to_string(), fingerprint.into());
    let name = plan.name();
    let waiting = progress::spinner(format!("loading {name}"));
    let model = plan.load().map_err(items::usage)?;
    waiting.finish_and_clear();
    let options = config.train_options(max_steps);
    let mut trainer = Trainer::new(model.twin(), &model, &checkpoints, options, settings).map_err(items::usage)?;
    if let Some(from) = &from {
        trainer.resume(from).map_err(items::usage)?;
        checkpoints.abandon_after(after)?;
    }
    keep_configuration(output, written)?;
    tracing::info!(
        model = name,
        device = ?model.twin().device().location(),
        dtype = model.twin().dtype().as_str(),
        trained = model.trained(),
        max_steps,
        after,
        output = %output.display(),
        "training begins"
    );
    let reports = Reports::open(output, after)?;
    let mut progress = Progress::start(reports, config.logging_steps, Arc::clone(stop));
    let ended = trainer.run(&mut batches, &mut progress, stop);
    let reports = progress.finish();
    let skipped = batches.skipped();
    drop(batches);
    let ended = ended?;
    let reports = reports?;
    let (result, then) = match ended {
        Ended::Finished { .. } => (output.to_path_buf(), ""),
        Ended::Stopped {
            checkpoint: Some(checkpoint),
            ..
        } => (checkpoint, "   it was stopped; go on with --resume"),
        Ended::Stopped { checkpoint: None, .. } => (PathBuf::from("none"), "   it was stopped before the first step"),
    };
    Summary::of(reports.rows(), skipped, (result, then)).tell();
    Ok(Outcome::Done)
}

/// The checkpoint that the run goes on after.
fn goes_on_from(args: &TrainRunArgs, checkpoints: &Checkpoints) -> anyhow::Result<Option<Checkpoint>> {
    let folder = checkpoints.folder();
    match &args.resume {
        Some(named) if named == LATEST => {
            let latest = checkpoints.latest().map_err(items::usage)?;
            if latest.is_none() {
                tracing::info!(output = %folder.display(), "there is no checkpoint to go on after; the run begins");
            }
            Ok(latest)
        }
        Some(named) => Checkpoint::open(Path::new(named)).map(Some).map_err(items::usage),
        None if Reports::are_in(folder) || !checkpoints.steps().map_err(items::usage)?.is_empty() => {
            let message = format!(
                "{} holds a run already; go on with it by --resume, or name another output_dir",
                folder.display()
            );
            Err(UsageError(message).into())
        }
        None => Ok(None),
    }
}

/// Where the data go on.
fn place(checkpoint: &Checkpoint) -> anyhow::Result<Position> {
    serde_json::from_value(checkpoint.state.position.clone()).map_err(|error| {
        let message = format!("{} has no place in the data: {error}", checkpoint.path().display());
        UsageError(message).into()
    })
}

/// The settings of media that are flags.
fn media_args(args: &TrainRunArgs) -> EncoderArgs {
    let mut fetch = args.fetch.clone();
    // The folders of the datasets come to these.
    items::allow_beside(&mut fetch, std::iter::empty());
    EncoderArgs {
        decoder: args.decoding.decoder,
        decode_memory: args.decoding.decode_memory,
        decode_timeout: args.decoding.decode_timeout,
        decode_worker: args.decoding.decode_worker.clone(),
        fetch,
        ..EncoderArgs::default()
    }
}

fn keep_configuration(output: &Path, written: &Written) -> anyhow::Result<()> {
    let path = output.join(KEPT_CONFIGURATION);
    let text = serde_json::to_string_pretty(&written.json)?;
    Ok(whole::write(&path, (text + "\n").as_bytes())?)
}
