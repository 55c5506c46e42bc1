//! The encoder's settings: one group, shared by all that encodes.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use sightstream_model::encoder::{DeviceChoice, DtypeChoice, EncoderOptions};
use sightstream_model::fetch::FetchedBytes;
use sightstream_model::isolation::{DecoderIsolation, WorkerOptions};
use sightstream_model::media::DecodeLimits;
use sightstream_model::service::{Merge, ServiceOptions};

use crate::{Fallback, FetchArgs, SegmentationArgs, values};

/// The command that a process for decoding is started with.
pub const DECODE_WORKER: &str = "decode-worker";

/// Which model, where it runs, and how much it does at once. What is left out here may be `SET` in a SQL file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Encoder")]
pub struct EncoderArgs {
    /// A Qwen2-VL checkpoint: a folder, or a Hugging Face id, OWNER/NAME or OWNER/NAME@REVISION, such as
    /// Qwen/Qwen2-VL-2B-Instruct [default: the built-in demo checkpoint]
    #[arg(long, env = "SIGHTSTREAM_MODEL", value_name = "DIR|ID")]
    pub model: Option<String>,

    /// A PEFT adapter (LoRA or DoRA) that is merged into the model: a folder, or a Hugging Face id [default: none]
    #[arg(long, env = "SIGHTSTREAM_ADAPTER", value_name = "DIR|ID")]
    pub adapter: Option<String>,

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

    /// After so long without a request the model is given up, and its device's memory with it; the next request loads it
    /// again: 10m; a job ends if that fails. 0s is never [default: 0s]
    #[arg(long, env = "SIGHTSTREAM_IDLE_RELEASE", value_name = "DURATION", value_parser = values::duration)]
    pub idle_release: Option<Duration>,

    /// The ceiling for the memory of this process and those that decode: 4GiB. What is not set of --decode-memory,
    /// --preprocess-threads, --max-batch-tokens and --epoch-bytes follows from it [default: none]
    #[arg(long, env = "SIGHTSTREAM_MEMORY_LIMIT", value_name = "BYTES", value_parser = values::bytes)]
    pub memory_limit: Option<usize>,

    /// The sightstream executable to decode with [default: the running one]
    #[arg(long, env = "SIGHTSTREAM_DECODE_WORKER", value_name = "FILE")]
    pub decode_worker: Option<PathBuf>,

    /// How videos and documents become inputs.
    #[command(flatten)]
    pub segmentation: SegmentationArgs,

    /// What may be fetched, and how.
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

impl EncoderArgs {
    /// Fills what neither a flag nor an environment variable says from the settings of a SQL file.
    pub fn fill(&mut self, settings: &mut impl Fallback) {
        settings.fill("model", &mut self.model, |text| Ok(text.to_string()));
        settings.fill("adapter", &mut self.adapter, |text| Ok(text.to_string()));
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
        settings.fill("idle_release", &mut self.idle_release, values::duration);
        settings.fill("memory_limit", &mut self.memory_limit, values::bytes);
        settings.fill("decode_worker", &mut self.decode_worker, |text| Ok(PathBuf::from(text)));
        self.segmentation.fill(settings);
        self.fetch.fill(settings);
    }

    /// What decides how the model is loaded.
    pub fn encoder_options(&self) -> EncoderOptions {
        let defaults = EncoderOptions::default();
        EncoderOptions {
            model: self.model.clone(),
            adapter: self.adapter.clone(),
            device: self.device.unwrap_or(defaults.device),
            dtype: self.dtype,
            min_pixels: self.min_pixels,
            max_pixels: self.max_pixels,
        }
    }

    /// How much the service does at once. `shares` are what a memory limit leaves to what was not set by hand.
    /// `default_worker` is the executable to decode with where none is named; without it decoding is in this process,
    /// unless it was asked to be isolated.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn service_options(
        &self,
        default_worker: Option<&Path>,
        shares: Option<&MemoryShares>,
    ) -> Result<ServiceOptions, SettingsError> {
        let mut defaults = ServiceOptions::default();
        if let Some(shares) = shares {
            defaults.max_batch_tokens = shares.max_batch_tokens;
            defaults.preprocess_threads = shares.preprocess_threads;
            defaults.fetched_bytes = Some(FetchedBytes {
                all: shares.fetched_bytes,
                largest: self.fetch.options().max_bytes,
            });
            defaults.max_input_tokens = Some(shares.max_input_tokens);
        }
        Ok(ServiceOptions {
            max_batch_tokens: self.max_batch_tokens.unwrap_or(defaults.max_batch_tokens),
            max_batch_inputs: self.max_batch_inputs.unwrap_or(defaults.max_batch_inputs),
            max_wait: self.max_batch_wait.unwrap_or(defaults.max_wait),
            fetch_concurrency: self.fetch.fetch_concurrency.unwrap_or(defaults.fetch_concurrency),
            preprocess_threads: self.preprocess_threads.unwrap_or(defaults.preprocess_threads),
            merge: self.merge.unwrap_or(defaults.merge),
            segmentation: self.segmentation.segmentation(),
            idle_release: self.idle_release.filter(|after| !after.is_zero()),
            decoder: self.isolation(default_worker, shares)?,
            decode_limits: DecodeLimits {
                max_pixels: self
                    .max_image_pixels
                    .map_or(defaults.decode_limits.max_pixels, |pixels| pixels as u64),
            },
            ..defaults
        })
    }

    fn isolation(
        &self,
        default_worker: Option<&Path>,
        shares: Option<&MemoryShares>,
    ) -> Result<DecoderIsolation, SettingsError> {
        let executable = match (self.decoder, self.decode_worker.as_deref().or(default_worker)) {
            (Some(DecoderChoice::InProcess), _) | (None, None) => return Ok(DecoderIsolation::InProcess),
            (Some(DecoderChoice::Isolated), None) => return Err(SettingsError::NoWorker),
            (Some(DecoderChoice::Isolated) | None, Some(executable)) => executable,
        };
        // Relative to this folder, in which a worker does not run.
        let executable = std::path::absolute(executable).map_err(|error| SettingsError::WorkerPath {
            worker: executable.to_path_buf(),
            error,
        })?;
        let defaults = WorkerOptions::new(vec![executable.into(), DECODE_WORKER.into()]);
        let memory = shares.map(|shares| shares.decode_memory).or(self.decode_memory);
        Ok(DecoderIsolation::Workers(WorkerOptions {
            memory: memory.unwrap_or(defaults.memory),
            timeout: self.decode_timeout.unwrap_or(defaults.timeout),
            ..defaults
        }))
    }
}

/// What a memory limit leaves to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShares {
    /// Tokens in a batch.
    pub max_batch_tokens: usize,
    /// Tokens of one input: there is no memory to encode a larger one.
    pub max_input_tokens: usize,
    /// Threads that decode, each with a worker.
    pub preprocess_threads: usize,
    /// Bytes that one worker may take.
    pub decode_memory: usize,
    /// Bytes of media that are fetched, or wait to be decoded.
    pub fetched_bytes: usize,
}

/// Settings that do not go together, or not with this machine.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Nothing can be isolated.
    #[error(
        "decoding cannot be isolated without an executable to decode with: name one (SIGHTSTREAM_DECODE_WORKER), or write \
         in-process (SIGHTSTREAM_DECODER)"
    )]
    NoWorker,
    /// The folder that a relative path starts from is gone.
    #[error("the decode worker {} has no path: {error}", worker.display())]
    WorkerPath {
        /// As it was named.
        worker: PathBuf,
        /// Why.
        error: io::Error,
    },
}
