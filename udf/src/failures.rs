//! Rows that fail inside a plan.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{EmbedFailure, Embedder};

/// What an epoch's plan needs while it runs. It is put into the session configuration as an extension
/// (`SessionConfig::with_extension`), where the operators find it.
#[derive(Clone)]
pub struct EmbedContext {
    /// Makes the vectors.
    pub embedder: Arc<dyn Embedder>,
    /// Takes the rows that have none.
    pub failures: Arc<RowFailures>,
}

/// The failures of one run of a plan.
#[derive(Debug, Default)]
pub struct RowFailures {
    failures: Mutex<Vec<RowFailure>>,
}

/// A row that was left out of a plan's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFailure {
    /// The row's number in the epoch; `None` where the plan had none (a table without a stream).
    pub row: Option<u64>,
    /// Why.
    pub failure: EmbedFailure,
}

impl RowFailures {
    /// Adds a failure.
    pub fn push(&self, failure: RowFailure) {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(failure);
    }

    /// All failures so far, which are taken out.
    pub fn take(&self) -> Vec<RowFailure> {
        std::mem::take(&mut self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
