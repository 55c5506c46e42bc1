//! What a run leaves for people to look at: `log.csv`, TensorBoard's events, and a picture of the loss curve.
//!
//! Each is continued by a run that is resumed. Steps that the earlier run went on for after the checkpoint are dropped, as
//! they are made again: no step is there twice, and none is missing.

mod canvas;
mod csv_log;
mod curve;
mod events;

use std::path::{Path, PathBuf};

pub use events::{Scalar, read_scalars};

use self::csv_log::CsvLog;
use self::events::EventFile;
use super::trainer::StepReport;
use crate::error::JobError;
use crate::whole;

/// One step, as it is reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// The optimiser step, from 1.
    pub step: u64,
    /// InfoNCE over the batch.
    pub loss: f32,
    /// The share of queries whose own target is the nearest of the batch.
    pub accuracy: f32,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// The norm of all gradients together, before clipping.
    pub gradient_norm: f64,
    /// Queries of the step.
    pub samples: u64,
    /// How long the step took, waiting for data included.
    pub seconds: f64,
    /// How long of that it waited for data.
    pub waited: f64,
}

impl Row {
    /// Queries a second.
    pub fn samples_per_second(&self) -> f64 {
        if self.seconds > 0.0 {
            self.samples as f64 / self.seconds
        } else {
            0.0
        }
    }
}

impl From<&StepReport> for Row {
    fn from(step: &StepReport) -> Self {
        Self {
            step: step.step,
            loss: step.loss,
            accuracy: step.accuracy,
            learning_rate: step.learning_rate,
            gradient_norm: step.gradient_norm,
            samples: step.samples,
            seconds: step.seconds,
            waited: step.waited,
        }
    }
}

/// The reports of one run.
#[derive(Debug)]
pub struct Reports {
    directory: PathBuf,
    csv: CsvLog,
    events: EventFile,
}

impl Reports {
    /// Whether `directory` holds reports of a run already.
    pub fn are_in(directory: &Path) -> bool {
        directory.join(csv_log::NAME).exists()
    }

    /// Opens the reports in `directory`, the output folder of a run, for what comes after step `after`: 0 for a new run.
    ///
    /// # Errors
    /// [`JobError::Io`] for a file that cannot be read or written, and [`JobError::Config`] for a `log.csv` of something else.
    pub fn open(directory: &Path, after: u64) -> Result<Self, JobError> {
        let csv = CsvLog::open(directory, after)?;
        let events = EventFile::open(&directory.join("runs"), after)?;
        Ok(Self {
            directory: directory.to_path_buf(),
            csv,
            events,
        })
    }

    /// Adds a step to all of them. It is in the files when this returns.
    ///
    /// # Errors
    /// [`JobError::Io`].
    pub fn record(&mut self, row: &Row) -> Result<(), JobError> {
        self.csv.add(row)?;
        self.events.add(row)
    }

    /// All steps so far, those of earlier runs too.
    pub fn rows(&self) -> &[Row] {
        self.csv.rows()
    }

    /// Brings the steps so far to the disk: those that a checkpoint comes after must not be lost with the machine.
    ///
    /// # Errors
    /// [`JobError::Io`].
    pub fn sync(&self) -> Result<(), JobError> {
        self.csv.sync()?;
        self.events.sync()
    }

    /// Draws `loss.png`, and makes all files durable.
    ///
    /// # Errors
    /// [`JobError::Io`].
    pub fn finish(&mut self) -> Result<(), JobError> {
        self.sync()?;
        if self.rows().is_empty() {
            return Ok(());
        }
        let path = self.directory.join("loss.png");
        whole::write(&path, &curve::png(self.rows())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64) -> Row {
        Row {
            step,
            loss: 4.0 / step as f32,
            accuracy: 1.0 - 1.0 / step as f32,
            learning_rate: 1e-3 / step as f64,
            gradient_norm: 0.1,
            samples: 8,
            seconds: 0.5,
            waited: 0.1,
        }
    }

    fn steps(directory: &Path) -> (Vec<u64>, Vec<u64>) {
        let csv = CsvLog::open(directory, u64::MAX).expect("a log").rows().to_vec();
        let runs = std::fs::read_dir(directory.join("runs")).expect("a folder");
        let mut scalars = Vec::new();
        for file in runs {
            scalars.extend(read_scalars(&file.expect("a file").path()).expect("events"));
        }
        let losses = scalars.iter().filter(|scalar| scalar.tag == "train/loss");
        (
            csv.iter().map(|row| row.step).collect(),
            losses.map(|scalar| scalar.step).collect(),
        )
    }

    #[test]
    fn a_resumed_run_continues_its_files_without_a_step_twice() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut reports = Reports::open(folder.path(), 0).expect("a new run");
        for step in 1..=7 {
            reports.record(&row(step)).expect("a disk");
        }
        drop(reports);
        let mut reports = Reports::open(folder.path(), 5).expect("a run that was cut off");
        assert_eq!(reports.rows().len(), 5);
        for step in 6..=8 {
            reports.record(&row(step)).expect("a disk");
        }
        reports.finish().expect("a disk");
        let all: Vec<u64> = (1..=8).collect();
        assert_eq!(steps(folder.path()), (all.clone(), all));
        assert!(folder.path().join("loss.png").is_file());
    }

    #[test]
    fn what_a_killed_run_left_half_written_is_dropped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut reports = Reports::open(folder.path(), 0).expect("a new run");
        for step in 1..=3 {
            reports.record(&row(step)).expect("a disk");
        }
        drop(reports);
        let mut files = vec![folder.path().join("log.csv")];
        files.extend(
            std::fs::read_dir(folder.path().join("runs"))
                .expect("a folder")
                .map(|file| file.expect("a file").path()),
        );
        for file in files {
            let bytes = std::fs::read(&file).expect("a file");
            std::fs::write(&file, &bytes[..bytes.len() - 5]).expect("a file");
        }
        let mut reports = Reports::open(folder.path(), 2).expect("a run that was killed");
        reports.record(&row(3)).expect("a disk");
        assert_eq!(steps(folder.path()), (vec![1, 2, 3], vec![1, 2, 3]));
    }

    #[test]
    fn a_new_run_does_not_write_over_another() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(!Reports::are_in(folder.path()));
        drop(Reports::open(folder.path(), 0).expect("a new run"));
        assert!(Reports::are_in(folder.path()));
    }
}
