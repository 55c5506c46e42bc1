//! The queue of prepared inputs: it owns batching, and nothing else.
//!
//! Inputs leave in the order they came. Each holds room (tokens of a semaphore) while it waits, which is what pushes back on
//! preprocessing, and can be taken out again when its callers go away.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::ServiceOptions;
use super::flight::{Flight, Flights, Outcome};
use super::metrics;
use crate::processor::ModelInput;

/// When a batch is full.
#[derive(Debug, Clone, Copy)]
struct Limits {
    tokens: usize,
    inputs: usize,
    wait: Duration,
}

/// Prepared inputs between the CPU pool and the device thread.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    room: Arc<Semaphore>,
    room_tokens: usize,
    limits: Limits,
    flights: Arc<Flights>,
}

#[derive(Debug, Default)]
struct State {
    /// In order of arrival, and so of `id`.
    entries: VecDeque<Entry>,
    tokens: usize,
    next_id: u64,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    input: ModelInput,
    tokens: usize,
    flight: Arc<Flight>,
    reply: oneshot::Sender<Outcome>,
    /// When it asked for room.
    asked_at: Instant,
    /// When it got it: what `max_wait` counts from.
    queued_at: Instant,
    /// Given back when the entry leaves the queue, either way.
    _room: OwnedSemaphorePermit,
}

/// Who waits for one vector of a batch.
#[derive(Debug)]
pub(super) struct Waiting {
    /// When the input asked for room in the queue.
    pub(super) asked_at: Instant,
    reply: oneshot::Sender<Outcome>,
}

impl Waiting {
    /// Hands the outcome over, or drops it if the callers went away meanwhile.
    pub(super) fn answer(self, outcome: Outcome) {
        // A closed channel is a caller that went away: nobody is left to tell.
        let _ = self.reply.send(outcome);
    }
}

/// Inputs for one forward pass, and who waits for each.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) inputs: Vec<ModelInput>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) tokens: usize,
}

/// What the device thread does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Encode this.
    Batch(Batch),
    /// No batch in the time given.
    Idle,
    /// End.
    Closed,
}

/// An input's place in the queue: dropping it takes the input out, if the device did not take it first.
#[derive(Debug)]
pub(super) struct Place<'a> {
    queue: &'a Queue,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.remove(self.id);
    }
}

impl Queue {
    pub(super) fn new(options: &ServiceOptions, flights: Arc<Flights>) -> Self {
        let room_tokens = options.effective_queue_tokens();
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            room: Arc::new(Semaphore::new(room_tokens)),
            room_tokens,
            limits: Limits {
                tokens: options.max_batch_tokens,
                inputs: options.max_batch_inputs,
                wait: options.max_wait,
            },
            flights,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while the queue is locked")
    }

    /// Waits until the queue has room for this many tokens; for more than it can hold, until it is empty.
    pub(super) async fn room(&self, tokens: usize) -> OwnedSemaphorePermit {
        let tokens = u32::try_from(tokens.min(self.room_tokens)).expect("validated: the queue's size fits a u32");
        Arc::clone(&self.room)
            .acquire_many_owned(tokens)
            .await
            .expect("the queue's semaphore is never closed")
    }

    /// Appends an input, which asked for its room at `asked_at`. Its outcome comes on the receiver; on a closed queue the receiver fails at once.
    pub(super) fn push(
        &self,
        flight: &Arc<Flight>,
        input: ModelInput,
        tokens: usize,
        asked_at: Instant,
        room: OwnedSemaphorePermit,
    ) -> (Place<'_>, oneshot::Receiver<Outcome>) {
        let (reply, outcome) = oneshot::channel();
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        if !state.closed {
            state.tokens += tokens;
            let flight = Arc::clone(flight);
            state.entries.push_back(Entry {
                id,
                input,
                tokens,
                flight,
                reply,
                asked_at,
                queued_at: Instant::now(),
                _room: room,
            });
            state.report();
            self.changed.notify_one();
        }
        (Place { queue: self, id }, outcome)
    }

    fn remove(&self, id: u64) {
        let mut state = self.lock();
        if let Ok(index) = state.entries.binary_search_by_key(&id, |entry| entry.id)
            && let Some(entry) = state.entries.remove(index)
        {
            state.tokens -= entry.tokens;
            state.report();
        }
    }

    /// The next batch: filled up to the budget, or as full as it got by `max_wait` after its first input came. Inputs whose
    /// callers went away are dropped. Gives up after `patience`. Blocks: for the device thread.
    pub(super) fn next(&self, patience: Duration) -> Next {
        let give_up = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if state.closed {
                return Next::Closed;
            }
            let now = Instant::now();
            let mut wake = give_up;
            if let Some(first) = state.entries.front() {
                let wait_left = self.limits.wait.saturating_sub(now.duration_since(first.queued_at));
                let (inputs, full) = state.fill(&self.limits);
                if full || wait_left.is_zero() {
                    if state.drop_unwanted(inputs, &self.flights) {
                        continue;
                    }
                    return Next::Batch(state.take(inputs));
                }
                wake = now.checked_add(wait_left).map_or(wake, |due| wake.min(due));
            }
            if now >= give_up {
                return Next::Idle;
            }
            let waited = self.changed.wait_timeout(state, wake.saturating_duration_since(now));
            state = waited.expect("nothing panics while the queue is locked").0;
        }
    }

    /// Drops what waits, and sends the device thread home.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.entries.clear();
        state.tokens = 0;
        state.report();
        self.changed.notify_all();
    }
}

impl State {
    /// How many inputs from the front make the next batch, and whether more would not fit.
    fn fill(&self, limits: &Limits) -> (usize, bool) {
        let mut tokens = 0;
        for (index, entry) in self.entries.iter().enumerate() {
            tokens += entry.tokens;
            if tokens > limits.tokens {
                return (index.max(1), true);
            }
            if tokens == limits.tokens || index + 1 == limits.inputs {
                return (index + 1, true);
            }
        }
        (self.entries.len(), false)
    }

    /// Drops those of the first `inputs` entries that nobody waits for: whether there were any.
    fn drop_unwanted(&mut self, inputs: usize, flights: &Flights) -> bool {
        let before = self.entries.len();
        let (mut index, mut tokens) = (0, 0);
        self.entries.retain(|entry| {
            let keep = index >= inputs || !(entry.reply.is_closed() || flights.abandon(&entry.flight));
            index += 1;
            if !keep {
                tokens += entry.tokens;
            }
            keep
        });
        self.tokens -= tokens;
        let dropped = self.entries.len() < before;
        if dropped {
            self.report();
        }
        dropped
    }

    fn take(&mut self, inputs: usize) -> Batch {
        let mut batch = Batch::default();
        for entry in self.entries.drain(..inputs) {
            batch.tokens += entry.tokens;
            batch.inputs.push(entry.input);
            batch.waiting.push(Waiting {
                asked_at: entry.asked_at,
                reply: entry.reply,
            });
        }
        self.tokens -= batch.tokens;
        self.report();
        batch
    }

    fn report(&self) {
        metrics::queue_depth(self.entries.len(), self.tokens);
    }
}
