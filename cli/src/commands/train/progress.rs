//! How a run of training goes: a bar on a terminal, else lines of the log; and the files that it leaves.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{FormattedDuration, ProgressBar};
use sightstream_jobs::JobError;
use sightstream_jobs::train::report::{Reports, Row};
use sightstream_jobs::train::trainer::{Report, StepReport};

use crate::progress;

/// Steps over which speed and the time that is left are counted.
const RECENT: usize = 50;

/// Tells of every step, on the screen and in files.
pub struct Progress {
    reports: Reports,
    bar: ProgressBar,
    /// Steps between lines of the log.
    every: u64,
    recent: VecDeque<(u64, f64)>,
    /// Set when a report cannot be written: a run that nobody can see is stopped.
    stop: Arc<AtomicBool>,
    failure: Option<JobError>,
}

impl Progress {
    /// Shows a run that goes on after the steps that `reports` hold.
    pub fn start(reports: Reports, every: u64, stop: Arc<AtomicBool>) -> Self {
        let bar = progress::bar("training", None);
        bar.set_position(reports.rows().last().map_or(0, |row| row.step));
        // Steps of an earlier process say nothing of how fast this one is.
        bar.reset_eta();
        bar.set_message("waiting for the first batch");
        Self {
            reports,
            bar,
            every,
            recent: VecDeque::with_capacity(RECENT),
            stop,
            failure: None,
        }
    }

    /// Ends the bar and completes the files, the picture of the curves among them.
    ///
    /// # Errors
    /// The first that a report met.
    pub fn finish(mut self) -> Result<Reports, JobError> {
        self.bar.finish_and_clear();
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => self.reports.finish().map(|()| self.reports),
        }
    }

    /// Queries a second, and seconds a step.
    fn speed(&self) -> (f64, f64) {
        let seconds: f64 = self.recent.iter().map(|(_, seconds)| seconds).sum();
        let samples: u64 = self.recent.iter().map(|(samples, _)| samples).sum();
        let steps = self.recent.len().max(1) as f64;
        (samples as f64 / seconds.max(f64::MIN_POSITIVE), seconds / steps)
    }
}

impl Report for Progress {
    fn step(&mut self, step: &StepReport) {
        // The first failure is kept, and stops the run.
        if self.failure.is_none()
            && let Err(error) = self.reports.record(&Row::from(step))
        {
            self.failure = Some(error);
            self.stop.store(true, Ordering::Relaxed);
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((step.samples, step.seconds));
        let (samples_per_second, seconds_per_step) = self.speed();
        let StepReport {
            step,
            max_steps,
            loss,
            accuracy,
            learning_rate,
            ..
        } = *step;
        if self.bar.length().is_none() {
            self.bar.set_style(progress::style(true));
            self.bar.set_length(max_steps);
        }
        let left = Duration::from_secs_f64(seconds_per_step * max_steps.saturating_sub(step) as f64);
        self.bar.set_position(step);
        self.bar.set_message(format!(
            "loss {loss:.4}  accuracy {accuracy:.3}  rate {learning_rate:.2e}  {samples_per_second:.1} samples/s"
        ));
        if self.bar.is_hidden() && (step.is_multiple_of(self.every) || step == 1 || step == max_steps) {
            tracing::info!(
                step,
                max_steps,
                loss = rounded(loss.into(), 1e6),
                accuracy = rounded(accuracy.into(), 1e4),
                learning_rate = rounded(learning_rate, 1e12),
                samples_per_second = rounded(samples_per_second, 10.0),
                left = %FormattedDuration(left),
                "training"
            );
        }
    }

    fn saving(&mut self, _step: u64) -> Result<(), JobError> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => self.reports.sync(),
        }
    }

    fn saved(&mut self, step: u64, folder: &Path) {
        tracing::info!(step, checkpoint = %folder.display(), "saved");
    }
}

/// `number` in steps of one over `parts`: what a line of the log has room for. `log.csv` has every digit.
fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}
