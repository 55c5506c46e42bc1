//! How many fetches run at once: in all, and of each host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::budget::{ByteBudget, FetchedBytes, Share};
use super::retry::Rest;
use crate::error::MediaError;

/// How many hosts are remembered before those at rest are forgotten: rows name them, so there is a bound.
const KEPT_HOSTS: usize = 1024;

/// How often the log tells that a host is waited for.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Places for fetches, of which each takes one while its request runs and while its bytes wait to be decoded.
#[derive(Debug, Clone)]
pub struct FetchPlaces {
    count: Arc<Semaphore>,
    bytes: Option<ByteBudget>,
}

impl FetchPlaces {
    /// `count` places, which share `bytes`, where those are bounded.
    pub fn new(count: usize, bytes: Option<FetchedBytes>) -> Self {
        Self {
            count: Arc::new(Semaphore::new(count)),
            bytes: bytes.map(ByteBudget::new),
        }
    }

    /// A place that is not taken yet.
    pub fn place(&self) -> FetchPlace {
        FetchPlace {
            places: self.clone(),
            held: None,
            least: 0,
        }
    }
}

/// The place of one fetch. It is given back while the fetch waits for its host or before another try, so that a slow host
/// does not keep others waiting, and when it is dropped.
#[derive(Debug)]
pub struct FetchPlace {
    places: FetchPlaces,
    held: Option<(OwnedSemaphorePermit, Option<Share>)>,
    /// Bytes that the medium has in memory in any case.
    least: usize,
}

impl FetchPlace {
    /// Waits for a place, and for room for the largest medium, unless it is held already.
    pub async fn take(&mut self) {
        if self.held.is_none() {
            let place = Arc::clone(&self.places.count).acquire_owned().await;
            let place = place.expect("the places of fetches are never closed");
            let share = match &self.places.bytes {
                Some(bytes) => Some(bytes.reserve().await),
                None => None,
            };
            self.held = Some((place, share));
        }
    }

    /// The medium is there, and has so many bytes: other fetches may have the rest of its room.
    pub fn holds(&mut self, bytes: usize) {
        if let Some((_, Some(share))) = &mut self.held {
            share.shrink_to(bytes.max(self.least));
        }
    }

    /// So many bytes are in memory even if the medium goes to a file: they stand in the reference.
    pub(super) fn holds_at_least(&mut self, bytes: usize) {
        self.least = bytes;
    }

    /// Lets another fetch have the place; the room for the medium's bytes stays.
    pub fn leave(self) -> Option<Share> {
        self.held.and_then(|(_, share)| share)
    }

    /// Lets another fetch have the place.
    pub fn give_back(&mut self) {
        self.held = None;
    }
}

/// The places of each host.
#[derive(Debug)]
pub(super) struct Hosts {
    places_each: usize,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

#[derive(Debug)]
struct Host {
    places: Arc<Semaphore>,
    /// When the log last told that it is waited for.
    told: Mutex<Option<Instant>>,
}

/// A place at a host. It keeps the host remembered.
#[derive(Debug)]
pub(super) struct HostPlace {
    _permit: OwnedSemaphorePermit,
    _host: Arc<Host>,
}

impl Hosts {
    pub(super) fn new(places_each: usize) -> Self {
        Self {
            places_each,
            hosts: Mutex::default(),
        }
    }

    async fn enter(&self, name: &str) -> HostPlace {
        let host = self.host(name);
        let permit = Arc::clone(&host.places).acquire_owned().await;
        HostPlace {
            _permit: permit.expect("the places of hosts are never closed"),
            _host: host,
        }
    }

    /// Whether the log should tell now that `name` is waited for: once a minute.
    pub(super) fn is_to_be_told(&self, name: &str) -> bool {
        let host = self.host(name);
        let mut told = host.told.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.is_none_or(|told| told.elapsed() >= TOLD_EVERY);
        if due {
            *told = Some(Instant::now());
        }
        due
    }

    fn host(&self, name: &str) -> Arc<Host> {
        // A panic while the lock is held leaves a valid map.
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(name) {
            return Arc::clone(host);
        }
        if hosts.len() >= KEPT_HOSTS {
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        let host = Arc::new(Host {
            places: Arc::new(Semaphore::new(self.places_each)),
            told: Mutex::default(),
        });
        hosts.insert(name.to_owned(), Arc::clone(&host));
        host
    }
}

/// One fetch over the network: its place, and how long it may still take. Waiting for a place is not held against it.
pub(super) struct Trip<'a> {
    /// The redacted reference.
    pub(super) name: &'a str,
    place: &'a mut FetchPlace,
    hosts: &'a Hosts,
    total: Duration,
    left: Duration,
}

impl<'a> Trip<'a> {
    pub(super) fn new(name: &'a str, place: &'a mut FetchPlace, hosts: &'a Hosts, total: Duration) -> Self {
        Self {
            name,
            place,
            hosts,
            total,
            left: total,
        }
    }

