//! Decoding where a crash, a hang or runaway memory costs one medium: in worker processes.
//!
//! A [`Decoder`] turns fetched bytes into a medium whose pixels have the size that the model sees. It does so in this
//! process, or hands the bytes to a worker: another process, of an executable that calls [`run_worker`], which decodes,
//! resizes, and sends back a few megabytes of pixels. Patches, prompts and tokens are made here of what comes back, after
//! it was checked: a worker's answer is as little trusted as the bytes that it was given.
//!
//! ```text
//! service thread  ── bytes or an open file, fragment, limits ──▶  worker: decode, resize
//!                 ◀── text, pixels, parts, or why not ──────────
//! ```
//!
//! Videos and documents are in files. A worker gets such a file open, and keeps the media that it read last open: the
//! windows of a video and the pages of a document come one after the other, and go to a worker that has them.
//!
//! There is at most one worker for each thread that decodes. It starts with the first medium that needs it and stays for
//! the next ones, because starting costs more than most images do. What may happen to it:
//!
//! | a worker | costs | then |
//! | --- | --- | --- |
//! | crashes, breaks the protocol, or is out of memory | the medium, if a fresh worker ends on it too: [`MediaError::Crashed`], [`MediaError::DecodeMemory`] | the next medium starts a fresh one |
//! | takes longer than [`WorkerOptions::timeout`] | the medium: [`MediaError::DecodeTimeout`] | it is killed |
//! | panics | the medium: [`MediaError::Panicked`] | it goes on |
//! | cannot be started | no medium: [`Unavailable`] after [`WorkerOptions::launch_patience`] | the service stops |
//!
//! A worker has limits of its own (see [`WorkerOptions::memory`]) and gives up what a decoder does not need: the
//! environment, core dumps, new privileges, and, as far as the kernel's Landlock goes, files and TCP connections. It ends with the
//! process that started it, however that ends. This keeps faults in; it is no wall against somebody who has taken a decoder
//! over, who could still answer with wrong pixels.
//!
//! Text is read here in any case: it needs no decoder ([`media::needs_decoder`]).
//!
//! # Metrics
//!
//! | name | kind | what |
//! | --- | --- | --- |
//! | `sightstream_decode_seconds` | histogram | decoding and resizing one medium, the way to a worker and back included |
//! | `sightstream_decode_workers` | gauge | worker processes |
//! | `sightstream_decode_worker_ends_total{cause}` | counter | workers that ended on a medium: `crashed`, `timeout`, `memory`, `protocol` |
//!
//! and those of [`media`], which workers count and send with their answers.

mod confine;
mod counts;
mod descriptor;
mod pool;
mod process;
mod protocol;
mod readers;
mod reply;
mod stderr;
mod taken;
mod worker;

use std::ffi::OsString;
use std::time::{Duration, Instant};

use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram, histogram};

use crate::error::{MediaError, ModelError};
use crate::fetch::{Content, Fetched};
use crate::media::{self, DecodeLimits, Parts, Question, Reader, Segmentation};
use crate::processor::{FittedMedia, PixelTarget};
use crate::reference::Fragment;
pub use pool::Unavailable;
use pool::WorkerPool;
pub use protocol::DecodeJob;
use readers::ReaderPool;
pub use worker::{WorkerError, run_worker, serve};

const DECODE_SECONDS: &str = "sightstream_decode_seconds";

/// Where media are decoded.
#[derive(Debug, Clone, Default)]
pub enum DecoderIsolation {
    /// In this process: a panic costs one medium, and a crash, a hang or an allocation without end costs the process.
    #[default]
    InProcess,
    /// In worker processes.
    Workers(WorkerOptions),
}

/// How workers are started, and what one may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerOptions {
    /// The executable, by its absolute path, and its arguments. It must call [`run_worker`].
    pub command: Vec<OsString>,
    /// The memory that a worker may have beyond what it starts with, in bytes. Default 1.5 GiB: what the default of
    /// [`DecodeLimits`] can take, and the media's bytes.
    pub memory: usize,
    /// How long one question about a medium may take: decoding an image, a window of a video or a page. Opening a large
    /// file takes a second more for each 64 MiB of it, because all of a video may have to be read to know its frames. Default
    /// 30 s.
    pub timeout: Duration,
    /// How long it is tried to start a worker where the system refuses: a limit of processes or of memory may pass. Default
    /// one minute.
    pub launch_patience: Duration,
}

impl WorkerOptions {
    /// Below this the program itself has no room to work.
    const LEAST_MEMORY: usize = 16 << 20;

