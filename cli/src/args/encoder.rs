//! The encoder's options: one group, shared by every command that encodes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::encoder::{DeviceChoice, DtypeChoice, Encoder, EncoderOptions};
use sightstream_model::fetch::{FetchedBytes, Fetcher};
use sightstream_model::isolation::{DecoderIsolation, WorkerOptions};
use sightstream_model::media::DecodeLimits;
use sightstream_model::service::{EmbeddingService, Merge, ServiceOptions};

use super::{DECODE_WORKER, FetchArgs, SegmentationArgs, Settings, values};
use crate::error::UsageError;
use crate::memory::{self, Demand, Probe, Records, Wish, mebibytes};
use crate::progress;

/// Which model, where it runs, and how much it does at once. What is left out here may be `SET` in a SQL file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Encoder")]
pub struct EncoderArgs {
    /// A Qwen2-VL checkpoint: a folder, or a Hugging Face id, OWNER/NAME or OWNER/NAME@REVISION, such as
    /// Qwen/Qwen2-VL-2B-Instruct [default: the built-in demo checkpoint]
    #[arg(long, env = "SIGHTSTREAM_MODEL", value_name = "DIR|ID")]
    pub model: Option<String>,

    /// auto, cpu, cuda or cuda:N [default: auto: the first GPU where there is one]
    #[arg(long, env = "SIGHTSTREAM_DEVICE", value_parser = values::device)]
    pub device: Option<DeviceChoice>,

    /// f32, f16 or bf16 [default: f32 on the CPU, bf16 on a GPU]
    #[arg(long, env = "SIGHTSTREAM_DTYPE", value_parser = values::dtype)]
    pub dtype: Option<DtypeChoice>,

    /// An image with fewer pixels is enlarged [default: the checkpoint's]
    #[arg(long, env = "SIGHTSTREAM_MIN_PIXELS", value_name = "PIXELS", value_parser = values::pixels)]
    pub min_pixels: Option<u32>,

    /// An image with more pixels is made smaller [default: the checkpoint's]
    #[arg(long, env = "SIGHTSTREAM_MAX_PIXELS", value_name = "PIXELS", value_parser = values::pixels)]
    pub max_pixels: Option<u32>,

    /// An image with more pixels than this is not decoded at all [default: 100000000]
    #[arg(long, env = "SIGHTSTREAM_MAX_IMAGE_PIXELS", value_name = "PIXELS", value_parser = values::count)]
    pub max_image_pixels: Option<usize>,

    /// How the vectors of a long video's windows, or of a document's pages, become its own. max: the largest of each
    /// number. centroid: their mean [default: max]
    #[arg(long, env = "SIGHTSTREAM_MERGE", value_name = "HOW", value_parser = values::merge)]
    pub merge: Option<Merge>,

    /// Tokens in one batch; an image has one for every 28 x 28 pixels [default: 16384]
    #[arg(long, env = "SIGHTSTREAM_MAX_BATCH_TOKENS", value_name = "TOKENS", value_parser = values::count)]
    pub max_batch_tokens: Option<usize>,

    /// Inputs in one batch [default: 256]
    #[arg(long, env = "SIGHTSTREAM_MAX_BATCH_INPUTS", value_name = "INPUTS", value_parser = values::count)]
    pub max_batch_inputs: Option<usize>,

    /// How long the first input of a batch waits for others: 10ms, 1s [default: 10ms]
    #[arg(long, env = "SIGHTSTREAM_MAX_BATCH_WAIT", value_name = "DURATION", value_parser = values::duration)]
    pub max_batch_wait: Option<Duration>,

    /// Threads that decode and preprocess [default: one for each core]
    #[arg(long, env = "SIGHTSTREAM_PREPROCESS_THREADS", value_name = "COUNT", value_parser = values::count)]
    pub preprocess_threads: Option<usize>,

    /// Where media are decoded. isolated: in processes of their own, so that a crash, a hang or runaway memory costs one
    /// medium. in-process: a little faster, and without that [default: isolated]
    #[arg(long, env = "SIGHTSTREAM_DECODER", value_name = "WHERE", value_parser = values::decoder)]
    pub decoder: Option<DecoderChoice>,

    /// The memory that decoding one medium may take, in a process of its own [default: 1536MiB]
    #[arg(long, env = "SIGHTSTREAM_DECODE_MEMORY", value_name = "BYTES", value_parser = values::bytes)]
    pub decode_memory: Option<usize>,

    /// How long decoding an image, a window of a video or a page may take, in a process of its own. Opening a file has a
    /// second more for each 64 MiB [default: 30s]
    #[arg(long, env = "SIGHTSTREAM_DECODE_TIMEOUT", value_name = "DURATION", value_parser = values::duration)]
    pub decode_timeout: Option<Duration>,

    /// The ceiling for the memory of this process and those that decode: 4GiB. What is not set of --decode-memory,
    /// --preprocess-threads, --max-batch-tokens and --epoch-bytes follows from it [default: none]
    #[arg(long, env = "SIGHTSTREAM_MEMORY_LIMIT", value_name = "BYTES", value_parser = values::bytes)]
    pub memory_limit: Option<usize>,

