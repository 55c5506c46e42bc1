//! Trying again after failures that pass.

use std::time::Duration;

use rand::Rng;

use crate::error::MediaError;

/// The first wait; each further one is up to twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest wait that was not asked for.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The longest wait that a server may ask of whoever is patient.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// A failed attempt, and how long the server asked to wait.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: MediaError,
    pub(super) retry_after: Option<Duration>,
}

impl From<MediaError> for Failure {
    fn from(error: MediaError) -> Self {
        Self {
            error,
            retry_after: None,
        }
    }
}

/// The attempts at one fetch.
pub(super) struct Attempts {
    retries: u32,
    /// Whether a side that asks for fewer requests is asked again until it takes them, however long that is: an object
    /// store is the operator's own, and what it cannot take now is no fault of a medium.
    patient: bool,
    failed: u32,
    throttled: u32,
}

/// A wait before another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) wait: Duration,
    /// Whether it takes from the time that the fetch may take.
    pub(super) counts: bool,
}

impl Attempts {
    pub(super) fn new(retries: u32, patient: bool) -> Self {
        Self {
            retries,
            patient,
            failed: 0,
            throttled: 0,
        }
    }

    /// The last attempt brought some of the medium, which stays: what failed before it does not count any more.
    pub(super) fn progressed(&mut self) {
        self.failed = 0;
    }

    /// How long to wait before the next attempt. Waits grow exponentially, with jitter, so that many callers do not come
    /// back at the same moment. What the server asks for (`Retry-After`) is heeded.
    ///
    /// # Errors
    /// The failure, if it will not pass, was tried often enough, or the wait is not within `left`, the time that the fetch
    /// may still take.
    pub(super) fn wait_after(&mut self, failure: Failure, left: Duration) -> Result<Rest, MediaError> {
        let Failure { error, retry_after } = failure;
        let jitter = rand::rng().random();
        let asked = retry_after.unwrap_or_default();
        let is_throttled = matches!(error, MediaError::Http { status: 429 | 503, .. });
        let rest = if is_throttled && self.patient && self.retries > 0 {
            self.throttled += 1;
            Rest {
                wait: backoff(self.throttled - 1, jitter).max(asked.min(LONGEST_ASKED)),
                counts: false,
            }
        } else {
            let wait = backoff(self.failed, jitter).max(asked);
            if self.failed >= self.retries || !error.is_transient() || wait >= left {
                return Err(error);
            }
            self.failed += 1;
            Rest { wait, counts: true }
        };
        tracing::debug!(error = %error, wait_ms = rest.wait.as_millis() as u64, "fetching again soon");
        Ok(rest)
    }
}

/// The wait after `failed` earlier failures: between half of `FIRST_WAIT * 2^failed` and the whole; `jitter` in [0, 1).
fn backoff(failed: u32, jitter: f64) -> Duration {
    let whole = FIRST_WAIT.saturating_mul(2u32.saturating_pow(failed)).min(LONGEST_WAIT);
    whole.mul_f64(0.5 + jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn answered(status: u16, retry_after: Option<Duration>) -> Failure {
        let error = MediaError::Http {
            name: "http://h/a".into(),
            status,
        };
        Failure { error, retry_after }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        assert_eq!(backoff(0, 0.0), FIRST_WAIT / 2);
        assert_eq!(backoff(3, 0.0), FIRST_WAIT * 4);
        assert_eq!(backoff(40, 0.0), LONGEST_WAIT / 2);
        assert!(backoff(40, 0.999) <= LONGEST_WAIT);
    }

    #[test]
    fn attempts_end_after_the_retries() {
        let mut attempts = Attempts::new(2, false);
        assert!(attempts.wait_after(answered(503, None), HOUR).is_ok());
        assert!(attempts.wait_after(answered(500, None), HOUR).is_ok());
        assert!(attempts.wait_after(answered(500, None), HOUR).is_err());
        assert!(Attempts::new(2, false).wait_after(answered(404, None), HOUR).is_err());
    }

    #[test]
    fn what_the_server_asks_for_is_heeded_within_the_time_left() {
        let minute = Duration::from_secs(60);
        let wait = |left| Attempts::new(3, false).wait_after(answered(429, Some(minute)), left);
        let rest = Rest {
            wait: minute,
            counts: true,
        };
        assert_eq!(wait(HOUR), Ok(rest));
        assert_eq!(
            wait(minute).expect_err("no time for another attempt").reason(),
            "http_status"
        );
    }

    #[test]
    fn an_object_store_that_throttles_is_asked_until_it_takes_requests() {
        let mut attempts = Attempts::new(1, true);
        let wait =
            |attempts: &mut Attempts, status, asked| attempts.wait_after(answered(status, asked), Duration::ZERO);
        for _ in 0..50 {
            let rest = wait(&mut attempts, 503, None).expect("it will pass");
            assert!(!rest.counts && rest.wait <= LONGEST_WAIT);
        }
        let day = Some(Duration::from_secs(86_400));
        assert_eq!(wait(&mut attempts, 429, day).map(|rest| rest.wait), Ok(LONGEST_ASKED));
        // What else fails has its own tries.
        assert!(attempts.wait_after(answered(500, None), HOUR).is_ok());
        assert!(attempts.wait_after(answered(500, None), HOUR).is_err());
        assert!(Attempts::new(0, true).wait_after(answered(503, None), HOUR).is_err());
    }
}
