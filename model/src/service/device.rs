//! The device thread: one batch at a time. One bad input fails alone; a lost device ends the service.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::EmbedError;
use super::flight::{Flights, Outcome};
use super::metrics::{self, BusyClock, Stage};
use super::queue::{Batch, Next, Queue};
use super::watch::DeviceWatch;
use crate::error::{ModelError, panic_message};
use crate::processor::ModelInput;

/// What turns prepared inputs into vectors. It lives on the device thread, and is dropped there.
pub trait Backend: Send + 'static {
    /// One vector of [`Backend::dimension`] numbers for each input, in their order. An error fails the whole batch; the
    /// service then tries its inputs one by one.
    ///
    /// After a failure of a lone input, other than [`ModelError::Input`], a single token with the id 0 is encoded, to see
    /// whether the device still works.
    fn encode(&mut self, inputs: &[ModelInput]) -> Result<Vec<Vec<f32>>, ModelError>;

    /// Gives up what it holds on the device, because nothing was asked of it for a while.
    fn release(&mut self) {}

    /// Takes again what [`Backend::release`] gave up, before the next batch.
    ///
    /// # Errors
    /// What keeps it from that. The batch then fails with [`EmbedError::Model`], and so do those of the next while, before one
    /// tries again.
    fn restore(&mut self) -> Result<(), ModelError> {
        Ok(())
    }

    /// The length of every vector.
    fn dimension(&self) -> usize;

    /// The checkpoint's name, for people.
    fn model_name(&self) -> &str;

    /// What two encoders share only if they give the same vectors.
    fn fingerprint(&self) -> &str;
}

/// Starts the device thread. It ends when the queue is closed, after the batch it is at; or when the device is lost, and
/// then stops the flights and closes the queue itself.
pub(super) fn spawn(
    backend: impl Backend,
    queue: Arc<Queue>,
    flights: Arc<Flights>,
    idle_release: Option<Duration>,
) -> Result<DeviceWatch, ModelError> {
    let watch = DeviceWatch::new();
    metrics::model_loaded(true);
    let mut device = Device {
        backend,
        busy: BusyClock::start(),
        watch: watch.clone(),
        idle_release,
        used: Instant::now(),
        refusal: None,
    };
    thread::Builder::new()
        .name("sightstream-device".into())
        .spawn(move || device.run(&queue, &flights))
        .map_err(|error| ModelError::Device(format!("the device thread does not start: {error}")))?;
    Ok(watch)
}

/// How long the queue is waited for at least before the model may be given up: a shorter wait is a thread that spins.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(100);

struct Device<B> {
    backend: B,
    busy: BusyClock,
    watch: DeviceWatch,
    idle_release: Option<Duration>,
    /// When a request was last seen.
    used: Instant,
    /// Why the model could not be loaded again when that was tried last.
    refusal: Option<Refusal>,
}

/// The wait after a model could not be loaded again for the first time, and the longest one. Loading takes the device thread,
/// and reads a checkpoint of gigabytes.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A model that could not be loaded again.
struct Refusal {
    failure: String,
    wait: Duration,
    /// When it is tried again.
    not_before: Instant,
}

impl Refusal {
    /// With twice the wait of the one before.
    fn after(before: Option<&Self>, failure: String, now: Instant) -> Self {
        let wait = before.map_or(FIRST_WAIT, |before| (before.wait * 2).min(LONGEST_WAIT));
        Self {
            failure,
            wait,
            not_before: now + wait,
        }
    }
}

/// Why a forward pass gave nothing.
enum Failure {
    /// An input contradicts itself. The device did nothing.
    Input(String),
    /// An error of the tensor library or the driver, or a panic: of this input, or of a device that is lost.
    Device(String),
}

impl Failure {
    fn message(&self) -> &str {
        let (Self::Input(message) | Self::Device(message)) = self;
        message
    }
}

/// The device encodes nothing any more.
struct Lost(String);

