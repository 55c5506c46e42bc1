//! What can go wrong between the engine and another system.

use std::path::Path;

use crate::OptionProblem;

/// An error of a source or a sink. It concerns the whole table, not a single row: single rows are handed back as
/// [`crate::RejectedRecord`] by sources and as [`crate::Rejection`] by sinks.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// An option in `WITH (…)` is missing, unknown or has a value that cannot be used.
    #[error("table `{table}`: {}", joined(problems))]
    Option {
        /// The table whose definition is at fault.
        table: String,
        /// All that is wrong with it; at least one problem.
        problems: Vec<OptionProblem>,
    },
    /// The other system cannot be used as asked, and waiting will not help (another dimension, no such topic, access
    /// denied).
    #[error("{system}: {message}")]
    Refused {
        /// The system, as a user knows it: `Kafka at localhost:9092`, `Qdrant at http://localhost:6334`.
        system: String,
        /// What it refused, and what to do.
        message: String,
    },
    /// The other system is away or slow. The operation may be tried again.
    #[error("{system} is not available: {message}")]
    Unavailable {
        /// The system, as a user knows it.
        system: String,
        /// What was seen.
        message: String,
    },
    /// A local file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Whoever read standard output has gone away (`… | head`). Not a failure: the job ends quietly.
    #[error("the reader of standard output has gone away")]
    ReaderGone,
    /// A bug in this crate: an invariant did not hold.
    #[error("internal error: {0}")]
    Internal(String),
}

fn joined(problems: &[OptionProblem]) -> String {
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    messages.join("; ")
}

impl ConnectorError {
    /// Whether the same operation may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// The error of what was done to the file at `path`.
pub(crate) fn io_error(path: &Path) -> impl Fn(std::io::Error) -> ConnectorError + use<> {
    let path = path.display().to_string();
    move |source| ConnectorError::Io {
        path: path.clone(),
        source,
    }
}

/// Does `work`, which blocks, beside the tasks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ConnectorError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ConnectorError::Internal(error.to_string()))
}
