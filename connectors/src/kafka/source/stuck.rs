//! Partitions that stand still before records that cannot be read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::kafka::unreadable::{UNREADABLE, named};
use crate::waiting::Wait;

/// How often a partition that stands still is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Errors further apart belong to different troubles: a client that tries fails several times a second.
const APART: Duration = Duration::from_secs(10);

/// Where partitions stand: the offset of the next record, where it is known.
type Places = BTreeMap<i32, Option<i64>>;

/// A wait for records that cannot be read.
pub(super) struct Stuck {
    since: Instant,
    last: Instant,
    looked: Instant,
    places: Places,
    wait: Wait,
}

impl Stuck {
    pub(super) fn new(now: Instant, places: Places, wait: Wait) -> Self {
        Self {
            since: now,
            last: now,
            looked: now,
            places,
            wait,
        }
    }

    /// An error has come. Gives why the source has to end, once that has lasted.
    pub(super) fn failed(&mut self, now: Instant, error: &str) -> Option<String> {
        if now.duration_since(self.last) > APART {
            self.since = now;
        }
        self.last = now;
        let reason = format!("{} cannot be read: {error}", named(&self.places));
        let lasted = now.duration_since(self.since);
        if lasted < UNREADABLE {
            self.wait.failed(reason);
            return None;
        }
        Some(format!("{reason} (for {} s)", lasted.as_secs()))
    }

    /// Whether it is time to look where the partitions stand.
    pub(super) fn wants_look(&self, now: Instant) -> bool {
        now.duration_since(self.looked) >= LOOK
    }

    /// Whether all partitions have moved on, or are gone; `behind` is where those stand that have more records.
    pub(super) fn is_over(&mut self, now: Instant, behind: &Places) -> bool {
        self.looked = now;
        self.places
            .retain(|partition, place| behind.get(partition) == Some(place));
        if self.places.is_empty() {
            self.wait.passed();
        }
        self.places.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Waits;

    #[test]
    fn errors_that_last_end_the_source_unless_the_partition_moves() {
        let waits = Waits::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let places: Places = [(0, Some(5)), (1, Some(7))].into();
        let mut stuck = Stuck::new(start, places, waits.wait_for("Kafka", "reading"));
        assert_eq!(stuck.failed(start, "bad"), None);
        let reason = &waits.current()[0].reason;
        assert_eq!(
            reason,
            "partition 0 from offset 5, partition 1 from offset 7 cannot be read: bad"
        );
        assert!(
            !stuck.is_over(at(1), &[(0, Some(5)), (1, Some(9))].into()),
            "one has moved on"
        );
        (1..30).for_each(|second| assert_eq!(stuck.failed(at(second), "bad"), None));
        let reason = stuck.failed(at(30), "bad").expect("it has lasted");
        assert_eq!(reason, "partition 0 from offset 5 cannot be read: bad (for 30 s)");
        assert_eq!(stuck.failed(at(60), "bad"), None, "after a pause it counts anew");
        assert!(stuck.is_over(at(61), &Places::new()));
        assert!(waits.current().is_empty());
    }
}
