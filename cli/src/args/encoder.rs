//! The encoder's options: one group, shared by every command that encodes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::encoder::{DeviceChoice, DtypeChoice, Encoder, EncoderOptions};
use sightstream_model::fetch::Fetcher;
use sightstream_model::isolation::{DecoderIsolation, WorkerOptions};
use sightstream_model::media::DecodeLimits;
use sightstream_model::service::{EmbeddingService, ServiceOptions};

use super::{DECODE_WORKER, FetchArgs, Settings, values};
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

    /// How long decoding one medium may take, in a process of its own [default: 30s]
    #[arg(long, env = "SIGHTSTREAM_DECODE_TIMEOUT", value_name = "DURATION", value_parser = values::duration)]
    pub decode_timeout: Option<Duration>,

    /// The sightstream executable to decode with [default: the running one]
    #[arg(long, env = "SIGHTSTREAM_DECODE_WORKER", value_name = "FILE")]
    pub decode_worker: Option<PathBuf>,

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
        settings.fill("max_batch_tokens", &mut self.max_batch_tokens, values::count);
        settings.fill("max_batch_inputs", &mut self.max_batch_inputs, values::count);
        settings.fill("max_batch_wait", &mut self.max_batch_wait, values::duration);
        settings.fill("max_image_pixels", &mut self.max_image_pixels, values::count);
        settings.fill("preprocess_threads", &mut self.preprocess_threads, values::count);
        settings.fill("decoder", &mut self.decoder, values::decoder);
        settings.fill("decode_memory", &mut self.decode_memory, values::bytes);
        settings.fill("decode_timeout", &mut self.decode_timeout, values::duration);
        settings.fill("decode_worker", &mut self.decode_worker, |text| Ok(PathBuf::from(text)));
        self.fetch.fill(settings);
    }

    /// Loads the model and starts the embedding service around it.
    ///
    /// The model loads on a thread of its own, so that signals are still answered meanwhile.
    pub async fn start(&self) -> anyhow::Result<EmbeddingService> {
        let args = self.clone();
        let waiting = progress::spinner(format!(
            "loading {}",
            args.model.as_deref().unwrap_or("the demo checkpoint")
        ));
        let started = tokio::task::spawn_blocking(move || -> anyhow::Result<EmbeddingService> {
            let fetcher = Fetcher::new(args.fetch.options())?;
            let files = CheckpointFiles::locate_with_progress(args.model.as_deref(), progress::download())?;
            let encoder = Encoder::load_files(&files, &args.encoder_options())?;
            tell_build(encoder.model_name(), &encoder.device());
            Ok(EmbeddingService::start(encoder, fetcher, args.service_options()?)?)
        })
        .await
        .context("loading the model ended early")?;
        waiting.finish_and_clear();
        started.context("the model cannot be used")
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

    fn service_options(&self) -> anyhow::Result<ServiceOptions> {
        let defaults = ServiceOptions::default();
        Ok(ServiceOptions {
            max_batch_tokens: self.max_batch_tokens.unwrap_or(defaults.max_batch_tokens),
            max_batch_inputs: self.max_batch_inputs.unwrap_or(defaults.max_batch_inputs),
            max_wait: self.max_batch_wait.unwrap_or(defaults.max_wait),
            fetch_concurrency: self.fetch.fetch_concurrency.unwrap_or(defaults.fetch_concurrency),
            preprocess_threads: self.preprocess_threads.unwrap_or(defaults.preprocess_threads),
            decoder: self.isolation()?,
            decode_limits: DecodeLimits {
                max_pixels: self
                    .max_image_pixels
                    .map_or(defaults.decode_limits.max_pixels, |pixels| pixels as u64),
            },
            ..defaults
        })
    }

    fn isolation(&self) -> anyhow::Result<DecoderIsolation> {
        if self.decoder.unwrap_or_default() == DecoderChoice::InProcess {
            return Ok(DecoderIsolation::InProcess);
        }
        let executable = self.decode_worker.as_deref().unwrap_or(Path::new(THIS_EXECUTABLE));
        // Relative to this folder, in which a worker does not run.
        let executable = std::path::absolute(executable)
            .with_context(|| format!("the decode worker {} has no path", executable.display()))?;
        let defaults = WorkerOptions::new(vec![executable.into(), DECODE_WORKER.into()]);
        Ok(DecoderIsolation::Workers(WorkerOptions {
            memory: self.decode_memory.unwrap_or(defaults.memory),
            timeout: self.decode_timeout.unwrap_or(defaults.timeout),
            ..defaults
        }))
    }
}
