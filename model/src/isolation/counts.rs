//! What a worker counts, on its way into the metrics of the service: a worker has no recorder that anybody reads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ::metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, counter, set_global_recorder,
};

use crate::media::COUNTERS;

/// The most that one answer is believed to have counted.
const MOST: u64 = 1 << 40;

/// The counters of a worker, since they were last told.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts(Arc<Mutex<HashMap<String, Arc<AtomicU64>>>>);

impl Counts {
    /// Those of this process, which has no other recorder.
    pub(super) fn of_this_process() -> Self {
        static COUNTS: OnceLock<Counts> = OnceLock::new();
        COUNTS
            .get_or_init(|| {
                let counts = Self::default();
                // Where there is a recorder already, it has what is counted.
                let _ = set_global_recorder(counts.clone());
                counts
            })
            .clone()
    }

    /// What was counted since the last time.
    pub(super) fn take(&self) -> Vec<(String, u64)> {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = counters
            .iter()
            .map(|(name, count)| (name.clone(), count.swap(0, Ordering::Relaxed)));
        taken.filter(|(_, count)| *count > 0).collect()
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counters.entry(key.name().to_owned()).or_default();
        Counter::from_arc(Arc::clone(count))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Adds what a worker has counted to the counters of this process: those that decoding has, and no others.
pub(super) fn tell(counts: &[(String, u64)]) {
    for (name, count) in counts {
        if let Some((known, _)) = COUNTERS.iter().find(|(known, _)| known == name) {
            counter!(*known).increment((*count).min(MOST));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told_once() {
        let counts = Counts::default();
        ::metrics::with_local_recorder(&counts, || {
            counter!("a").increment(2);
            counter!("a").increment(1);
            counter!("b").increment(0);
        });
        assert_eq!(counts.take(), [("a".to_owned(), 3)]);
        assert_eq!(counts.take(), []);
    }

    #[test]
    fn only_what_decoding_counts_is_believed() {
        let counts = Counts::default();
        ::metrics::with_local_recorder(&counts, || {
            tell(&[("sightstream_inputs_total".into(), 1), (COUNTERS[0].0.into(), u64::MAX)]);
        });
        assert_eq!(counts.take(), [(COUNTERS[0].0.to_owned(), MOST)]);
    }
}
