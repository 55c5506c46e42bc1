//! The model as the settings ask for it: loaded, and with the memory limit shared out.

use std::path::Path;

use anyhow::Context;
use indicatif::ProgressBar;
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::encoder::Encoder;
use sightstream_model::fetch::Fetcher;
use sightstream_model::isolation::WorkerOptions;
use sightstream_model::service::{EmbeddingService, ServiceOptions};
use sightstream_settings::{DecoderChoice, EncoderArgs};

use crate::error::UsageError;
use crate::memory::{self, Demand, Probe, Records, Wish, mebibytes};
use crate::progress;

/// The running executable, even if its file was replaced meanwhile.
pub const THIS_EXECUTABLE: &str = "/proc/self/exe";

/// What is wrong when a model cannot be loaded or started.
const UNUSABLE: &str = "the model cannot be used";

/// Puts which program runs, with which model and where, among the metrics.
pub fn tell_build(model: &str, device: &str) {
    let labels = [
        ("version", env!("CARGO_PKG_VERSION").to_string()),
        ("model", model.to_string()),
        ("device", device.to_string()),
    ];
    metrics::gauge!("sightstream_build_info", &labels).set(1.0);
}

/// Loads the model and starts the embedding service around it.
pub async fn start(args: &EncoderArgs) -> anyhow::Result<EmbeddingService> {
    Ok(start_beside(args, Records::NONE).await?.0)
}

/// [`start`] beside a job's records, which share the memory limit with it. Where there is one, also how it
/// is shared.
///
/// The model loads on a thread of its own, so that signals are still answered meanwhile.
pub async fn start_beside(
    args: &EncoderArgs,
    records: Records,
) -> anyhow::Result<(EmbeddingService, Option<memory::Plan>)> {
    let args = args.clone();
    let fetcher = Fetcher::new(args.fetch.options()).map_err(|error| UsageError(error.to_string()))?;
    let waiting = loading(&args);
    let started = tokio::task::spawn_blocking(move || load_and_start(&args, fetcher, records))
        .await
        .context("loading the model ended early")?;
    waiting.finish_and_clear();
    started
}

/// Tells that the model is being loaded, until it is cleared.
pub fn loading(args: &EncoderArgs) -> ProgressBar {
    progress::spinner(format!(
        "loading {}",
        args.model.as_deref().unwrap_or("the demo checkpoint")
    ))
}

/// Finds the model and its adapter, downloads them if it must, and loads them. Blocks.
pub fn load(args: &EncoderArgs) -> anyhow::Result<Encoder> {
    CheckpointFiles::locate_with_progress(args.model.as_deref(), progress::download())
        .and_then(|files| files.adapted_with_progress(args.adapter.as_deref(), progress::download()))
        .and_then(|files| Encoder::load_files(&files, &args.encoder_options()))
        .context(UNUSABLE)
}

fn load_and_start(
    args: &EncoderArgs,
    fetcher: Fetcher,
    records: Records,
) -> anyhow::Result<(EmbeddingService, Option<memory::Plan>)> {
    let encoder = load(args)?;
    tell_build(encoder.model_name(), &encoder.device());
    let plan = match args.memory_limit {
        Some(limit) => Some(plan(args, limit, memory::probe(&encoder)?, records)?),
        None => None,
    };
    let shares = plan.as_ref().map(memory::Plan::shares);
    let options = args.service_options(Some(Path::new(THIS_EXECUTABLE)), shares.as_ref())?;
    let service = EmbeddingService::start(encoder, fetcher, options).context(UNUSABLE)?;
    Ok((service, plan))
}

/// How the memory limit, if there is one, is shared among the records of a job that embeds nothing.
pub fn plan_without_model(args: &EncoderArgs, records: Records) -> anyhow::Result<Option<memory::Plan>> {
    let Some(limit) = args.memory_limit else {
        return Ok(None);
    };
    Ok(Some(planned(&demand_without_model(
        args,
        limit,
        Probe::without_model()?,
        records,
    ))?))
}

/// Whether the memory limit, if there is one, can be kept, as far as that is known without loading the model, which has
/// so many bytes of `weights` in memory; `None` for a job that embeds nothing.
pub fn check_memory_limit(args: &EncoderArgs, weights: Option<u64>, records: Records) -> anyhow::Result<()> {
    let Some(limit) = args.memory_limit else {
        return Ok(());
    };
    let mut probe = Probe::without_model()?;
    let demand = match weights {
        None => demand_without_model(args, limit, probe, records),
        Some(weights) => {
            refuse_limit_in_process(args)?;
            probe.resident += weights;
            demand(args, limit, probe, records)
        }
    };
    demand.plan()?;
    Ok(())
}

fn demand_without_model(args: &EncoderArgs, limit: usize, probe: Probe, records: Records) -> Demand {
    Demand {
        threads: Wish::Given(0),
        decode_memory: Wish::Given(0),
        batch_tokens: Wish::Given(0),
        media_bytes: 0,
        clip_frames: 0,
        ..demand(args, limit, probe, records)
    }
}

fn refuse_limit_in_process(args: &EncoderArgs) -> Result<(), UsageError> {
    if args.decoder == Some(DecoderChoice::InProcess) {
        let message = "a memory limit goes with isolated decoding: in-process, what a decoder takes cannot be \
                       bounded; leave out --decoder or --memory-limit";
        return Err(UsageError(message.to_string()));
    }
    Ok(())
}

fn plan(args: &EncoderArgs, limit: usize, probe: Probe, records: Records) -> anyhow::Result<memory::Plan> {
    refuse_limit_in_process(args)?;
    planned(&demand(args, limit, probe, records))
}

fn demand(args: &EncoderArgs, limit: usize, probe: Probe, records: Records) -> Demand {
    let (service, fetch) = (ServiceOptions::default(), args.fetch.options());
    let wish = |given: Option<usize>, default: usize| match given {
        Some(given) => Wish::Given(given as u64),
        None => Wish::UpTo(default as u64),
    };
    Demand {
        limit: limit as u64,
        probe,
        threads: wish(args.preprocess_threads, service.preprocess_threads),
        decode_memory: wish(args.decode_memory, WorkerOptions::new(Vec::new()).memory),
        batch_tokens: wish(args.max_batch_tokens, service.max_batch_tokens),
        media_bytes: fetch.max_bytes as u64,
        clip_frames: args.segmentation.segmentation().frames.into(),
        fetches: args.fetch.fetch_concurrency.unwrap_or(service.fetch_concurrency) as u64,
        records,
    }
}

/// Shares the limit out, and says how.
fn planned(demand: &Demand) -> anyhow::Result<memory::Plan> {
    let plan = demand.plan().map_err(|error| UsageError(error.to_string()))?;
    tracing::info!(
        limit = mebibytes(demand.limit),
        parts = %plan.parts,
        preprocess_threads = plan.threads,
        decode_memory = mebibytes(plan.decode_memory),
        max_batch_tokens = plan.batch_tokens,
        epoch_bytes = plan.epoch_bytes,
        "the memory limit is shared out"
    );
    Ok(plan)
}
