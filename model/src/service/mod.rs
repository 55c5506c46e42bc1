//! The batched embedding service: many async callers, one device thread.
//!
//! ```text
//! embed(url, instruction)      any number of callers, on any runtime
//!   └ equal requests in flight share one          flight
//!       └ fetch            async, fetch_concurrency at once
//!           └ preprocess   CPU pool, preprocess_threads at once, panics caught
//!               └ queue    queue_tokens at most, else preprocessing waits
//!                   └ device thread: a batch by token budget, input count or max_wait
//! ```
//!
//! The service brings its own small runtime for the fetches, so that callers on several runtimes (an Arroyo worker has one
//! for each subtask) share one queue, and none of them can take a shared request down with it.
//!
//! One bad input fails alone: a panic in a decoder is that input's [`MediaError::Panicked`](crate::error::MediaError),
//! and a batch that fails on the device is tried again one by one. A device that then fails on a known good input too is
//! lost: the service stops, and every caller gets [`EmbedError::Stopped`]. Dropping the future of
//! [`EmbeddingService::embed`] gives its place up in whichever stage it is, unless another caller waits for the same.
//! There is no result cache: an equal request after completion is encoded again.
//!
//! # Metrics
//!
//! | name | kind | what |
//! | --- | --- | --- |
//! | `sightstream_queue_inputs`, `sightstream_queue_tokens` | gauges | prepared inputs that wait for the device |
//! | `sightstream_batch_inputs`, `sightstream_batch_tokens` | histograms | what a batch held |
//! | `sightstream_device_busy_microseconds_total` | counter | time spent encoding |
//! | `sightstream_device_busy_share` | gauge | share of the last second or longer spent encoding, 0 to 1 |
//! | `sightstream_stage_seconds{stage}` | histogram | time an input spent in `fetch`, `preprocess`, `queue`, `device` |
//! | `sightstream_inputs_total{outcome,reason}` | counter | distinct inputs: `ok`, `failed` with [`EmbedError::reason`], `cancelled` |
//! | `sightstream_coalesced_total` | counter | calls that shared the work of an equal one in flight |

mod device;
mod flight;
mod metrics;
mod options;
mod pipeline;
mod prepare;
mod queue;
mod watch;

use std::fmt;
use std::sync::Arc;

use tokio::runtime::{self, Runtime};

pub use device::Backend;
pub use options::ServiceOptions;
pub use prepare::{Prepare, input_cost};
pub use watch::DeviceWatch;

use crate::encoder::Encoder;
use crate::error::{MediaError, ModelError};
use crate::fetch::Fetcher;
use crate::isolation::Decoder;
use pipeline::Pipeline;
use prepare::MediaPrepare;

/// Why a request has no vector. `Clone`, because every caller of a shared request gets it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// The medium cannot be fetched, decoded or given to the model.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The encoder failed on this input, tried alone.
    #[error("the encoder failed: {0}")]
    Device(String),
    /// The service ended before the request did, because it was told to, or because its device or its decoders are lost.
    /// It says nothing about the input, and every later request ends the same way.
    #[error("the embedding service has stopped: {0}")]
    Stopped(String),
}

impl EmbedError {
    /// A short label for metrics and dead letters: the [`MediaError::reason`], `device` or `stopped`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Media(error) => error.reason(),
            Self::Device(_) => "device",
            Self::Stopped(_) => "stopped",
        }
    }

    /// The service was told to stop.
    fn shut_down() -> Self {
        Self::Stopped("it was shut down".into())
    }
}

/// A handle on the service; clones share it. When the last one is dropped, its threads end.
#[derive(Clone)]
pub struct EmbeddingService {
    inner: Arc<Inner>,
}

struct Inner {
    pipeline: Arc<Pipeline>,
    /// Present until dropped.
    runtime: Option<Runtime>,
    device: DeviceWatch,
    dimension: usize,
    model_name: String,
    fingerprint: String,
}

