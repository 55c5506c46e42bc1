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
//! There is no result cache: an equal request after completion is encoded again. But the vectors of parts are kept for a while.
//!
//! # Wholes with parts
//!
//! A long video and a document of several pages are no input of their own. Each window or page is a request like all others,
//! in the same batches and shared with whoever else asks for it, and their vectors are merged ([`Merge`]). Parts that
//! cannot be decoded are left out, if at least half of them have vectors.
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
//! | `sightstream_inputs_total{outcome,reason}` | counter | distinct inputs, a whole and each of its parts one: `ok`, `failed` with [`EmbedError::reason`], `cancelled` |
//! | `sightstream_coalesced_total` | counter | calls that shared the work of an equal one in flight |
//! | `sightstream_part_vectors_total{outcome}` | counter | vectors of parts that were asked for: `computed`, `shared` |
//! | `sightstream_model_loaded` | gauge | 0 while the model is given up, because no request came for `idle_release`, or its device is lost |
//! | `sightstream_parts_failed_total{reason}` | counter | parts without a vector while their whole was embedded |

mod device;
mod flight;
mod metrics;
mod options;
mod part_vectors;
mod pipeline;
mod prepare;
mod queue;
mod request;
mod resident;
mod watch;
mod whole;

use std::fmt;
use std::sync::Arc;

use tokio::runtime::{self, Runtime};

pub use device::Backend;
pub use options::{Merge, ServiceOptions};
pub use prepare::{Prepare, Prepared, input_cost};
pub use watch::DeviceWatch;

use crate::encoder::Encoder;
use crate::error::{MediaError, ModelError};
use crate::fetch::Fetcher;
use crate::isolation::Decoder;
use crate::processor::PixelTarget;
use crate::reference::{MediaReference, one_line, part_address, split_part};
use pipeline::Pipeline;
use prepare::{MediaPrepare, Reading};
use request::Request;
use resident::Resident;

/// Why a request has no vector. `Clone`, because every caller of a shared request gets it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// The medium cannot be fetched, decoded or given to the model.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// Too many parts of the medium cannot be decoded.
    #[error("{failed} of {parts} parts have no vector, first {first}")]
    Parts {
        /// How many, as far as they were tried.
        failed: usize,
        /// How many there are.
        parts: usize,
        /// Why the first of them has none.
        first: Box<MediaError>,
    },
    /// The model, which was given up while no request came, cannot be loaded again. It says nothing about the input. A later
    /// request tries it once more, after a wait of a second that doubles up to a minute; those before it get this error at once.
    #[error("the model cannot be loaded: {0}")]
    Model(String),
    /// The encoder failed on this input, tried alone.
    #[error("the encoder failed: {0}")]
    Device(String),
    /// The service ended before the request did, because it was told to, or because its device or its decoders are lost.
    /// It says nothing about the input, and every later request ends the same way.
    #[error("the embedding service has stopped: {0}")]
    Stopped(String),
}

impl EmbedError {
    /// A short label for metrics and dead letters: the [`MediaError::reason`], `model`, `device` or `stopped`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Media(error) => error.reason(),
            Self::Parts { first, .. } => first.reason(),
            Self::Model(_) => "model",
            Self::Device(_) => "device",
            Self::Stopped(_) => "stopped",
        }
    }

    /// The service was told to stop.
    fn shut_down() -> Self {
        Self::Stopped("it was shut down".into())
    }
}

/// The most bytes of the addresses of one medium's parts: each repeats the medium's own, which may hold the medium.
const MOST_LISTED: usize = 16 << 20;

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

