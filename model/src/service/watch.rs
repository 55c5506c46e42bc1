//! How long the device has been at its batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Looks at the device thread from outside: a batch that never ends shows nowhere else.
#[derive(Debug, Clone)]
pub struct DeviceWatch {
    started: Instant,
    /// Milliseconds from `started` to when the batch began, plus one; 0 between batches.
    begun: Arc<AtomicU64>,
    released: Arc<AtomicBool>,
}

impl DeviceWatch {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            begun: Arc::default(),
            released: Arc::default(),
        }
    }

    /// A batch begins.
    pub(super) fn begin(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.begun.store(elapsed + 1, Ordering::Relaxed);
    }

    /// The batch has ended.
    pub(super) fn end(&self) {
        self.begun.store(0, Ordering::Relaxed);
    }

    /// The model is given up, or there again.
    pub(super) fn set_released(&self, released: bool) {
        self.released.store(released, Ordering::Relaxed);
    }

    /// Whether the model is given up until the next request.
    pub fn is_released(&self) -> bool {
        self.released.load(Ordering::Relaxed)
    }

    /// How long the device has been at one batch; `None` between batches.
    pub fn busy_for(&self) -> Option<Duration> {
        let begun = self.begun.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.started.elapsed().saturating_sub(Duration::from_millis(begun)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_timed_from_its_beginning_to_its_end() {
        let watch = DeviceWatch::new();
        assert_eq!(watch.busy_for(), None);
        watch.begin();
        std::thread::sleep(Duration::from_millis(20));
        assert!(
            watch
                .clone()
                .busy_for()
                .is_some_and(|busy| busy >= Duration::from_millis(15))
        );
        watch.end();
        assert_eq!(watch.busy_for(), None);
    }
}
