//! What threads prepare, in the order in which it is needed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sightstream_model::processor::ModelInput;

use super::{Draw, SkippedRow};
use crate::example::Example;

/// How often who waits looks whether it is to stop: media may take minutes.
const LOOK_FOR_STOP: Duration = Duration::from_millis(200);

/// An example, or why there is none.
pub(super) type Prepared = Result<Example, SkippedRow>;

/// Nothing can be prepared any more: why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unavailable(pub(super) String);

/// Draws that are to be prepared, and those that are.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is work, or there will be none.
    work: Condvar,
    /// Something is ready.
    ready: Condvar,
    most_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they are needed.
    waiting: VecDeque<Draw>,
    /// What threads are at.
    running: HashSet<Draw>,
    /// Those of them that nobody wants any more.
    unwanted: HashSet<Draw>,
    ready: HashMap<Draw, Prepared>,
    /// Of what is ready.
    bytes: usize,
    /// What the caller waits for.
    asked: Option<Draw>,
    is_closed: bool,
    unavailable: Option<Unavailable>,
}

impl Queue {
    /// A queue whose threads pause while more bytes than this are ready, but for what the caller waits for.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            ready: Condvar::new(),
            most_bytes,
        }
    }

    /// Puts draws in line behind what is foreseen.
    pub(super) fn extend(&self, draws: impl IntoIterator<Item = Draw>) {
        let mut state = self.state();
        for draw in draws {
            let is_running = state.unwanted.remove(&draw);
            if !is_running && !state.ready.contains_key(&draw) {
                state.waiting.push_back(draw);
            }
        }
        drop(state);
        self.work.notify_all();
    }

    /// Foresees these draws, in this order, and no others. What is ready or in work of them stays.
    pub(super) fn replace(&self, draws: impl Iterator<Item = Draw> + Clone) {
        let wanted: HashSet<Draw> = draws.clone().collect();
        let mut state = self.state();
        let ready = mem::take(&mut state.ready);
        state.ready = ready.into_iter().filter(|(draw, _)| wanted.contains(draw)).collect();
        state.bytes = state.ready.values().map(bytes).sum();
        state.unwanted = state.running.difference(&wanted).copied().collect();
        let is_open = |draw: &Draw| !state.ready.contains_key(draw) && !state.running.contains(draw);
        state.waiting = draws.filter(is_open).collect();
        drop(state);
        self.work.notify_all();
    }

    /// What came of a draw that is foreseen. Waits for it, or until `stop` is set: then there is none.
    pub(super) fn take(&self, draw: Draw, stop: &AtomicBool) -> Result<Option<Prepared>, Unavailable> {
        let mut state = self.state();
        loop {
            if let Some(prepared) = state.ready.remove(&draw) {
                state.bytes -= bytes(&prepared);
                state.asked = None;
                drop(state);
                self.work.notify_all();
                return Ok(Some(prepared));
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if let Some(unavailable) = &state.unavailable {
                return Err(unavailable.clone());
            }
            if state.asked.replace(draw) != Some(draw) {
                self.work.notify_all();
            }
            let waited = self.ready.wait_timeout(state, LOOK_FOR_STOP);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Prepares until the queue is closed, or nothing can be prepared.
    pub(super) fn work(&self, prepare: impl Fn(Draw) -> Result<Prepared, Unavailable>) {
        while let Some(draw) = self.next() {
            let outcome = prepare(draw);
            let mut state = self.state();
            state.running.remove(&draw);
            let is_unwanted = state.unwanted.remove(&draw);
            match outcome {
                Ok(_) if is_unwanted => {}
                Ok(prepared) => {
                    state.bytes += bytes(&prepared);
                    state.ready.insert(draw, prepared);
                }
                Err(unavailable) => state.unavailable = Some(unavailable),
            }
            drop(state);
            self.ready.notify_all();
        }
    }

    /// Lets the threads end.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.work.notify_all();
    }

    /// What to prepare next.
    fn next(&self) -> Option<Draw> {
        let mut state = self.state();
        loop {
            if state.is_closed || state.unavailable.is_some() {
                return None;
            }
            let has_room = state.bytes < self.most_bytes;
            let next = state.waiting.front().copied();
            if let Some(draw) = next.filter(|_| has_room || next == state.asked) {
                state.waiting.pop_front();
                state.running.insert(draw);
                return Some(draw);
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing that holds this lock leaves it half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(prepared: &Prepared) -> usize {
    let of = |input: &ModelInput| {
        let patches = input.vision.as_ref().map_or(0, |vision| vision.patches.len());
        (input.token_ids.len() + patches) * size_of::<f32>()
    };
    match prepared {
        Ok(Example { query, targets, .. }) => of(query) + targets.iter().map(of).sum::<usize>(),
        Err(_) => 0,
    }
}