/// Tells of it. What all requests get from then on.
fn stopped(Lost(message): &Lost) -> EmbedError {
    metrics::model_loaded(false);
    tracing::error!(message, "the device is lost: the embedding service stops");
    EmbedError::Stopped(format!("the device is lost: {message}"))
}

/// An input that every checkpoint can encode: one token of text.
fn known_good() -> ModelInput {
    ModelInput {
        token_ids: vec![0],
        vision: None,
    }
}

impl<B: Backend> Device<B> {
    fn run(&mut self, queue: &Queue, flights: &Flights) {
        let patience = self.idle_release.unwrap_or(BusyClock::WINDOW);
        let patience = patience.clamp(SHORTEST_PATIENCE, BusyClock::WINDOW);
        loop {
            let lost = match queue.next(patience) {
                Next::Batch(batch) => {
                    let encoded = self.encode(batch);
                    self.used = Instant::now();
                    encoded
                }
                Next::Idle if flights.is_empty() => self.rest(),
                // It is fetched or preprocessed, and will want the model.
                Next::Idle => {
                    self.used = Instant::now();
                    Ok(())
                }
                Next::Closed => return,
            };
            if let Err(stopped) = lost {
                flights.stop(&stopped);
                queue.close();
                return;
            }
            self.busy.publish(Instant::now());
        }
    }

