//! One request's way through the stages, as a task of the service's runtime.
//!
//! Every place a request takes up (in flight, fetch, CPU, room in the queue) is a permit that its task holds, so that ending
//! the task frees all of them. Each stage takes the next one's permit before it gives its own back: that is the push-back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, oneshot};

use super::flight::{Flight, Flights, Outcome, Vector};
use super::metrics::{self, Stage};
use super::part_vectors::{PartVectorKey, PartVectors};
use super::prepare::{Prepare, Prepared, input_cost, too_many_tokens};
use super::queue::Queue;
use super::request::{PartKey, Request};
use super::whole::Wholes;
use super::{EmbedError, ServiceOptions};
use crate::error::{MediaError, ModelError, panic_message};
use crate::fetch::{FetchPlace, FetchPlaces, Fetched};
use crate::media::Parts;
use crate::processor::ModelInput;
use crate::reference::{Fragment, MediaReference, is_data};

/// The stages, and the places in each.
pub(super) struct Pipeline {
    pub(super) flights: Arc<Flights>,
    pub(super) listings: Flights<Listing>,
    pub(super) wholes: Wholes,
    part_vectors: PartVectors,
    pub(super) queue: Arc<Queue>,
    prepare: Arc<dyn Prepare>,
    in_flight: Semaphore,
    fetching: FetchPlaces,
    max_input_tokens: usize,
    preprocessing: Arc<Semaphore>,
    cpu_pool: rayon::ThreadPool,
}

/// The parts of a medium; none of what is one input.
pub(super) type Listing = Arc<[Fragment]>;

/// What the stages make of a request.
enum Landing {
    Vector(Vector),
    /// A medium that is whole in its parts only.
    Parts(MediaReference, Parts),
}

/// Removes a flight when its task ends, however it ends.
struct Airborne<'a, T> {
    flights: &'a Flights<T>,
    flight: &'a Arc<Flight<T>>,
}

