//! Room for media's bytes: what is fetched, or being fetched, until it is decoded.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A unit of room. Semaphores count in `u32`, so bytes are counted by the kibibyte.
const UNIT: usize = 1024;

/// The bytes of all media that are being fetched or wait to be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchedBytes {
    /// Of all together.
    pub all: usize,
    /// Of the largest medium that the fetcher takes: what each counts as until it is there.
    pub largest: usize,
}

/// So many bytes, shared by all media.
#[derive(Debug, Clone)]
pub(super) struct ByteBudget {
    room: Arc<Semaphore>,
    largest: u32,
}

/// A medium's share. Given back when it is dropped.
#[derive(Debug)]
pub struct Share(OwnedSemaphorePermit);

impl ByteBudget {
    /// Where one medium may be larger than all together, it is fetched alone.
    pub(super) fn new(FetchedBytes { all, largest }: FetchedBytes) -> Self {
        let all = units(all).max(1);
        Self {
            room: Arc::new(Semaphore::new(all as usize)),
            largest: units(largest).min(all),
        }
    }

    /// Waits for room for the largest medium. A share only ever shrinks, so that none waits for room while it holds some.
    pub(super) async fn reserve(&self) -> Share {
        let permit = Arc::clone(&self.room).acquire_many_owned(self.largest).await;
        Share(permit.expect("the room for media is never closed"))
    }
}

impl Share {
    /// Gives back what is not needed for so many bytes.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        let spare = self.0.num_permits().saturating_sub(units(bytes) as usize);
        drop(self.0.split(spare));
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn budget(all: usize, largest: usize) -> ByteBudget {
        ByteBudget::new(FetchedBytes {
            all: all * UNIT,
            largest: largest * UNIT,
        })
    }

    #[test]
    fn a_medium_holds_what_it_may_become_and_then_what_it_is() {
        let budget = budget(10, 6);
        let mut first = budget.reserve().now_or_never().expect("there is room");
        assert!(
            budget.reserve().now_or_never().is_none(),
            "both may be as large as that"
        );
        first.shrink_to(3 * UNIT + 1);
        let second = budget.reserve().now_or_never().expect("the first was smaller");
        assert!(budget.reserve().now_or_never().is_none());
        drop((first, second));
        assert!(budget.reserve().now_or_never().is_some());
    }

    #[test]
    fn a_medium_that_may_be_larger_than_all_is_alone() {
        let budget = budget(10, 100);
        let large = budget.reserve().now_or_never().expect("there is room");
        assert!(budget.reserve().now_or_never().is_none());
        drop(large);
        assert!(budget.reserve().now_or_never().is_some());
    }
}
