//! Trying again after failures that pass.

use std::time::Duration;

use rand::Rng;

use crate::error::MediaError;

/// The first wait; each further one is up to twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest wait. A server that asks for a longer one (`Retry-After`) is given up: who called can come back later.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// A failed attempt, and how long the server asked to wait.
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

/// Calls `attempt` until it succeeds, fails for good, or was tried again `retries` times. Waits grow exponentially, with
/// jitter so that many callers do not come back at the same moment.
pub(super) async fn with_backoff<T, F>(retries: u32, attempt: impl Fn() -> F) -> Result<T, MediaError>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut tried = 0;
    loop {
        let Failure { error, retry_after } = match attempt().await {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        if tried == retries || !error.is_transient() || retry_after.is_some_and(|asked| asked > LONGEST_WAIT) {
            return Err(error);
        }
        let wait = wait(tried, rand::rng().random()).max(retry_after.unwrap_or_default());
        tracing::debug!(error = %error, attempt = tried + 1, wait_ms = wait.as_millis() as u64, "fetching again");
        metrics::counter!("sightstream_fetch_retries_total").increment(1);
        tokio::time::sleep(wait).await;
        tried += 1;
    }
}

/// The wait after attempt `tried` (from 0): between half of `FIRST_WAIT * 2^tried` and the whole; `jitter` in [0, 1).
fn wait(tried: u32, jitter: f64) -> Duration {
    let whole = FIRST_WAIT.saturating_mul(2u32.saturating_pow(tried)).min(LONGEST_WAIT);
    whole.mul_f64(0.5 + jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        assert_eq!(wait(0, 0.0), FIRST_WAIT / 2);
        assert_eq!(wait(3, 0.0), FIRST_WAIT * 4);
        assert_eq!(wait(40, 0.0), LONGEST_WAIT / 2);
        assert!(wait(40, 0.999) <= LONGEST_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_asks_for_too_long_a_wait_is_given_up() {
        let attempts = std::cell::Cell::new(0);
        let outcome: Result<(), _> = with_backoff(3, || async {
            attempts.set(attempts.get() + 1);
            let error = MediaError::Http {
                name: "http://h/a".into(),
                status: 503,
            };
            Err(Failure {
                error,
                retry_after: Some(Duration::from_secs(3600)),
            })
        })
        .await;
        assert_eq!(outcome.expect_err("fails").reason(), "http_status");
        assert_eq!(attempts.get(), 1);
    }
}
