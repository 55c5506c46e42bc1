//! Whether the process works, and whether it takes rows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sightstream_connectors::{Waiting, Waits};
use sightstream_model::service::DeviceWatch;
use sightstream_sql::Progress;

/// How often the job's threads show that they work.
const BEAT: Duration = Duration::from_secs(1);

/// How long they may show nothing before the process counts as stuck: longer than a machine stalls under load.
const SILENCE: Duration = Duration::from_secs(60);

/// How long one batch may take on the device before the device counts as stuck: longer than the largest batch takes on
/// a slow processor.
const LONGEST_BATCH: Duration = Duration::from_secs(600);

/// How far a job is.
enum Phase {
    /// It does this before it takes rows.
    Starting(&'static str),
    /// It takes rows.
    Running(Arc<Progress>, Waits),
    /// It finishes what is in flight.
    Stopping,
}

/// What is known of a process and its job.
///
/// It is not alive if its threads or its device are stuck, which a restart may mend. It is not ready while it starts,
/// stops, or waits for another system: a restart mends nothing then.
pub struct Health {
    phase: Mutex<Phase>,
    device: Mutex<Option<DeviceWatch>>,
    started: Instant,
    /// Milliseconds from `started` to the last beat.
    beat: AtomicU64,
}

impl Health {
    /// Of a job that starts. Has to be called on the runtime that the job runs on, whose beat it feels.
    pub fn watch() -> Arc<Self> {
        let health = Arc::new(Self {
            phase: Mutex::new(Phase::Starting("the job starts")),
            device: Mutex::default(),
            started: Instant::now(),
            beat: AtomicU64::new(0),
        });
        let beating = Arc::downgrade(&health);
        tokio::spawn(async move {
            while let Some(health) = beating.upgrade() {
                health.beat.store(millis(health.started.elapsed()), Ordering::Relaxed);
                drop(health);
                tokio::time::sleep(BEAT).await;
            }
        });
        health
    }

    /// The job does this before it takes rows.
    pub fn starts(&self, doing: &'static str) {
        *lock(&self.phase) = Phase::Starting(doing);
    }

    /// The model is loaded, and its device can be watched.
    pub fn has_device(&self, device: DeviceWatch) {
        *lock(&self.device) = Some(device);
    }

    /// The job takes rows.
    pub fn runs(&self, progress: Arc<Progress>, waits: Waits) {
        *lock(&self.phase) = Phase::Running(progress, waits);
    }

    /// The job finishes what is in flight.
    pub fn stops(&self) {
        *lock(&self.phase) = Phase::Stopping;
    }

    /// Whether the process works.
    ///
    /// # Errors
    /// What is stuck.
    pub fn live(&self) -> Result<(), Vec<String>> {
        let mut stuck = Vec::new();
        let silent = self
            .started
            .elapsed()
            .saturating_sub(Duration::from_millis(self.beat.load(Ordering::Relaxed)));
        if silent > SILENCE {
            stuck.push(format!("the job's threads have been stuck for {} s", silent.as_secs()));
        }
        let busy = lock(&self.device).as_ref().and_then(DeviceWatch::busy_for);
        if let Some(busy) = busy.filter(|busy| *busy > LONGEST_BATCH) {
            stuck.push(format!("the device has been at one batch for {} s", busy.as_secs()));
        }
        if stuck.is_empty() { Ok(()) } else { Err(stuck) }
    }

    /// Whether the job takes rows.
    ///
    /// # Errors
    /// Why it does not.
    pub fn ready(&self) -> Result<(), Vec<String>> {
        let reasons = match &*lock(&self.phase) {
            Phase::Starting(doing) => vec![(*doing).to_string()],
            Phase::Running(progress, waits) => {
                let waits = waits.current().into_iter().map(waiting);
                progress.obstacles().into_iter().chain(waits).collect()
            }
            Phase::Stopping => vec!["the job was asked to stop".to_string()],
        };
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }
}

fn waiting(wait: Waiting) -> String {
    let seconds = wait.since.elapsed().as_secs();
    format!(
        "waiting for {} ({}) for {seconds} s: {}",
        wait.system, wait.purpose, wait.reason
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// No code panics while it holds these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_is_ready_while_it_runs_and_says_why_not_before_and_after() {
        let health = Health::watch();
        health.starts("loading the model");
        assert_eq!(health.ready(), Err(vec!["loading the model".to_string()]));
        health.runs(Arc::default(), Waits::default());
        assert_eq!(health.ready(), Ok(()));
        health.stops();
        assert!(
            health
                .ready()
                .is_err_and(|reasons| reasons[0].contains("asked to stop"))
        );
        assert_eq!(health.live(), Ok(()), "a job that stops is alive");
    }

    #[tokio::test]
    async fn threads_that_show_nothing_are_stuck() {
        let health = Health {
            phase: Mutex::new(Phase::Stopping),
            device: Mutex::default(),
            started: Instant::now()
                .checked_sub(Duration::from_secs(100))
                .expect("the machine is up for longer"),
            beat: AtomicU64::new(0),
        };
        assert!(health.live().is_err_and(|stuck| stuck[0].contains("stuck for 100 s")));
        health.beat.store(99_000, Ordering::Relaxed);
        assert_eq!(health.live(), Ok(()));
    }
}
