//! What is worth trying again, and when.

use std::time::{Duration, Instant};

use qdrant_client::QdrantError;
use tonic::{Code, Status};

use crate::{ConnectorError, Waits};

/// The first wait; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Tries requests again.
#[derive(Debug)]
pub(super) struct Retry {
    system: String,
    /// Where the waits are told; `None` where a request is tried only once.
    waits: Option<Waits>,
}

/// Why a request failed for good.
#[derive(Debug)]
pub(super) enum Failure {
    /// What was sent is at fault: another request may be taken.
    Invalid(String),
    /// What was asked for is not there.
    NotFound(String),
    /// What was to be made is there already.
    Exists(String),
    /// The server is away, and this was the only attempt.
    Unavailable(String),
    /// Anything else that waiting does not mend.
    Refused(String),
}

impl Failure {
    /// The failure as this crate's error.
    pub fn into_error(self, system: &str) -> ConnectorError {
        let system = system.to_string();
        match self {
            Self::Unavailable(message) => ConnectorError::Unavailable { system, message },
            Self::Invalid(message) | Self::NotFound(message) | Self::Exists(message) | Self::Refused(message) => {
                ConnectorError::Refused { system, message }
            }
        }
    }
}

impl Retry {
    /// Retries for `system`: with `waits` until the request is answered, otherwise not at all.
    pub fn new(system: &str, waits: Option<&Waits>) -> Self {
        Self {
            system: system.to_string(),
            waits: waits.cloned(),
        }
    }

    /// The answer to `request`, which is tried again, with growing waits, for as long as the server is away or
    /// overloaded.
    pub async fn run<T, F>(&self, operation: &'static str, request: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, QdrantError>>,
    {
        let mut wait = self
            .waits
            .as_ref()
            .map(|waits| waits.wait_for(self.system.clone(), operation));
        let mut attempt = 1_u32;
        loop {
            let started = Instant::now();
            let result = match &mut wait {
                Some(wait) => wait.watch(request()).await,
                None => request().await,
            };
            metrics::histogram!("sightstream_qdrant_request_seconds", "operation" => operation)
                .record(started.elapsed().as_secs_f64());
            let error = match result {
                Ok(answer) => {
                    if let Some(wait) = &mut wait {
                        wait.passed();
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let failure = classify(&error);
            let (Failure::Unavailable(message), Some(wait)) = (&failure, &mut wait) else {
                return Err(failure);
            };
            wait.failed(message);
            metrics::counter!("sightstream_qdrant_retries_total", "operation" => operation).increment(1);
            attempt = attempt.saturating_add(1);
            tokio::time::sleep(wait_before(attempt, &error)).await;
        }
    }
}

/// The wait before the attempt `attempt` (from 2 up): between half and all of the doubled wait, or what the server asks
/// for where that is more.
fn wait_before(attempt: u32, error: &QdrantError) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << (attempt - 2).min(16)).min(LONGEST_WAIT);
    let own = doubled.mul_f64(rand::random_range(0.5..=1.0));
    match error {
        // A server may ask for less than a second by 0.
        QdrantError::ResourceExhaustedError {
            retry_after_seconds, ..
        } => Duration::from_secs(*retry_after_seconds).min(LONGEST_ASKED).max(own),
        _ => own,
    }
}

fn classify(error: &QdrantError) -> Failure {
    match error {
        QdrantError::ResponseError { status } | QdrantError::ResourceExhaustedError { status, .. } => {
            classify_status(status)
        }
        QdrantError::Io(error) => Failure::Unavailable(error.to_string()),
        other => Failure::Refused(other.to_string()),
    }
}

/// Codes that say that this very request will never be taken are told from all others, which may pass: a connection
/// that fails reaches us as `Internal` or `Unknown` too.
fn classify_status(status: &Status) -> Failure {
    let message = status.message().to_string();
    match status.code() {
        // A message that is too large is answered with `OutOfRange`; a smaller one may be taken.
        Code::InvalidArgument | Code::OutOfRange => Failure::Invalid(message),
        Code::NotFound => Failure::NotFound(message),
        Code::AlreadyExists => Failure::Exists(message),
        Code::Unauthenticated | Code::PermissionDenied => {
            Failure::Refused(format!("access denied ({message}); is the api key right?"))
        }
        Code::Unimplemented => Failure::Refused(format!("{message} (is this the gRPC port of a Qdrant?)")),
        // What a proxy in front of the server says of a message that is too large for it.
        Code::ResourceExhausted if message.contains("larger than max") => Failure::Invalid(message),
        // Among these: a disk that is full (`Internal`), and a lock on writes (`FailedPrecondition`).
        code => Failure::Unavailable(if message.is_empty() { code.to_string() } else { message }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: Code) -> QdrantError {
        QdrantError::ResponseError {
            status: Status::new(code, "as said"),
        }
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_until_it_is_answered() {
        let retry = Retry::new("Qdrant", Some(&Waits::default()));
        let attempts = std::cell::Cell::new(0);
        let answer = retry
            .run("test", || {
                attempts.set(attempts.get() + 1);
                let attempt = attempts.get();
                async move {
                    match attempt {
                        1 => Err(error(Code::Unavailable)),
                        2 => Err(error(Code::DeadlineExceeded)),
                        3 => Err(error(Code::ResourceExhausted)),
                        4 => Err(error(Code::Internal)),
                        _ => Ok("answer"),
                    }
                }
            })
            .await;
        assert!(matches!(answer, Ok("answer")), "{answer:?}");
        assert_eq!(attempts.get(), 5);
    }

    #[tokio::test]
    async fn what_will_not_pass_is_tried_once() {
        let retry = Retry::new("Qdrant", Some(&Waits::default()));
        for code in [
            Code::InvalidArgument,
            Code::NotFound,
            Code::Unauthenticated,
            Code::PermissionDenied,
        ] {
            let attempts = std::cell::Cell::new(0);
            let answer = retry
                .run("test", || {
                    attempts.set(attempts.get() + 1);
                    async move { Err::<(), _>(error(code)) }
                })
                .await;
            assert!(answer.is_err());
            assert_eq!(attempts.get(), 1, "{code:?}");
        }
    }

    #[test]
    fn a_server_may_ask_for_more_and_never_for_no_wait_at_all() {
        let asked = |seconds| QdrantError::ResourceExhaustedError {
            status: Status::new(Code::ResourceExhausted, "slow down"),
            retry_after_seconds: seconds,
        };
        assert!(wait_before(5, &asked(0)) >= FIRST_WAIT * 4);
        assert_eq!(wait_before(2, &asked(3)), Duration::from_secs(3));
        assert_eq!(wait_before(2, &asked(3600)), LONGEST_ASKED);
    }

    #[test]
    fn waits_grow_to_a_limit() {
        let wait = |attempt| wait_before(attempt, &error(Code::Unavailable));
        assert!(wait(2) <= FIRST_WAIT && wait(2) >= FIRST_WAIT / 2);
        assert!(wait(5) >= FIRST_WAIT * 4 && wait(5) <= FIRST_WAIT * 8);
        assert!(wait(u32::MAX) <= LONGEST_WAIT && wait(u32::MAX) >= LONGEST_WAIT / 2);
    }
}