    /// Gives the model up, if no request came for long enough. The error is that of a device that is lost.
    fn rest(&mut self) -> Result<(), EmbedError> {
        let Some(after) = self.idle_release.filter(|&after| self.used.elapsed() >= after) else {
            return Ok(());
        };
        if self.watch.is_released() {
            return Ok(());
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.backend.release())) {
            let panic = panic_message(&*panic);
            return Err(stopped(&Lost(format!("giving the model up panicked: {panic}"))));
        }
        self.watch.set_released(true);
        metrics::model_loaded(false);
        tracing::info!(?after, "no request came: the model is given up until the next one");
        Ok(())
    }

    /// Takes the model again, where it was given up.
    fn restore(&mut self) -> Result<(), EmbedError> {
        if !self.watch.is_released() {
            return Ok(());
        }
        let started = Instant::now();
        if let Some(refusal) = self.refusal.as_ref().filter(|refusal| started < refusal.not_before) {
            return Err(EmbedError::Model(refusal.failure.clone()));
        }
        let restored = catch_unwind(AssertUnwindSafe(|| self.backend.restore()));
        let failure = match restored {
            Ok(Ok(())) => {
                self.refusal = None;
                self.watch.set_released(false);
                metrics::model_loaded(true);
                tracing::info!(took = ?started.elapsed(), "the model is loaded again");
                return Ok(());
            }
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("loading it panicked: {}", panic_message(&*panic)),
        };
        let refusal = Refusal::after(self.refusal.as_ref(), failure.clone(), Instant::now());
        tracing::error!(
            failure,
            wait = ?refusal.wait,
            "the model cannot be loaded again; the first request after the wait tries it once more"
        );
        self.refusal = Some(refusal);
        Err(EmbedError::Model(failure))
    }

    /// Encodes a batch and answers who waits for it. On a lost device all of them get the error that ends the service.
    fn encode(&mut self, batch: Batch) -> Result<(), EmbedError> {
        metrics::batch(batch.inputs.len(), batch.tokens);
        let started = Instant::now();
        for waiting in &batch.waiting {
            metrics::stage(Stage::Queue, started.duration_since(waiting.asked_at));
        }
        self.watch.begin();
        let restored = self.restore();
        let outcomes = match &restored {
            Ok(()) => self.outcomes(&batch.inputs),
            Err(failure) => Ok(batch.inputs.iter().map(|_| Err(failure.clone())).collect()),
        };
        self.watch.end();
        let took = started.elapsed();
        self.busy.add(took);
        tracing::debug!(
            inputs = batch.inputs.len(),
            tokens = batch.tokens,
            ?took,
            "encoded a batch"
        );
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(lost) => {
                let stopped = stopped(&lost);
                for waiting in batch.waiting {
                    waiting.answer(Err(stopped.clone()));
                }
                return Err(stopped);
            }
        };
        for (waiting, outcome) in batch.waiting.into_iter().zip(outcomes) {
            metrics::stage(Stage::Device, took);
            waiting.answer(outcome);
        }
        Ok(())
    }

    /// One outcome for each input: together if that goes well, else one by one.
    fn outcomes(&mut self, inputs: &[ModelInput]) -> Result<Vec<Outcome>, Lost> {
        match self.forward(inputs) {
            Ok(vectors) => Ok(vectors.into_iter().map(|vector| self.checked(vector)).collect()),
            Err(failure) if inputs.len() == 1 => Ok(vec![Err(self.of_one_input(failure)?)]),
            Err(failure) => {
                tracing::warn!(
                    inputs = inputs.len(),
                    message = failure.message(),
                    "the device failed on a batch: its inputs go one by one"
                );
                let mut outcomes = Vec::with_capacity(inputs.len());
                for input in inputs {
                    outcomes.append(&mut self.outcomes(slice::from_ref(input))?);
                }
                Ok(outcomes)
            }
        }
    }

    /// What a lone input's failure means: that input's error if the device can still encode another. Else all inputs after
    /// it would fail likewise, and end as dead letters of their own.
    fn of_one_input(&mut self, failure: Failure) -> Result<EmbedError, Lost> {
        if let Failure::Device(message) = &failure
            && let Err(Failure::Device(again)) = self.forward(&[known_good()])
        {
            return Err(Lost(format!("{message}; and then, on a single token: {again}")));
        }
        let (Failure::Input(message) | Failure::Device(message)) = failure;
        tracing::error!(message, "the device failed on an input");
        Ok(EmbedError::Device(message))
    }

    /// One vector for each input, or what the backend said, panics included.
    fn forward(&mut self, inputs: &[ModelInput]) -> Result<Vec<Vec<f32>>, Failure> {
        let vectors = catch_unwind(AssertUnwindSafe(|| self.backend.encode(inputs)))
            .map_err(|panic| Failure::Device(format!("the encoder panicked: {}", panic_message(&*panic))))?
            .map_err(|error| match error {
                ModelError::Input { .. } => Failure::Input(error.to_string()),
                _ => Failure::Device(error.to_string()),
            })?;
        if vectors.len() == inputs.len() {
            Ok(vectors)
        } else {
            Err(Failure::Device(format!(
                "the encoder gave {} vectors for {} inputs",
                vectors.len(),
                inputs.len()
            )))
        }
    }

    fn checked(&self, vector: Vec<f32>) -> Outcome {
        let dimension = self.backend.dimension();
        if vector.len() != dimension {
            let message = format!(
                "the encoder gave a vector of {} numbers instead of {dimension}",
                vector.len()
            );
            return Err(EmbedError::Device(message));
        }
        match vector.iter().find(|number| !number.is_finite()) {
            Some(number) => Err(EmbedError::Device(format!(
                "the encoder gave a vector that holds {number}"
            ))),
            None => Ok(vector.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::{DeviceChoice, Encoder, EncoderOptions};

    #[test]
    fn a_checkpoint_encodes_the_known_good_input() {
        let options = EncoderOptions {
            device: DeviceChoice::Cpu,
            ..EncoderOptions::default()
        };
        let encoder = Encoder::load(&options).expect("the demo checkpoint is built in");
        let vectors = encoder.encode(&[known_good()]).expect("encoded");
        assert_eq!(vectors[0].len(), encoder.dimension());
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let now = Instant::now();
        let mut refusal = Refusal::after(None, "out of memory".into(), now);
        let mut waits = Vec::new();
        for _ in 0..8 {
            waits.push(refusal.wait.as_secs());
            assert_eq!(refusal.not_before, now + refusal.wait);
            refusal = Refusal::after(Some(&refusal), "out of memory".into(), now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
