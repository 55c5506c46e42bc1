//! The rows that are under way, and how long one may take.
//!
//! A row that waits for others is not at fault: with many subtasks, thousands may be ahead of it. So its deadline counts only
//! from when as many rows have ended as were ahead of it when it came. Where nothing moves at all, the oldest has nobody ahead
//! of it, and those after it follow: an end by a deadline starts nobody's anew.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// All rows under way.
#[derive(Debug)]
pub struct Line {
    counts: watch::Sender<Counts>,
}

/// How a row left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a value, a failure of its own, or because nobody wants it any more: those behind it move up.
    Moved,
    /// By a deadline: nothing has moved.
    Late,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    under_way: u64,
    ended: u64,
    /// The last [`End::Moved`].
    moved_at: Option<Instant>,
}

/// Where a row entered.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    ahead: u64,
    ended: u64,
    entered: Instant,
}

impl Counts {
    fn enter(&mut self, now: Instant) -> Place {
        let place = Place {
            ahead: self.under_way,
            ended: self.ended,
            entered: now,
        };
        self.under_way += 1;
        place
    }

    fn leave(&mut self, end: End, now: Instant) {
        self.under_way -= 1;
        self.ended += 1;
        if end == End::Moved {
            self.moved_at = Some(now);
        }
    }

    /// Since when the deadline of `place` counts; `None` while others are ahead of it.
    fn counts_since(&self, place: Place) -> Option<Instant> {
        let is_first = self.ended - place.ended >= place.ahead;
        is_first.then(|| match self.moved_at {
            // Nobody was ahead of it: what moves behind it is no reason to wait.
            Some(moved_at) if place.ahead > 0 => moved_at.max(place.entered),
            _ => place.entered,
        })
    }
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
        let mut place = None;
        self.counts
            .send_modify(|counts| place = Some(counts.enter(Instant::now())));
        place.expect("`send_modify` calls what it is given")
    }

    /// Leaves, from anywhere in it.
    pub fn leave(&self, end: End) {
        self.counts.send_modify(|counts| counts.leave(end, Instant::now()));
    }

    /// How many rows are in it.
    pub fn under_way(&self) -> u64 {
        self.counts.borrow().under_way
    }

    /// Completes when the row at `place` has had `deadline` since those ahead of it, or as many others, have ended.
    pub async fn over(&self, place: Place, deadline: Duration) {
        let mut since = None;
        let mut counts = self.counts.subscribe();
        let first = counts.wait_for(|counts| {
            since = counts.counts_since(place);
            since.is_some()
        });
        drop(first.await.expect("the line has the sender"));
        let since = since.expect("it was waited for");
        // What is left rather than an instant, which a long deadline would pass.
        tokio::time::sleep(deadline.saturating_sub(since.elapsed())).await;
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
        line.leave(End::Moved);
        assert!(is_over(&line, second).await);
        assert!(!is_over(&line, third).await);
        line.leave(End::Moved);
        assert!(is_over(&line, third).await);
        assert_eq!(line.under_way(), 1);
    }

    #[test]
    fn a_deadline_counts_from_when_those_ahead_have_ended() {
        let (mut counts, start) = (Counts::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = counts.enter(at(0));
        let second = counts.enter(at(0));
        let third = counts.enter(at(5));
        assert_eq!(counts.counts_since(first), Some(at(0)));
        assert_eq!((counts.counts_since(second), counts.counts_since(third)), (None, None));
        counts.leave(End::Moved, at(70));
        assert_eq!(counts.counts_since(second), Some(at(70)), "it has its whole deadline");
        assert_eq!(counts.counts_since(third), None);
        counts.leave(End::Moved, at(90));
        assert_eq!(counts.counts_since(third), Some(at(90)));
    }

    #[test]
    fn where_nothing_moves_all_deadlines_count_from_their_entry() {
        let (mut counts, start) = (Counts::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        counts.enter(at(0));
        let (second, third) = (counts.enter(at(1)), counts.enter(at(2)));
        counts.leave(End::Late, at(60));
        assert_eq!(counts.counts_since(second), Some(at(1)));
        counts.leave(End::Late, at(61));
        assert_eq!(counts.counts_since(third), Some(at(2)));
    }

    #[test]
    fn who_has_nobody_ahead_does_not_wait_for_those_behind() {
        let (mut counts, start) = (Counts::default(), Instant::now());
        let first = counts.enter(start);
        counts.enter(start);
        counts.leave(End::Moved, start + Duration::from_secs(50));
        assert_eq!(counts.counts_since(first), Some(start));
    }
}
