//! How a download goes, for those who wait for it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Hears how a download goes. Called from the downloading tasks: it must be quick and must not panic.
pub trait DownloadProgress: Send + Sync {
    /// `done` of `total` bytes of one file of the checkpoint are here. Files come one after the other; one that the cache
    /// holds already may be told as done at once, or not at all.
    fn bytes(&self, file: &str, done: u64, total: u64);
}

/// Writes a log line for each tenth of a file.
#[derive(Debug, Default)]
pub struct LogProgress {
    tenths: Mutex<HashMap<String, u64>>,
}

impl DownloadProgress for LogProgress {
    fn bytes(&self, file: &str, done: u64, total: u64) {
        let tenth = (10 * done).checked_div(total).unwrap_or(0);
        let mut tenths = self.tenths.lock().unwrap_or_else(PoisonError::into_inner);
        let logged = tenths.entry(file.to_string()).or_default();
        if tenth > *logged {
            *logged = tenth;
            tracing::info!(
                file,
                megabytes = done / 1_000_000,
                of = total / 1_000_000,
                "downloading the checkpoint"
            );
        }
    }
}
