//! The rows that are under way, and how long one may take.
//!
//! A row that waits for others is not at fault: with many subtasks, thousands may be ahead of it. So its deadline counts only
//! once as many rows have ended as were ahead of it when it came. Where nothing moves at all, the oldest has nobody ahead of
//! it, and those after it follow.

use std::time::Duration;

use tokio::sync::watch;

/// All rows under way.
#[derive(Debug)]
pub struct Line {
    counts: watch::Sender<Counts>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    under_way: u64,
    ended: u64,
}

/// Where a row entered.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    ahead: u64,
    ended: u64,
}

impl Line {
    /// Nobody is in it.
    pub fn new() -> Self {
        Self {
            counts: watch::Sender::default(),
        }
    }

    /// Enters at the end.
    pub fn enter(&self) -> Place {
        let mut place = Place { ahead: 0, ended: 0 };
        self.counts.send_modify(|counts| {
            place = Place {
                ahead: counts.under_way,
                ended: counts.ended,
            };
            counts.under_way += 1;
        });
        place
    }

    /// Leaves, from anywhere in it.
    pub fn leave(&self) {
        self.counts.send_modify(|counts| {
            counts.under_way -= 1;
            counts.ended += 1;
        });
    }

    /// How many rows are in it.
    pub fn under_way(&self) -> u64 {
        self.counts.borrow().under_way
    }

    /// Completes when the row at `place` has had `deadline`, and those ahead of it, or as many others, have ended.
    pub async fn over(&self, place: Place, deadline: Duration) {
        tokio::time::sleep(deadline).await;
        let mut counts = self.counts.subscribe();
        let over = counts
            .wait_for(|counts| counts.ended - place.ended >= place.ahead)
            .await;
        drop(over.expect("the line has the sender"));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    async fn is_over(line: &Line, place: Place) -> bool {
        let mut over = Box::pin(line.over(place, Duration::ZERO));
        // A deadline of nothing takes one turn of the timer.
        tokio::time::sleep(Duration::from_millis(20)).await;
        (&mut over).now_or_never().is_some() || {
            tokio::time::sleep(Duration::from_millis(20)).await;
            over.now_or_never().is_some()
        }
    }

    #[tokio::test]
    async fn who_has_others_ahead_waits_for_as_many_to_end() {
        let line = Line::new();
        let (first, second, third) = (line.enter(), line.enter(), line.enter());
        assert!(is_over(&line, first).await);
        assert!(!is_over(&line, second).await);
        line.leave();
        assert!(is_over(&line, second).await);
        assert!(!is_over(&line, third).await);
        line.leave();
        assert!(is_over(&line, third).await);
        assert_eq!(line.under_way(), 1);
    }
}
