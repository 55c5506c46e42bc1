//! One request's way through the stages, as a task of the service's runtime.
//!
//! Every place a request takes up (in flight, fetch, CPU, room in the queue) is a permit that its task holds, so that ending
//! the task frees all of them. Each stage takes the next one's permit before it gives its own back: that is the push-back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, oneshot};

use super::flight::{Flight, Flights, Outcome};
use super::metrics::{self, Stage};
use super::prepare::{Prepare, input_cost};
use super::queue::Queue;
use super::{EmbedError, ServiceOptions};
use crate::error::{MediaError, ModelError, panic_message};
use crate::fetch::{FetchPlace, FetchPlaces, Fetched, Share};
use crate::processor::ModelInput;
use crate::reference::{MediaReference, is_data};

/// The stages, and the places in each.
pub(super) struct Pipeline {
    pub(super) flights: Arc<Flights>,
    pub(super) queue: Arc<Queue>,
    prepare: Arc<dyn Prepare>,
    in_flight: Semaphore,
    fetching: FetchPlaces,
    max_input_tokens: usize,
    preprocessing: Arc<Semaphore>,
    cpu_pool: rayon::ThreadPool,
}

/// Removes a flight when its task ends, however it ends.
struct Airborne<'a> {
    flights: &'a Flights,
    flight: &'a Arc<Flight>,
}

impl Drop for Airborne<'_> {
    fn drop(&mut self) {
        self.flights.forget(self.flight);
    }
}

impl Pipeline {
    pub(super) fn new(prepare: Arc<dyn Prepare>, options: &ServiceOptions) -> Result<Self, ModelError> {
        let flights = Arc::new(Flights::default());
        let cpu_pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.preprocess_threads)
            .thread_name(|index| format!("sightstream-cpu-{index}"))
            .build()
            .map_err(|error| ModelError::Device(format!("the preprocessing threads do not start: {error}")))?;
        cpu_pool.install(|| prepare.warm_up())?;
        Ok(Self {
            queue: Arc::new(Queue::new(options, Arc::clone(&flights))),
            flights,
            prepare,
            in_flight: Semaphore::new(options.max_in_flight),
            fetching: FetchPlaces::new(options.fetch_concurrency, options.fetched_bytes),
            max_input_tokens: options.max_input_tokens.unwrap_or(usize::MAX),
            preprocessing: Arc::new(Semaphore::new(options.preprocess_threads)),
            cpu_pool,
        })
    }

    /// Flies one flight to its end: an outcome, or all its callers gone.
    pub(super) async fn fly(self: Arc<Self>, flight: Arc<Flight>) {
        let _airborne = Airborne {
            flights: &self.flights,
            flight: &flight,
        };
        let mut work = pin!(self.outcome(&flight));
        let outcome = loop {
            tokio::select! {
                biased;
                () = flight.unwanted() => {
                    if self.flights.abandon(&flight) {
                        metrics::input_cancelled();
                        return;
                    }
                }
                outcome = &mut work => break outcome,
            }
        };
        match &outcome {
            Ok(_) => metrics::input_ok(),
            Err(error) => metrics::input_failed(error.reason()),
        }
        self.flights.land(&flight, outcome);
    }

    async fn outcome(&self, flight: &Arc<Flight>) -> Outcome {
        let _in_flight = acquire(&self.in_flight).await;
        // Boxed, so that a request that still waits for its place is small.
        Box::pin(self.stages(flight)).await
    }

    async fn stages(&self, flight: &Arc<Flight>) -> Outcome {
        let mut fetching = self.fetching.place();
        if is_data(flight.url()) {
            // Parsing it decodes the medium.
            fetching.take().await;
        }
        let reference = self.prepare.parse(flight.url())?;
        let fetched = self.fetch(&reference, &mut fetching).await?;
        fetching.holds(fetched.content.in_memory());
        let preprocessing = acquire_owned(&self.preprocessing).await;
        let share = fetching.leave();
        let name = reference.to_string();
        let (input, preprocessing) = self
            .preprocess(flight, reference, (fetched, share), preprocessing)
            .await?;
        let tokens = input_cost(&input);
        if tokens > self.max_input_tokens {
            let message = format!(
                "{tokens} tokens; the memory limit leaves room for {}",
                self.max_input_tokens
            );
            return Err(EmbedError::Media(MediaError::TooLarge { name, message }));
        }
        let asked_at = Instant::now();
        let room = self.queue.room(tokens).await;
        let (_place, outcome) = self.queue.push(flight, input, tokens, asked_at, room);
        drop(preprocessing);
        // The device thread drops the sender only when it ends, or for a flight without callers.
        outcome.await.unwrap_or_else(|_| Err(EmbedError::shut_down()))
    }

    async fn fetch(&self, reference: &MediaReference, place: &mut FetchPlace) -> Result<Fetched, MediaError> {
        let started = Instant::now();
        let fetched = AssertUnwindSafe(self.prepare.fetch(reference, place))
            .catch_unwind()
            .await;
        metrics::stage(Stage::Fetch, started.elapsed());
        fetched.unwrap_or_else(|panic| Err(panicked(reference, &*panic)))
    }

    /// Decodes and preprocesses on the CPU pool. The permit goes with the job and comes back with its result: a job whose
    /// callers went away keeps its thread until it ends, and so its permit too.
    async fn preprocess(
        &self,
        flight: &Arc<Flight>,
        reference: MediaReference,
        (fetched, share): (Fetched, Option<Share>),
        permit: OwnedSemaphorePermit,
    ) -> Result<(ModelInput, OwnedSemaphorePermit), EmbedError> {
        let (reply, prepared) = oneshot::channel();
        let (prepare, flight) = (Arc::clone(&self.prepare), Arc::clone(flight));
        self.cpu_pool.spawn(move || {
            if reply.is_closed() {
                return;
            }
            let started = Instant::now();
            // The bytes' share goes back when they are decoded.
            let _share = share;
            let work = AssertUnwindSafe(|| prepare.prepare(&reference, fetched, flight.instruction()));
            let input = catch_unwind(work).unwrap_or_else(|panic| Err(panicked(&reference, &*panic).into()));
            metrics::stage(Stage::Preprocess, started.elapsed());
            // A closed channel is a caller that went away: nobody is left to tell.
            let _ = reply.send(input.map(|input| (input, permit)));
        });
        let prepared = prepared.await.map_err(|_| EmbedError::shut_down())?;
        if let Err(stopped @ EmbedError::Stopped(_)) = &prepared {
            tracing::error!(%stopped, "the embedding service stops");
            self.stop(stopped);
        }
        prepared
    }

    /// Ends all requests, and lets none start. The device thread ends after the batch it is at.
    pub(super) fn stop(&self, error: &EmbedError) {
        self.flights.stop(error);
        self.queue.close();
    }
}

async fn acquire(semaphore: &Semaphore) -> SemaphorePermit<'_> {
    semaphore
        .acquire()
        .await
        .expect("the service's semaphores are never closed")
}

async fn acquire_owned(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(semaphore)
        .acquire_owned()
        .await
        .expect("the service's semaphores are never closed")
}

fn panicked(reference: &MediaReference, panic: &(dyn std::any::Any + Send)) -> MediaError {
    MediaError::Panicked {
        name: reference.to_string(),
        message: panic_message(panic),
    }
}
