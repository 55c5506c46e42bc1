//! How far a job is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sightstream_connectors::Source;

/// The counts of a running job; cheap to read at any time.
#[derive(Default)]
pub struct Progress {
    read: AtomicU64,
    written: AtomicU64,
    deleted: AtomicU64,
    dropped: AtomicU64,
    in_flight: AtomicU64,
    dead_lettered: Mutex<BTreeMap<String, u64>>,
    sources: Mutex<Vec<Arc<dyn Source>>>,
}

/// The counts at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgressSnapshot {
    /// Records whose epoch is durable, or was given up to another consumer.
    pub read: u64,
    /// Rows that the sinks have made durable.
    pub written: u64,
    /// Deletions by tombstones that the sinks have made durable.
    pub deleted: u64,
    /// Bad records that were dropped (`bad_data = 'drop'`).
    pub dropped: u64,
    /// Rows that went to the dead letters.
    pub dead_lettered: u64,
    /// Records that wait in the sources, if the sources can tell.
    pub backlog: Option<u64>,
}

impl Progress {
    /// The counts now.
    pub fn snapshot(&self) -> ProgressSnapshot {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        ProgressSnapshot {
            read: self.read.load(Ordering::Relaxed),
            written: self.written.load(Ordering::Relaxed),
            deleted: self.deleted.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            dead_lettered: self.dead_lettered_by_reason().values().sum(),
            backlog: sources.iter().map(|source| source.backlog()).sum(),
        }
    }

    /// Why the job takes no rows for the time being, a sentence each; none if nothing keeps it from that.
    pub fn obstacles(&self) -> Vec<String> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.iter().filter_map(|source| source.obstacle()).collect()
    }

    /// Rows that went to the dead letters, by reason.
    pub fn dead_lettered_by_reason(&self) -> BTreeMap<String, u64> {
        self.dead_lettered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Records that were read and are neither committed nor given up.
    pub(crate) fn unwritten(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn put_in_flight(&self, records: usize) {
        self.in_flight.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(crate) fn take_from_flight(&self, records: usize) {
        self.in_flight.fetch_sub(records as u64, Ordering::Relaxed);
    }

    pub(crate) fn watch(&self, source: Arc<dyn Source>) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// Begins the counts of alerts at 0 for the source `table`: a counter that appears with its first value has not
    /// increased.
    pub(crate) fn begin(&self, table: &str) {
        self.add_read(table, 0);
        for code in ["bad_record", "refused", "not_found"] {
            metrics::counter!("sightstream_dead_letters_total", "reason" => code).increment(0);
        }
    }

    pub(crate) fn add_read(&self, table: &str, records: usize) {
        self.read.fetch_add(records as u64, Ordering::Relaxed);
        metrics::counter!("sightstream_records_read_total", "table" => table.to_string()).increment(records as u64);
    }

    pub(crate) fn add_written(&self, table: &str, rows: usize) {
        self.written.fetch_add(rows as u64, Ordering::Relaxed);
        metrics::counter!("sightstream_rows_written_total", "table" => table.to_string()).increment(rows as u64);
    }

    pub(crate) fn add_deleted(&self, table: &str, rows: usize) {
        self.deleted.fetch_add(rows as u64, Ordering::Relaxed);
        metrics::counter!("sightstream_rows_deleted_total", "table" => table.to_string()).increment(rows as u64);
    }

    pub(crate) fn add_dropped(&self, table: &str, records: usize) {
        self.dropped.fetch_add(records as u64, Ordering::Relaxed);
        metrics::counter!("sightstream_records_dropped_total", "table" => table.to_string()).increment(records as u64);
    }

    pub(crate) fn add_dead_letter(&self, code: &str) {
        *self
            .dead_lettered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(code.to_string())
            .or_default() += 1;
        metrics::counter!("sightstream_dead_letters_total", "reason" => code.to_string()).increment(1);
    }
}