impl<T> Drop for Airborne<'_, T> {
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
            listings: Flights::default(),
            wholes: Wholes::new(options),
            part_vectors: PartVectors::new(options.part_vector_bytes),
            prepare,
            in_flight: Semaphore::new(options.max_in_flight),
            fetching: FetchPlaces::new(options.fetch_concurrency, options.fetched_bytes),
            max_input_tokens: options.max_input_tokens.unwrap_or(usize::MAX),
            preprocessing: Arc::new(Semaphore::new(options.preprocess_threads)),
            cpu_pool,
        })
    }

    /// [`Pipeline::fly`] for whoever is on this way itself.
    pub(super) fn launch(self: Arc<Self>, flight: Arc<Flight>) -> BoxFuture<'static, ()> {
        self.fly(flight).boxed()
    }

    /// Flies the flight of a vector to its end: an outcome, or all its callers gone.
    pub(super) async fn fly(self: Arc<Self>, flight: Arc<Flight>) {
        let work = self.outcome(&flight);
        fly(&self.flights, &flight, work, |outcome| match outcome {
            None => metrics::input_cancelled(),
            Some(Ok(_)) => metrics::input_ok(),
            Some(Err(error)) => metrics::input_failed(error.reason()),
        })
        .await;
    }

    /// Flies the flight of a listing to its end.
    pub(super) async fn list(self: Arc<Self>, flight: Arc<Flight<Listing>>) {
        fly(&self.listings, &flight, self.listing(&flight), |_| ()).await;
    }

    async fn outcome(self: &Arc<Self>, flight: &Arc<Flight>) -> Outcome {
        let landing = {
            let _in_flight = acquire(&self.in_flight).await;
            // Boxed, so that a request that still waits for its place is small.
            Box::pin(self.stages(flight)).await?
        };
        match landing {
            Landing::Vector(vector) => Ok(vector),
            Landing::Parts(reference, parts) if reference.fragment().is_none() => {
                Box::pin(self.whole(flight.request(), &reference, parts)).await
            }
            Landing::Parts(reference, _) => Err(EmbedError::Media(MediaError::Unsupported {
                name: reference.to_string(),
                message: "a part has no parts of its own".into(),
            })),
        }
    }

    async fn stages(&self, flight: &Arc<Flight>) -> Result<Landing, EmbedError> {
        let request = flight.request();
        let (reference, fetched, fetching) = self.fetched(request, flight.reference()).await?;
        let key = part_vector_key(request, &fetched);
        if let Some(vector) = key.as_ref().and_then(|key| self.part_vectors.get(key)) {
            metrics::part_vector_shared();
            return Ok(Landing::Vector(vector));
        }
        let instruction = request.instruction().cloned();
        let (prepared, preprocessing) = self
            .preprocess(&reference, fetched, fetching, move |prepare, reference, fetched| {
                prepare.prepare(reference, fetched, instruction.as_deref())
            })
            .await?;
        let input = match prepared {
            Prepared::Input(input) => input,
            Prepared::Parts(parts) => return Ok(Landing::Parts(reference, parts)),
        };
        let vector = self.encode(flight, input, preprocessing, &reference).await?;
        if request.part().is_some() {
            metrics::part_vector_computed();
        }
        if let Some(key) = key {
            self.part_vectors.insert(key, Arc::clone(&vector));
        }
        Ok(Landing::Vector(vector))
    }

    /// What parts the medium has.
    async fn listing(&self, flight: &Flight<Listing>) -> Outcome<Listing> {
        let _in_flight = acquire(&self.in_flight).await;
        let (reference, fetched, fetching) = self.fetched(flight.request(), None).await?;
        let (parts, _preprocessing) = self
            .preprocess(&reference, fetched, fetching, |prepare, reference, fetched| {
                prepare.parts(reference, fetched)
            })
            .await?;
        Ok(self.wholes.fragments(parts, &reference)?.collect())
    }

    /// What `request` names, and its medium with the place that it holds.
    async fn fetched(
        &self,
        request: &Request,
        known: Option<&MediaReference>,
    ) -> Result<(MediaReference, Fetched, FetchPlace), MediaError> {
        let mut place = self.fetching.place();
        let reference = match known {
            Some(known) => known.clone(),
            None => {
                if is_data(request.text()) {
                    // Parsing it decodes the medium.
                    place.take().await;
                }
                self.prepare.parse(request.text())?
            }
        };
        let fetched = self.fetch(&reference, &mut place).await?;
        place.holds(fetched.content.in_memory());
        Ok((reference, fetched, place))
    }

    /// The vector of an input, from the device. `preprocessing` is its place until it is in the queue.
    async fn encode(
        &self,
        flight: &Arc<Flight>,
        input: ModelInput,
        preprocessing: OwnedSemaphorePermit,
        reference: &MediaReference,
    ) -> Outcome {
        let tokens = input_cost(&input);
        if tokens > self.max_input_tokens {
            return Err(too_many_tokens(tokens, self.max_input_tokens, reference.to_string()).into());
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

    /// Does `work` on the CPU pool: decoding and preprocessing. The permit goes with the job and comes back with its result:
    /// a job whose callers went away keeps its thread until it ends, and so its permit too.
    async fn preprocess<R: Send + 'static>(
        &self,
        reference: &MediaReference,
        fetched: Fetched,
        fetching: FetchPlace,
        work: impl FnOnce(&dyn Prepare, &MediaReference, Fetched) -> Result<R, EmbedError> + Send + 'static,
    ) -> Result<(R, OwnedSemaphorePermit), EmbedError> {
        let permit = acquire_owned(&self.preprocessing).await;
        let share = fetching.leave();
        let (reply, prepared) = oneshot::channel();
        let (prepare, reference) = (Arc::clone(&self.prepare), reference.clone());
        self.cpu_pool.spawn(move || {
            if reply.is_closed() {
                return;
            }
            let started = Instant::now();
            // The bytes' share goes back when they are decoded.
            let _share = share;
            let work = AssertUnwindSafe(|| work(&*prepare, &reference, fetched));
            let done = catch_unwind(work).unwrap_or_else(|panic| Err(panicked(&reference, &*panic).into()));
            metrics::stage(Stage::Preprocess, started.elapsed());
            // A closed channel is a caller that went away: nobody is left to tell.
            let _ = reply.send(done.map(|done| (done, permit)));
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
        self.listings.stop(error);
        self.queue.close();
    }
}

/// Flies a flight to its end, and tells what that was: `None` where all its callers are gone.
async fn fly<T: Clone>(
    flights: &Flights<T>,
    flight: &Arc<Flight<T>>,
    work: impl Future<Output = Outcome<T>>,
    tell: impl FnOnce(Option<&Outcome<T>>),
) {
    let _airborne = Airborne { flights, flight };
    let mut work = pin!(work);
    let outcome = loop {
        tokio::select! {
            biased;
            () = flight.unwanted() => {
                if flights.abandon(flight) {
                    tell(None);
                    return;
                }
            }
            outcome = &mut work => break outcome,
        }
    };
    tell(Some(&outcome));
    flights.land(flight, outcome);
}

/// As which the vector of a part is remembered, where the content can be told from others.
fn part_vector_key(request: &Request, fetched: &Fetched) -> Option<PartVectorKey> {
    Some(PartVectorKey {
        content: fetched.content.identity()?,
        part: PartKey::from(request.part()?),
        instruction: request.instruction().cloned(),
    })
}

async fn acquire(semaphore: &Semaphore) -> SemaphorePermit<'_> {
    semaphore
        .acquire()
        .await
        .expect("the service's semaphores are never closed")
}

pub(super) async fn acquire_many(semaphore: &Semaphore, permits: usize) -> SemaphorePermit<'_> {
    let permits = u32::try_from(permits).unwrap_or(u32::MAX);
    let acquired = semaphore.acquire_many(permits).await;
    acquired.expect("the service's semaphores are never closed")
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