/// What a service tells of its model.
struct Model {
    dimension: usize,
    name: String,
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
            reading: Reading { fetcher, decoder },
            processor,
            max_input_tokens: options.max_input_tokens.unwrap_or(usize::MAX),
        };
        Self::from_parts(Resident::new(encoder), prepare, options)
    }

    /// Starts a service that has no model: it lists [`EmbeddingService::segments`], and embeds nothing
    /// ([`EmbedError::Model`]).
    ///
    /// # Errors
    ///
    /// As [`EmbeddingService::start`].
    pub fn without_model(fetcher: Fetcher, options: ServiceOptions) -> Result<Self, ModelError> {
        // No pixels are made.
        let target = PixelTarget {
            factor: 1,
            min_pixels: 1,
            max_pixels: 1,
        };
        let decoder = Decoder::new(
            options.decoder.clone(),
            options.decode_limits,
            options.segmentation,
            target,
        )?;
        let model = Model {
            dimension: 0,
            name: "none".to_owned(),
            fingerprint: "none".to_owned(),
        };
        // Nothing is ever queued for a device.
        Self::assemble(model, Reading { fetcher, decoder }, options, |_| Ok(DeviceWatch::new()))
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
        let model = Model {
            dimension: backend.dimension(),
            name: backend.model_name().to_owned(),
            fingerprint: backend.fingerprint().to_owned(),
        };
        let idle_release = options.idle_release;
        Self::assemble(model, prepare, options, |pipeline| {
            device::spawn(
                backend,
                Arc::clone(&pipeline.queue),
                Arc::clone(&pipeline.flights),
                idle_release,
            )
        })
    }

    /// The service around `prepare`, and the device that `spawn` starts.
    fn assemble(
        model: Model,
        prepare: impl Prepare,
        options: ServiceOptions,
        spawn: impl FnOnce(&Pipeline) -> Result<DeviceWatch, ModelError>,
    ) -> Result<Self, ModelError> {
        options.validate()?;
        metrics::describe();
        let Model {
            dimension,
            name: model_name,
            fingerprint,
        } = model;
        let fingerprint = options
            .merge
            .fingerprint(&options.segmentation.fingerprint(&fingerprint));
        let pipeline = Arc::new(Pipeline::new(Arc::new(prepare), &options)?);
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("sightstream-fetch")
            .enable_all()
            .build()
            .map_err(|error| ModelError::Device(format!("the fetch threads do not start: {error}")))?;
        let device = spawn(&pipeline)?;
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
        let request = Request::new(url, instruction);
        let is_part = request.part().is_some();
        let pipeline = &self.inner.pipeline;
        let (seat, flight) = pipeline.flights.join(request, None)?;
        match flight {
            Some(flight) => self.spawn(Arc::clone(pipeline).fly(flight))?,
            None => {
                metrics::coalesced();
                if is_part {
                    metrics::part_vector_shared();
                }
            }
        }
        seat.outcome().await
    }

    /// The references of what a medium consists of, each to be embedded alone: the windows of a long video
    /// (`video.mp4#t=0,30`), the pages of a document (`report.pdf#page=1`), and else the reference itself, as it is where it
    /// names a part already. They begin as `url` does, whatever stands in it.
    ///
    /// Equal requests in flight are answered once. Runs on any executor; dropping the future frees its place.
    ///
    /// # Errors
    /// [`EmbedError`], for this medium alone; [`EmbedError::Stopped`] for all. What is no video and no document is not
    /// decoded for this. A path with a line break is refused: its parts could not stand in lines.
    pub async fn segments(&self, url: &str) -> Result<Vec<String>, EmbedError> {
        let url = &*one_line(url).map_err(EmbedError::Media)?;
        let (address, part) = split_part(url);
        if part.is_some() {
            return Ok(vec![url.to_owned()]);
        }
        let pipeline = &self.inner.pipeline;
        let (seat, flight) = pipeline.listings.join(Request::new(url, None), None)?;
        if let Some(flight) = flight {
            self.spawn(Arc::clone(pipeline).list(flight))?;
        }
        let parts = seat.outcome().await?;
        if address.len().saturating_mul(parts.len()) > MOST_LISTED {
            let message = format!(
                "its {} parts would be told by {} bytes of addresses each; put it where it has a short address",
                parts.len(),
                address.len()
            );
            return Err(EmbedError::Media(MediaError::TooLarge {
                name: shown(address),
                message,
            }));
        }
        Ok(match parts.is_empty() {
            true => vec![url.to_owned()],
            false => parts.iter().map(|part| part_address(address, part)).collect(),
        })
    }

    fn spawn(&self, flight: impl Future<Output = ()> + Send + 'static) -> Result<(), EmbedError> {
        let runtime = self.inner.runtime.as_ref().ok_or_else(EmbedError::shut_down)?;
        runtime.spawn(flight);
        Ok(())
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

/// A reference as messages show it.
fn shown(reference: &str) -> String {
    MediaReference::parse(reference).map_or_else(|_| String::new(), |reference| reference.to_string())
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