    /// Waits for a place at `host` and then for one among all fetches. What was held is given back first: a fetch that
    /// waits holds nothing that another may wait for, so that no circle of them stands still.
    pub(super) async fn enter(&mut self, host: &str) -> HostPlace {
        self.place.give_back();
        let place = self.hosts.enter(host).await;
        self.place.take().await;
        place
    }

    /// Waits for a place among all fetches, for what no host gives.
    pub(super) async fn start(&mut self) {
        self.place.take().await;
    }

    /// Does `work` within the time that is left.
    pub(super) async fn spend<T>(&mut self, work: impl Future<Output = T>) -> Result<T, MediaError> {
        let started = Instant::now();
        let done = tokio::time::timeout(self.left, work).await;
        self.left = self.left.saturating_sub(started.elapsed());
        done.map_err(|_| MediaError::Timeout {
            name: self.name.to_owned(),
            message: format!("not complete after {:?}", self.total),
        })
    }

    /// How long the fetch may still take.
    pub(super) fn left(&self) -> Duration {
        self.left
    }

    /// See [`FetchPlace::holds_at_least`].
    pub(super) fn holds_at_least(&mut self, bytes: usize) {
        self.place.holds_at_least(bytes);
    }

    /// The medium takes so many bytes of memory.
    pub(super) fn holds(&mut self, bytes: usize) {
        self.place.holds(bytes);
    }

    /// Lets the fetch take so long in all, what it has taken so far included.
    pub(super) fn extend(&mut self, total: Duration) {
        self.left += total.saturating_sub(self.total);
        self.total = self.total.max(total);
    }

    /// Gives the place back, for a wait that is not held against the fetch.
    pub(super) fn give_back(&mut self) {
        self.place.give_back();
    }

    /// Waits before another try, without a place.
    pub(super) async fn rest(&mut self, rest: Rest) {
        self.place.give_back();
        if rest.counts {
            self.left = self.left.saturating_sub(rest.wait);
        }
        tokio::time::sleep(rest.wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_waits_for_its_host_holds_no_place_and_loses_no_time() {
        let (places, hosts) = (FetchPlaces::new(1, None), Hosts::new(1));
        let busy = hosts.enter("slow").await;
        let mut place = places.place();
        place.take().await;
        let total = Duration::from_secs(1);
        let mut waiting = Trip::new("a", &mut place, &hosts, total);
        let hour = Duration::from_secs(3600);
        let waited = tokio::time::timeout(hour, waiting.enter("slow")).await;
        assert!(waited.is_err(), "the host has one place, which is taken");
        let mut other = places.place();
        tokio::time::timeout(hour, other.take())
            .await
            .expect("the one place among all is free");
        other.give_back();
        drop(busy);
        let _entered = waiting.enter("slow").await;
        assert_eq!(waiting.left(), total);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_spent_and_rested_counts() {
        let (places, hosts) = (FetchPlaces::new(1, None), Hosts::new(1));
        let mut place = places.place();
        let mut trip = Trip::new("a", &mut place, &hosts, Duration::from_secs(10));
        trip.spend(tokio::time::sleep(Duration::from_secs(3)))
            .await
            .expect("in time");
        let rest = |counts| Rest {
            wait: Duration::from_secs(4),
            counts,
        };
        trip.rest(rest(true)).await;
        trip.rest(rest(false)).await;
        assert_eq!(trip.left(), Duration::from_secs(3));
        let error = trip
            .spend(tokio::time::sleep(Duration::from_secs(4)))
            .await
            .expect_err("too long");
        assert_eq!(error.to_string(), "a: timed out: not complete after 10s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_told_once_a_minute_and_hosts_at_rest_are_forgotten() {
        let hosts = Hosts::new(1);
        assert!(hosts.is_to_be_told("h"));
        assert!(!hosts.is_to_be_told("h"));
        tokio::time::advance(TOLD_EVERY).await;
        assert!(hosts.is_to_be_told("h"));
        let kept = hosts.enter("kept").await;
        for number in 0..KEPT_HOSTS {
            hosts.host(&number.to_string());
        }
        let known = hosts.hosts.lock().expect("no panic");
        assert!(known.len() < KEPT_HOSTS && known.contains_key("kept") && !known.contains_key("h"));
        drop(kept);
    }
}