    /// The sightstream executable to decode with [default: the running one]
    #[arg(long, env = "SIGHTSTREAM_DECODE_WORKER", value_name = "FILE")]
    pub decode_worker: Option<PathBuf>,

    #[command(flatten)]
    pub segmentation: SegmentationArgs,

    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// Where media are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DecoderChoice {
    /// In processes of their own.
    #[default]
    Isolated,
    /// In this process.
    InProcess,
}

/// The running executable, even if its file was replaced meanwhile.
const THIS_EXECUTABLE: &str = "/proc/self/exe";

/// Puts which program runs, with which model and where, among the metrics.
pub fn tell_build(model: &str, device: &str) {
    let labels = [
        ("version", env!("CARGO_PKG_VERSION").to_string()),
        ("model", model.to_string()),
        ("device", device.to_string()),
    ];
    metrics::gauge!("sightstream_build_info", &labels).set(1.0);
}

impl EncoderArgs {
    /// Fills what neither a flag nor an environment variable says from the settings of a SQL file.
    pub fn fill(&mut self, settings: &mut Settings) {
        settings.fill("model", &mut self.model, |text| Ok(text.to_string()));
        settings.fill("device", &mut self.device, values::device);
        settings.fill("dtype", &mut self.dtype, values::dtype);
        settings.fill("min_pixels", &mut self.min_pixels, values::pixels);
        settings.fill("max_pixels", &mut self.max_pixels, values::pixels);
        settings.fill("merge", &mut self.merge, values::merge);
        settings.fill("max_batch_tokens", &mut self.max_batch_tokens, values::count);
        settings.fill("max_batch_inputs", &mut self.max_batch_inputs, values::count);
        settings.fill("max_batch_wait", &mut self.max_batch_wait, values::duration);
        settings.fill("max_image_pixels", &mut self.max_image_pixels, values::count);
        settings.fill("preprocess_threads", &mut self.preprocess_threads, values::count);
        settings.fill("decoder", &mut self.decoder, values::decoder);
        settings.fill("decode_memory", &mut self.decode_memory, values::bytes);
        settings.fill("decode_timeout", &mut self.decode_timeout, values::duration);
        settings.fill("memory_limit", &mut self.memory_limit, values::bytes);
        settings.fill("decode_worker", &mut self.decode_worker, |text| Ok(PathBuf::from(text)));
        self.segmentation.fill(settings);
        self.fetch.fill(settings);
    }

    /// Loads the model and starts the embedding service around it.
    pub async fn start(&self) -> anyhow::Result<EmbeddingService> {
        Ok(self.start_beside(Records::NONE).await?.0)
    }

    /// [`EncoderArgs::start`] beside a job's records, which share the memory limit with it. Where there is one, also how it
    /// is shared.
    ///
    /// The model loads on a thread of its own, so that signals are still answered meanwhile.
    pub async fn start_beside(&self, records: Records) -> anyhow::Result<(EmbeddingService, Option<memory::Plan>)> {
        let args = self.clone();
        let fetcher = Fetcher::new(args.fetch.options()).map_err(|error| UsageError(error.to_string()))?;
        let waiting = progress::spinner(format!(
            "loading {}",
            args.model.as_deref().unwrap_or("the demo checkpoint")
        ));
        let started = tokio::task::spawn_blocking(move || args.load_and_start(fetcher, records))
            .await
            .context("loading the model ended early")?;
        waiting.finish_and_clear();
        started
    }

    fn load_and_start(
        &self,
        fetcher: Fetcher,
        records: Records,
    ) -> anyhow::Result<(EmbeddingService, Option<memory::Plan>)> {
        let unusable = "the model cannot be used";
        let files =
            CheckpointFiles::locate_with_progress(self.model.as_deref(), progress::download()).context(unusable)?;
        let encoder = Encoder::load_files(&files, &self.encoder_options()).context(unusable)?;
        tell_build(encoder.model_name(), &encoder.device());
        let plan = match self.memory_limit {
            Some(limit) => Some(self.plan(limit, memory::probe(&encoder)?, records)?),
            None => None,
        };
        let options = self.service_options(plan.as_ref())?;
        let service = EmbeddingService::start(encoder, fetcher, options).context(unusable)?;
        Ok((service, plan))
    }

    /// How the memory limit, if there is one, is shared among the records of a job that embeds nothing.
    pub fn plan_without_model(&self, records: Records) -> anyhow::Result<Option<memory::Plan>> {
        let Some(limit) = self.memory_limit else {
            return Ok(None);
        };
        Ok(Some(planned(&self.demand_without_model(
            limit,
            Probe::without_model()?,
            records,
        ))?))
    }