impl EmbeddingService {
    /// Starts the service's threads around a loaded checkpoint.
    ///
    /// # Errors
    ///
    /// [`ModelError::Option`] for an option out of range, [`ModelError::Device`] if the system gives no threads,
    /// [`ModelError::Decoder`] if no decode worker can be started.
    pub fn start(encoder: Encoder, fetcher: Fetcher, options: ServiceOptions) -> Result<Self, ModelError> {
        let processor = encoder.processor();
        let decoder = Decoder::new(
            options.decoder.clone(),
            options.decode_limits,
            options.segmentation,
            processor.target(),
        )?;
        let prepare = MediaPrepare {
            fetcher,
            decoder,
            processor,
        };
        Self::from_parts(encoder, prepare, options)
    }

    /// [`EmbeddingService::start`] with another encoder, or another way of reading references.
    ///
    /// # Errors
    ///
    /// As [`EmbeddingService::start`].
    pub fn from_parts(
        backend: impl Backend,
        prepare: impl Prepare,
        options: ServiceOptions,
    ) -> Result<Self, ModelError> {
        options.validate()?;
        metrics::describe();
        let (dimension, model_name) = (backend.dimension(), backend.model_name().to_owned());
        let fingerprint = backend.fingerprint().to_owned();
        let pipeline = Arc::new(Pipeline::new(Arc::new(prepare), &options)?);
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("sightstream-fetch")
            .enable_all()
            .build()
            .map_err(|error| ModelError::Device(format!("the fetch threads do not start: {error}")))?;
        let device = device::spawn(backend, Arc::clone(&pipeline.queue), Arc::clone(&pipeline.flights))?;
        tracing::info!(
            model = model_name,
            fingerprint,
            dimension,
            ?options,
            "the embedding service has started"
        );
        let inner = Inner {
            pipeline,
            runtime: Some(runtime),
            device,
            dimension,
            model_name,
            fingerprint,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The vector of a reference: [`EmbeddingService::dimension`] numbers of unit length.
    ///
    /// `instruction`: `None` means the modality's default. Equal requests in flight are encoded once. Runs on any executor;
    /// dropping the future frees its place.
    ///
    /// # Errors
    ///
    /// [`EmbedError`], for this input alone; [`EmbedError::Stopped`] for all.
    pub async fn embed(&self, url: &str, instruction: Option<&str>) -> Result<Arc<[f32]>, EmbedError> {
        let (seat, flight) = self.inner.pipeline.flights.join(url, instruction)?;
        match (flight, &self.inner.runtime) {
            (Some(flight), Some(runtime)) => {
                runtime.spawn(Arc::clone(&self.inner.pipeline).fly(flight));
            }
            (Some(_), None) => return Err(EmbedError::shut_down()),
            (None, _) => metrics::coalesced(),
        }
        seat.outcome().await
    }

    /// Ends the service now: callers that wait, and all later ones, get [`EmbedError::Stopped`]. The device thread ends after
    /// the batch it is at.
    pub fn stop(&self) {
        self.inner.stop();
    }

    /// The length of every vector.
    pub fn dimension(&self) -> usize {
        self.inner.dimension
    }

    /// The checkpoint's name, for people.
    pub fn model_name(&self) -> &str {
        &self.inner.model_name
    }

    /// Looks at the device thread from outside.
    pub fn device(&self) -> DeviceWatch {
        self.inner.device.clone()
    }

    /// What two services share only if they give the same vectors.
    pub fn fingerprint(&self) -> &str {
        &self.inner.fingerprint
    }
}

impl fmt::Debug for EmbeddingService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingService")
            .field("model_name", &self.inner.model_name)
            .field("fingerprint", &self.inner.fingerprint)
            .field("dimension", &self.inner.dimension)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn stop(&self) {
        self.pipeline.stop(&EmbedError::shut_down());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
        if let Some(runtime) = self.runtime.take() {
            // Never blocks, so that the last handle may go anywhere, an async context included.
            runtime.shutdown_background();
        }
    }
}