    /// The defaults, for this command.
    pub fn new(command: Vec<OsString>) -> Self {
        Self {
            command,
            memory: 1536 << 20,
            timeout: Duration::from_secs(30),
            launch_patience: Duration::from_secs(60),
        }
    }

    fn validate(&self) -> Result<(), ModelError> {
        let refused = |option: &str, message: String| ModelError::Option {
            option: option.into(),
            message,
        };
        if self.memory < Self::LEAST_MEMORY {
            let message = format!("{} bytes; write {} MiB or more", self.memory, Self::LEAST_MEMORY >> 20);
            return Err(refused("decode_memory", message));
        }
        if self.timeout.is_zero() {
            return Err(refused("decode_timeout", "it must be above zero".into()));
        }
        Ok(())
    }
}

/// Why a medium was not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It cannot be.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// Nothing can be, and that is no medium's fault.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Decodes media, and brings images to the size that a checkpoint sees.
#[derive(Debug)]
pub struct Decoder {
    limits: DecodeLimits,
    segmentation: Segmentation,
    target: PixelTarget,
    place: Place,
}

/// Where it is decoded.
#[derive(Debug)]
enum Place {
    InProcess(ReaderPool),
    Workers(WorkerPool),
}

/// What a medium gives, with pixels of the size that a checkpoint sees.
#[derive(Debug, Clone, PartialEq)]
pub enum FittedAnswer {
    /// One input.
    Media(FittedMedia<'static>),
    /// Its parts.
    Parts(Parts),
}

impl Decoder {
    /// A decoder. No worker is started yet.
    ///
    /// # Errors
    /// [`ModelError::Option`] for worker options that cannot be used.
    pub fn new(
        isolation: DecoderIsolation,
        limits: DecodeLimits,
        segmentation: Segmentation,
        target: PixelTarget,
    ) -> Result<Self, ModelError> {
        let place = match isolation {
            DecoderIsolation::InProcess => Place::InProcess(ReaderPool::default()),
            DecoderIsolation::Workers(options) => {
                options.validate()?;
                Place::Workers(WorkerPool::new(options)?)
            }
        };
        Ok(Self {
            limits,
            segmentation,
            target,
            place,
        })
    }

    /// Starts a first worker where there are any, so that a command that cannot be run is found before it is needed.
    ///
    /// A worker ends with the thread that starts it: call this, and [`Decoder::read`], on threads that stay.
    ///
    /// # Errors
    /// [`Unavailable`], at once.
    pub fn warm_up(&self) -> Result<(), Unavailable> {
        match &self.place {
            Place::InProcess(_) => Ok(()),
            Place::Workers(workers) => workers.warm_up(),
        }
    }

    /// Answers a question about a medium: decodes it, or a part of it, or tells its parts. `name` is the redacted reference,
    /// for errors. Blocks.
    ///
    /// # Errors
    /// What [`media::Reader::read`] gives, and what becomes of workers. A panic of a decoder in this process passes through.
    pub fn read(
        &self,
        fetched: &Fetched,
        fragment: Option<&Fragment>,
        question: Question,
        name: &str,
    ) -> Result<FittedAnswer, DecodeError> {
        let started = Instant::now();
        let job = DecodeJob {
            media_type: fetched.media_type.clone(),
            fragment: fragment.copied(),
            question,
            limits: self.limits,
            segmentation: self.segmentation,
            target: self.target,
        };
        let answer = match &self.place {
            Place::InProcess(readers) => readers.read(&job, &fetched.content, name),
            Place::Workers(workers) => match &fetched.content {
                // It needs no decoder.
                Content::Memory(bytes) if !media::needs_decoder(bytes, fetched.media_type.as_deref()) => job
                    .read(&mut Reader::default(), &fetched.content, name)
                    .map_err(DecodeError::Media),
                content => workers.read(&job, content, name),
            },
        };
        histogram!(DECODE_SECONDS).record(started.elapsed().as_secs_f64());
        answer
    }
}

/// Tells the recorder what each metric of this module is.
pub(crate) fn describe_metrics() {
    describe_histogram!(
        DECODE_SECONDS,
        Unit::Seconds,
        "Decoding and resizing one medium, the way to a worker and back included."
    );
    describe_gauge!(pool::WORKERS, Unit::Count, "Processes that decode.");
    describe_counter!(
        pool::WORKER_ENDS,
        Unit::Count,
        "Decoding processes that ended on a medium, by cause: crashed, timeout, memory, protocol."
    );
    media::describe_counters();
}