    /// Whether the memory limit, if there is one, can be kept, as far as that is known without loading the model, which has
    /// so many bytes of `weights` in memory; `None` for a job that embeds nothing.
    pub fn check_memory_limit(&self, weights: Option<u64>, records: Records) -> anyhow::Result<()> {
        let Some(limit) = self.memory_limit else {
            return Ok(());
        };
        let mut probe = Probe::without_model()?;
        let demand = match weights {
            None => self.demand_without_model(limit, probe, records),
            Some(weights) => {
                self.refuse_limit_in_process()?;
                probe.resident += weights;
                self.demand(limit, probe, records)
            }
        };
        demand.plan()?;
        Ok(())
    }

    fn demand_without_model(&self, limit: usize, probe: Probe, records: Records) -> Demand {
        Demand {
            threads: Wish::Given(0),
            decode_memory: Wish::Given(0),
            batch_tokens: Wish::Given(0),
            media_bytes: 0,
            clip_frames: 0,
            ..self.demand(limit, probe, records)
        }
    }

    fn refuse_limit_in_process(&self) -> Result<(), UsageError> {
        if self.decoder == Some(DecoderChoice::InProcess) {
            let message = "a memory limit goes with isolated decoding: in-process, what a decoder takes cannot be \
                           bounded; leave out --decoder or --memory-limit";
            return Err(UsageError(message.to_string()));
        }
        Ok(())
    }

    fn plan(&self, limit: usize, probe: Probe, records: Records) -> anyhow::Result<memory::Plan> {
        self.refuse_limit_in_process()?;
        planned(&self.demand(limit, probe, records))
    }

    fn demand(&self, limit: usize, probe: Probe, records: Records) -> Demand {
        let (service, fetch) = (ServiceOptions::default(), self.fetch.options());
        let wish = |given: Option<usize>, default: usize| match given {
            Some(given) => Wish::Given(given as u64),
            None => Wish::UpTo(default as u64),
        };
        Demand {
            limit: limit as u64,
            probe,
            threads: wish(self.preprocess_threads, service.preprocess_threads),
            decode_memory: wish(self.decode_memory, WorkerOptions::new(Vec::new()).memory),
            batch_tokens: wish(self.max_batch_tokens, service.max_batch_tokens),
            media_bytes: fetch.max_bytes as u64,
            clip_frames: self.segmentation.segmentation().frames.into(),
            fetches: self.fetch.fetch_concurrency.unwrap_or(service.fetch_concurrency) as u64,
            records,
        }
    }

    /// What decides how the model is loaded.
    pub fn encoder_options(&self) -> EncoderOptions {
        let defaults = EncoderOptions::default();
        EncoderOptions {
            model: self.model.clone(),
            device: self.device.unwrap_or(defaults.device),
            dtype: self.dtype,
            min_pixels: self.min_pixels,
            max_pixels: self.max_pixels,
        }
    }

    fn service_options(&self, plan: Option<&memory::Plan>) -> anyhow::Result<ServiceOptions> {
        let mut defaults = ServiceOptions::default();
        if let Some(plan) = plan {
            defaults.max_batch_tokens = plan.batch_tokens as usize;
            defaults.preprocess_threads = plan.threads as usize;
            defaults.fetched_bytes = Some(FetchedBytes {
                all: plan.fetched_bytes as usize,
                largest: self.fetch.options().max_bytes,
            });
            defaults.max_input_tokens = Some(plan.largest_input as usize);
        }
        Ok(ServiceOptions {
            max_batch_tokens: self.max_batch_tokens.unwrap_or(defaults.max_batch_tokens),
            max_batch_inputs: self.max_batch_inputs.unwrap_or(defaults.max_batch_inputs),
            max_wait: self.max_batch_wait.unwrap_or(defaults.max_wait),
            fetch_concurrency: self.fetch.fetch_concurrency.unwrap_or(defaults.fetch_concurrency),
            preprocess_threads: self.preprocess_threads.unwrap_or(defaults.preprocess_threads),
            merge: self.merge.unwrap_or(defaults.merge),
            segmentation: self.segmentation.segmentation(),
            decoder: self.isolation(plan)?,
            decode_limits: DecodeLimits {
                max_pixels: self
                    .max_image_pixels
                    .map_or(defaults.decode_limits.max_pixels, |pixels| pixels as u64),
            },
            ..defaults
        })
    }

    fn isolation(&self, plan: Option<&memory::Plan>) -> anyhow::Result<DecoderIsolation> {
        if self.decoder.unwrap_or_default() == DecoderChoice::InProcess {
            return Ok(DecoderIsolation::InProcess);
        }
        let executable = self.decode_worker.as_deref().unwrap_or(Path::new(THIS_EXECUTABLE));
        // Relative to this folder, in which a worker does not run.
        let executable = std::path::absolute(executable)
            .with_context(|| format!("the decode worker {} has no path", executable.display()))?;
        let defaults = WorkerOptions::new(vec![executable.into(), DECODE_WORKER.into()]);
        Ok(DecoderIsolation::Workers(WorkerOptions {
            memory: plan.map_or(self.decode_memory.unwrap_or(defaults.memory), |plan| {
                plan.decode_memory as usize
            }),
            timeout: self.decode_timeout.unwrap_or(defaults.timeout),
            ..defaults
        }))
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
