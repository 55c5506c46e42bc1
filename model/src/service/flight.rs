//! Requests in flight: equal ones share one flight, and a flight that nobody waits for any more is given up.
//!
//! Interest in a flight is the number of receivers of its outcome. It changes without a lock when a caller goes away, and
//! under the lock of [`Flights`] when one joins, so that [`Flights::abandon`] can decide, once, that nobody will.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::EmbedError;
use super::request::Request;
use crate::reference::MediaReference;

/// A vector that many callers share.
pub(super) type Vector = Arc<[f32]>;

/// What a flight ends with; cheap to clone, because every caller that shares the flight gets it.
pub(super) type Outcome<T = Vector> = Result<T, EmbedError>;

/// One request on its way, and where its outcome is announced.
#[derive(Debug)]
pub(super) struct Flight<T = Vector> {
    request: Request,
    /// What it names, where whoever asked has read it already.
    reference: Option<MediaReference>,
    outcome: watch::Sender<Option<Outcome<T>>>,
}

impl<T> Flight<T> {
    pub(super) fn request(&self) -> &Request {
        &self.request
    }

    pub(super) fn reference(&self) -> Option<&MediaReference> {
        self.reference.as_ref()
    }

    /// Announces the outcome, unless there is one: a stopped flight's task still ends, and has nothing to add.
    fn settle(&self, outcome: Outcome<T>) {
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
pub(super) struct Seat<T = Vector> {
    outcome: watch::Receiver<Option<Outcome<T>>>,
}

impl<T: Clone> Seat<T> {
    /// Waits for the flight's outcome. Dropping this future gives the seat up.
    pub(super) async fn outcome(mut self) -> Outcome<T> {
        match self.outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            // The flight was dropped without an outcome: its runtime is gone.
            Ok(None) | Err(_) => Err(EmbedError::shut_down()),
        }
    }
}

/// A seat, and the flight itself for the first caller, who must start it.
pub(super) type Boarding<T> = (Seat<T>, Option<Arc<Flight<T>>>);

/// All requests of a kind in flight.
#[derive(Debug)]
pub(super) struct Flights<T = Vector> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    in_flight: HashMap<Request, Arc<Flight<T>>>,
    /// What callers get from then on.
    stopped: Option<EmbedError>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                in_flight: HashMap::new(),
                stopped: None,
            }),
        }
    }
}

impl<T> Flights<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("nothing panics while the flights are locked")
    }

    /// A seat on the flight of this request. The first caller also gets the flight itself, and must start it. `reference`
    /// is what the request names, where the caller has read it already.
    pub(super) fn join(&self, request: Request, reference: Option<MediaReference>) -> Result<Boarding<T>, EmbedError> {
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
            request: request.clone(),
            reference,
            outcome: sender,
        });
        state.in_flight.insert(request, Arc::clone(&flight));
        Ok((Seat { outcome: receiver }, Some(flight)))
    }

    /// Ends the flight with an outcome. A later equal request starts anew.
    pub(super) fn land(&self, flight: &Arc<Flight<T>>, outcome: Outcome<T>) {
        self.lock().remove(flight);
        flight.settle(outcome);
    }

    /// Gives the flight up if nobody waits for it: whether it was. From then on nobody can join it.
    pub(super) fn abandon(&self, flight: &Arc<Flight<T>>) -> bool {
        let mut state = self.lock();
        let unwanted = flight.outcome.receiver_count() == 0;
        if unwanted {
            state.remove(flight);
        }
        unwanted
    }

    /// Forgets the flight, whatever became of it. For the case that its task ends without landing it: callers then see the
    /// sender go.
    pub(super) fn forget(&self, flight: &Arc<Flight<T>>) {
        self.lock().remove(flight);
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().in_flight.is_empty()
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

impl<T> State<T> {
    /// An equal request may have started a new flight since, which is left alone.
    fn remove(&mut self, flight: &Arc<Flight<T>>) {
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

    fn join(flights: &Flights, instruction: Option<&str>) -> (Seat, Option<Arc<Flight>>) {
        flights.join(Request::new("a.png", instruction), None).expect("running")
    }

    #[test]
    fn a_flight_is_abandoned_only_when_its_last_caller_is_gone() {
        let flights = Flights::default();
        let (first, flight) = join(&flights, None);
        let flight = flight.expect("the first caller starts the flight");
        let (second, follower) = join(&flights, None);
        assert!(follower.is_none());

        drop(first);
        assert!(!flights.abandon(&flight));
        drop(second);
        assert!(flights.abandon(&flight));
        let (_seat, anew) = join(&flights, None);
        assert!(anew.is_some(), "an abandoned flight takes nobody on board");
    }

    #[test]
    fn another_instruction_is_another_flight() {
        let flights = Flights::default();
        let (_plain, first) = join(&flights, None);
        let (_instructed, second) = join(&flights, Some("Represent the given image."));
        assert!(first.is_some() && second.is_some());
    }

    #[tokio::test]
    async fn a_caller_that_joins_after_the_flight_became_unwanted_is_served() {
        let flights = Flights::default();
        let (first, flight) = join(&flights, None);
        let flight = flight.expect("the first caller starts the flight");
        drop(first);
        flight.unwanted().await;
        let (second, _) = join(&flights, None);
        assert!(!flights.abandon(&flight));
        flights.land(&flight, Ok(vec![1.0].into()));
        assert_eq!(second.outcome().await.expect("landed").as_ref(), [1.0]);
    }
}
