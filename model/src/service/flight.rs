//! Requests in flight: equal ones share one flight, and a flight that nobody waits for any more is given up.
//!
//! Interest in a flight is the number of receivers of its outcome. It changes without a lock when a caller goes away, and
//! under the lock of [`Flights`] when one joins, so that [`Flights::abandon`] can decide, once, that nobody will.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::EmbedError;

/// What a flight ends with; cheap to clone, because every caller that shares the flight gets it.
pub(super) type Outcome = Result<Arc<[f32]>, EmbedError>;

/// What makes two requests equal.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Request {
    url: String,
    instruction: Option<String>,
}

/// One request on its way, and where its outcome is announced.
#[derive(Debug)]
pub(super) struct Flight {
    request: Arc<Request>,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Flight {
    pub(super) fn url(&self) -> &str {
        &self.request.url
    }

    pub(super) fn instruction(&self) -> Option<&str> {
        self.request.instruction.as_deref()
    }

    /// Announces the outcome, unless there is one: a stopped flight's task still ends, and has nothing to add.
    fn settle(&self, outcome: Outcome) {
        self.outcome.send_if_modified(|settled| {
            let is_first = settled.is_none();
            if is_first {
                *settled = Some(outcome);
            }
            is_first
        });
    }

    /// Completes when no caller waits. One may join afterwards, so that [`Flights::abandon`] has the last word.
    pub(super) async fn unwanted(&self) {
        self.outcome.closed().await;
    }
}

/// A caller's seat on a flight.
pub(super) struct Seat {
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Seat {
    /// Waits for the flight's outcome. Dropping this future gives the seat up.
    pub(super) async fn outcome(mut self) -> Outcome {
        match self.outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            // The flight was dropped without an outcome: its runtime is gone.
            Ok(None) | Err(_) => Err(EmbedError::shut_down()),
        }
    }
}

/// All requests in flight.
#[derive(Debug, Default)]
pub(super) struct Flights {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: HashMap<Arc<Request>, Arc<Flight>>,
    /// What callers get from then on.
    stopped: Option<EmbedError>,
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while the flights are locked")
    }

    /// A seat on the flight of this request. The first caller also gets the flight itself, and must start it.
    pub(super) fn join(&self, url: &str, instruction: Option<&str>) -> Result<(Seat, Option<Arc<Flight>>), EmbedError> {
        let request = Arc::new(Request {
            url: url.to_owned(),
            instruction: instruction.map(str::to_owned),
        });
        let mut state = self.lock();
        if let Some(stopped) = &state.stopped {
            return Err(stopped.clone());
        }
        if let Some(flight) = state.in_flight.get(&request) {
            return Ok((
                Seat {
                    outcome: flight.outcome.subscribe(),
                },
                None,
            ));
        }
        let (sender, receiver) = watch::channel(None);
        let flight = Arc::new(Flight {
            request: Arc::clone(&request),
            outcome: sender,
        });
        state.in_flight.insert(request, Arc::clone(&flight));
        Ok((Seat { outcome: receiver }, Some(flight)))
    }

    /// Ends the flight with an outcome. A later equal request starts anew.
    pub(super) fn land(&self, flight: &Arc<Flight>, outcome: Outcome) {
        self.lock().remove(flight);
        flight.settle(outcome);
    }

    /// Gives the flight up if nobody waits for it: whether it was. From then on nobody can join it.
    pub(super) fn abandon(&self, flight: &Arc<Flight>) -> bool {
        let mut state = self.lock();
        let unwanted = flight.outcome.receiver_count() == 0;
        if unwanted {
            state.remove(flight);
        }
        unwanted
    }

    /// Forgets the flight, whatever became of it. For the case that its task ends without landing it: callers then see the
    /// sender go.
    pub(super) fn forget(&self, flight: &Arc<Flight>) {
        self.lock().remove(flight);
    }

    /// Ends all flights with this error, and lets none start. The first call says why.
    pub(super) fn stop(&self, error: &EmbedError) {
        let flights = {
            let mut state = self.lock();
            state.stopped.get_or_insert_with(|| error.clone());
            std::mem::take(&mut state.in_flight)
        };
        for flight in flights.into_values() {
            flight.settle(Err(error.clone()));
        }
    }
}

impl State {
    /// An equal request may have started a new flight since, which is left alone.
    fn remove(&mut self, flight: &Arc<Flight>) {
        if self
            .in_flight
            .get(&flight.request)
            .is_some_and(|current| Arc::ptr_eq(current, flight))
        {
            self.in_flight.remove(&flight.request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flight_is_abandoned_only_when_its_last_caller_is_gone() {
        let flights = Flights::default();
        let (first, flight) = flights.join("a.png", None).expect("running");
        let flight = flight.expect("the first caller starts the flight");
        let (second, follower) = flights.join("a.png", None).expect("running");
        assert!(follower.is_none());

        drop(first);
        assert!(!flights.abandon(&flight));
        drop(second);
        assert!(flights.abandon(&flight));
        let (_seat, anew) = flights.join("a.png", None).expect("running");
        assert!(anew.is_some(), "an abandoned flight takes nobody on board");
    }

    #[test]
    fn another_instruction_is_another_flight() {
        let flights = Flights::default();
        let (_plain, first) = flights.join("a.png", None).expect("running");
        let (_instructed, second) = flights
            .join("a.png", Some("Represent the given image."))
            .expect("running");
        assert!(first.is_some() && second.is_some());
    }

    #[tokio::test]
    async fn a_caller_that_joins_after_the_flight_became_unwanted_is_served() {
        let flights = Flights::default();
        let (first, flight) = flights.join("a.png", None).expect("running");
        let flight = flight.expect("the first caller starts the flight");
        drop(first);
        flight.unwanted().await;
        let (second, _) = flights.join("a.png", None).expect("running");
        assert!(!flights.abandon(&flight));
        flights.land(&flight, Ok(vec![1.0].into()));
        assert_eq!(second.outcome().await.expect("landed").as_ref(), [1.0]);
    }
}
