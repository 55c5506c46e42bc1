//! What a worker counts, on its way into the metrics of the service: a worker has no recorder that anybody reads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ::metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, counter, set_global_recorder,
};

use crate::media::{COUNTERS, Known};

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
        let label = key.labels().next().map(|label| (label.key(), label.value()));
        let count = counters.entry(sent_as(key.name(), label)).or_default();
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
        let known = COUNTERS.iter().find(|known| sent_as(known.name, known.label) == *name);
        if let Some(Known { name, label, .. }) = known {
            let counter = match label {
                Some((key, value)) => counter!(*name, *key => *value),
                None => counter!(*name),
            };
            counter.increment((*count).min(MOST));
        }
    }
}

/// A counter's name on its way.
fn sent_as(name: &str, label: Option<(&str, &str)>) -> String {
    match label {
        Some((key, value)) => format!("{name}{{{key}={value}}}"),
        None => name.to_owned(),
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
        ::metrics::with_local_recorder(&counts, || counter!("c", "kind" => "large").increment(1));
        assert_eq!(counts.take(), [("c{kind=large}".to_owned(), 1)]);
        assert_eq!(counts.take(), []);
    }

    #[test]
    fn only_what_decoding_counts_is_believed() {
        let counts = Counts::default();
        ::metrics::with_local_recorder(&counts, || {
            tell(&[
                ("sightstream_inputs_total".into(), 1),
                (COUNTERS[0].name.into(), u64::MAX),
            ]);
        });
        assert_eq!(counts.take(), [(COUNTERS[0].name.to_owned(), MOST)]);
    }
}
