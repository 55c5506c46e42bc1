//! Waiting for something that will pass: told at once, then in a line a minute, and when it is over.
//!
//! Whatever waits (for brokers, for a Qdrant, for space on a disk) does it by a `Wait`, so that all waits look the
//! same in the log, in the gauge `sightstream_waiting`, and to a job that has been asked to stop.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time between two log lines of a wait.
const EVERY: Duration = Duration::from_secs(60);

/// How long a try may take before it counts as waiting.
const SLOW: Duration = Duration::from_secs(5);

/// How often a try that takes long is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What a job waits for at the moment. Clones look at the same waits.
#[derive(Debug, Clone, Default)]
pub struct Waits {
    current: Arc<Mutex<Current>>,
}

#[derive(Debug, Default)]
struct Current {
    next: u64,
    waits: BTreeMap<u64, Waiting>,
}

/// A wait that is going on.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// What is waited for, as a user knows it: `Kafka at localhost:9092`.
    pub system: String,
    /// What stands still meanwhile: `upsert`, `the topic media`.
    pub purpose: String,
    /// What was seen last.
    pub reason: String,
    /// When it began.
    pub since: Instant,
    /// Tries that have failed.
    pub tries: u64,
}

impl Waits {
    /// The waits that are going on, the oldest first.
    pub fn current(&self) -> Vec<Waiting> {
        let mut waits: Vec<Waiting> = self.lock().waits.values().cloned().collect();
        waits.sort_by_key(|waiting| waiting.since);
        waits
    }

    /// A wait for `system` that has not begun: nothing is told before something fails.
    pub(crate) fn wait_for(&self, system: impl Into<String>, purpose: impl Into<String>) -> Wait {
        Wait {
            waits: self.clone(),
            system: system.into(),
            purpose: purpose.into(),
            begun: None,
        }
    }

    /// No code panics while it holds this lock.
    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One wait. It begins with the first failure and ends when it has [passed](Wait::passed) or is dropped.
#[derive(Debug)]
pub(crate) struct Wait {
    waits: Waits,
    system: String,
    purpose: String,
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    id: u64,
    since: Instant,
    logged: Instant,
}

impl Wait {
    /// A try has failed, and another one will be made.
    pub fn failed(&mut self, reason: impl Display) {
        self.note(reason.to_string(), 1);
    }

    /// The wait goes on; nothing was tried.
    pub fn lasts(&mut self, reason: impl Display) {
        self.note(reason.to_string(), 0);
    }

    /// What was waited for is there. Nothing happens if it was never away.
    pub fn passed(&mut self) {
        if let Some((since, tries)) = self.end() {
            tracing::info!(
                system = self.system,
                purpose = self.purpose,
                waited_s = since.elapsed().as_secs(),
                tries,
                "the wait is over"
            );
        }
    }

    /// The output of `work`. If it takes long, that is a wait too, and told; it ends with [`Wait::passed`].
    pub async fn watch<F: Future>(&mut self, work: F) -> F::Output {
        self.watch_because(work, || None).await
    }

    /// As [`Wait::watch`]; `seen` may know why it takes long.
    pub async fn watch_because<F: Future>(&mut self, work: F, seen: impl Fn() -> Option<String>) -> F::Output {
        self.watch_from(SLOW, work, seen).await
    }

    async fn watch_from<F: Future>(&mut self, slow: Duration, work: F, seen: impl Fn() -> Option<String>) -> F::Output {
        let mut work = pin!(work);
        let started = Instant::now();
        let mut look = slow;
        loop {
            match tokio::time::timeout(std::mem::replace(&mut look, LOOK), work.as_mut()).await {
                Ok(output) => return output,
                Err(_) => {
                    let seconds = started.elapsed().as_secs();
                    self.lasts(match seen() {
                        Some(seen) => format!("no answer for {seconds} s: {seen}"),
                        None => format!("no answer for {seconds} s"),
                    });
                }
            }
        }
    }

    fn note(&mut self, reason: String, tries: u64) {
        let now = Instant::now();
        let mut current = self.waits.lock();
        let Some(begun) = &mut self.begun else {
            let id = current.next;
            current.next += 1;
            current.waits.insert(
                id,
                Waiting {
                    system: self.system.clone(),
                    purpose: self.purpose.clone(),
                    reason: reason.clone(),
                    since: now,
                    tries,
                },
            );
            drop(current);
            self.begun = Some(Begun {
                id,
                since: now,
                logged: now,
            });
            metrics::gauge!("sightstream_waiting", "for" => self.system.clone()).increment(1.0);
            tracing::warn!(
                system = self.system,
                purpose = self.purpose,
                reason,
                "waiting; the job goes on by itself when this has passed"
            );
            return;
        };
        let mut tried = tries;
        if let Some(waiting) = current.waits.get_mut(&begun.id) {
            waiting.tries += tries;
            waiting.reason.clone_from(&reason);
            tried = waiting.tries;
        }
        drop(current);
        if now.duration_since(begun.logged) >= EVERY {
            begun.logged = now;
            tracing::warn!(
                system = self.system,
                purpose = self.purpose,
                reason,
                waited_s = now.duration_since(begun.since).as_secs(),
                tries = tried,
                "still waiting"
            );
        }
    }

    fn end(&mut self) -> Option<(Instant, u64)> {
        let begun = self.begun.take()?;
        let ended = self.waits.lock().waits.remove(&begun.id);
        metrics::gauge!("sightstream_waiting", "for" => self.system.clone()).decrement(1.0);
        Some((begun.since, ended.map_or(0, |waiting| waiting.tries)))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_begins_with_the_first_failure_and_ends_when_it_has_passed() {
        let waits = Waits::default();
        let mut wait = waits.wait_for("Kafka at a:1", "the topic media");
        wait.passed();
        assert!(waits.current().is_empty(), "nothing has failed");
        wait.failed("refused");
        wait.failed("timed out");
        wait.lasts("no answer");
        let [waiting] = waits.current().try_into().expect("one wait");
        assert_eq!(
            (waiting.system.as_str(), waiting.purpose.as_str()),
            ("Kafka at a:1", "the topic media")
        );
        assert_eq!((waiting.reason.as_str(), waiting.tries), ("no answer", 2));
        wait.passed();
        assert!(waits.current().is_empty());
        wait.failed("again");
        assert_eq!(waits.current()[0].tries, 1, "another wait, counted anew");
    }

    #[test]
    fn a_wait_that_is_given_up_is_no_longer_told() {
        let waits = Waits::default();
        let mut first = waits.wait_for("a", "x");
        let mut second = waits.wait_for("b", "y");
        first.failed("one");
        second.failed("two");
        assert_eq!(waits.current().len(), 2);
        drop(first);
        let left: Vec<String> = waits.current().into_iter().map(|waiting| waiting.system).collect();
        assert_eq!(left, ["b"]);
    }

    #[tokio::test]
    async fn work_that_takes_long_is_a_wait() {
        let waits = Waits::default();
        let mut wait = waits.wait_for("Qdrant", "upsert");
        assert_eq!(wait.watch(async { 7 }).await, 7);
        assert!(waits.current().is_empty(), "that was quick");
        let seen = waits.clone();
        let work = async move {
            while seen.current().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            seen.current()[0].reason.clone()
        };
        let reason = wait
            .watch_from(Duration::from_millis(20), work, || Some("refused".into()))
            .await;
        assert_eq!(reason, "no answer for 0 s: refused");
        wait.passed();
        assert!(waits.current().is_empty());
    }
}
