//! The device thread: one batch at a time, and one bad input fails alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::flight::Outcome;
use super::metrics::{self, BusyClock, Stage};
use super::queue::{Batch, Next, Queue};
use super::{EmbedError, panic_message};
use crate::encoder::Encoder;
use crate::error::ModelError;
use crate::processor::ModelInput;

/// What turns prepared inputs into vectors. It lives on the device thread, and is dropped there.
pub trait Backend: Send + 'static {
    /// One vector of [`Backend::dimension`] numbers for each input, in their order. An error fails the whole batch; the
    /// service then tries its inputs one by one.
    fn encode(&mut self, inputs: &[ModelInput]) -> Result<Vec<Vec<f32>>, ModelError>;

    /// The length of every vector.
    fn dimension(&self) -> usize;

    /// The checkpoint's name, for people.
    fn model_name(&self) -> &str;

    /// What two encoders share only if they give the same vectors.
    fn fingerprint(&self) -> &str;
}

impl Backend for Encoder {
    fn encode(&mut self, inputs: &[ModelInput]) -> Result<Vec<Vec<f32>>, ModelError> {
        Encoder::encode(self, inputs)
    }

    fn dimension(&self) -> usize {
        Encoder::dimension(self)
    }

    fn model_name(&self) -> &str {
        Encoder::model_name(self)
    }

    fn fingerprint(&self) -> &str {
        Encoder::fingerprint(self)
    }
}

/// Starts the device thread. It ends when the queue is closed, after the batch it is at.
pub(super) fn spawn(backend: impl Backend, queue: Arc<Queue>) -> Result<(), ModelError> {
    let mut device = Device {
        backend,
        busy: BusyClock::start(),
    };
    thread::Builder::new()
        .name("sightstream-device".into())
        .spawn(move || device.run(&queue))
        .map(drop)
        .map_err(|error| ModelError::Device(format!("the device thread does not start: {error}")))
}

struct Device<B> {
    backend: B,
    busy: BusyClock,
}

impl<B: Backend> Device<B> {
    fn run(&mut self, queue: &Queue) {
        loop {
            match queue.next(BusyClock::WINDOW) {
                Next::Batch(batch) => self.encode(batch),
                Next::Idle => {}
                Next::Closed => return,
            }
            self.busy.publish(Instant::now());
        }
    }

    fn encode(&mut self, batch: Batch) {
        metrics::batch(batch.inputs.len(), batch.tokens);
        let started = Instant::now();
        for waiting in &batch.waiting {
            metrics::stage(Stage::Queue, started.duration_since(waiting.queued_at));
        }
        let outcomes = self.outcomes(&batch.inputs);
        let took = started.elapsed();
        self.busy.add(took);
        tracing::debug!(
            inputs = batch.inputs.len(),
            tokens = batch.tokens,
            ?took,
            "encoded a batch"
        );
        for (waiting, outcome) in batch.waiting.into_iter().zip(outcomes) {
            metrics::stage(Stage::Device, took);
            waiting.answer(outcome);
        }
    }

    /// One outcome for each input: together if that goes well, else one by one.
    fn outcomes(&mut self, inputs: &[ModelInput]) -> Vec<Outcome> {
        match self.forward(inputs) {
            Ok(vectors) => vectors.into_iter().map(|vector| self.checked(vector)).collect(),
            Err(message) if inputs.len() == 1 => {
                tracing::error!(message, "the device failed on an input");
                vec![Err(EmbedError::Device(message))]
            }
            Err(message) => {
                tracing::warn!(
                    inputs = inputs.len(),
                    message,
                    "the device failed on a batch: its inputs go one by one"
                );
                inputs
                    .iter()
                    .flat_map(|input| self.outcomes(slice::from_ref(input)))
                    .collect()
            }
        }
    }

    /// One vector for each input, or what the backend said, panics included.
    fn forward(&mut self, inputs: &[ModelInput]) -> Result<Vec<Vec<f32>>, String> {
        let vectors = catch_unwind(AssertUnwindSafe(|| self.backend.encode(inputs)))
            .map_err(|panic| format!("the encoder panicked: {}", panic_message(&*panic)))?
            .map_err(|error| error.to_string())?;
        if vectors.len() == inputs.len() {
            Ok(vectors)
        } else {
            Err(format!(
                "the encoder gave {} vectors for {} inputs",
                vectors.len(),
                inputs.len()
            ))
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
