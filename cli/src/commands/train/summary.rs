//! What a run tells at its end.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use sightstream_jobs::train::report::Row;

use crate::logging;
use crate::memory;
use crate::progress::{self, grouped};

/// Steps whose mean is told as how the run stood at its end.
const LAST: usize = 20;

/// The numbers of a run, those of the processes before it that it went on after among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    steps: u64,
    samples: u64,
    loss: f64,
    accuracy: f64,
    seconds: f64,
    waited: f64,
    /// Rows that were left out, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// The most memory that the process ever had, in bytes.
    peak_memory: Option<u64>,
    /// Where the model is, and what to do with it.
    pub result: (PathBuf, &'static str),
}

impl Summary {
    /// Adds up `rows`.
    pub fn of(rows: &[Row], skipped: BTreeMap<String, u64>, result: (PathBuf, &'static str)) -> Self {
        let last = &rows[rows.len().saturating_sub(LAST)..];
        let mean = |value: fn(&Row) -> f32| {
            let sum: f64 = last.iter().map(|row| f64::from(value(row))).sum();
            sum / last.len().max(1) as f64
        };
        Self {
            steps: rows.last().map_or(0, |row| row.step),
            samples: rows.iter().map(|row| row.samples).sum(),
            loss: mean(|row| row.loss),
            accuracy: mean(|row| row.accuracy),
            seconds: rows.iter().map(|row| row.seconds).sum(),
            waited: rows.iter().map(|row| row.waited).sum(),
            skipped,
            peak_memory: memory::peak().ok(),
            result,
        }
    }

    /// Tells it on standard error.
    pub fn tell(&self) {
        if logging::is_json() {
            tracing::info!(
                steps = self.steps,
                samples = self.samples,
                loss = self.loss,
                accuracy = self.accuracy,
                samples_per_second = self.samples_per_second(),
                seconds = self.seconds,
                waited_seconds = self.waited,
                skipped = self.skipped.values().sum::<u64>(),
                skipped_reasons = self.reasons(),
                peak_memory_bytes = self.peak_memory,
                result = %self.result.0.display(),
                "the run has ended"
            );
        } else {
            progress::tell(self.table());
        }
    }

    fn table(&self) -> String {
        let mut lines = String::new();
        let mut line = |name: &str, value: String, more: String| {
            let text = format!("{name:<20}{value:>14}   {more}");
            let _ = writeln!(lines, "{}", text.trim_end());
        };
        line("steps", grouped(self.steps), String::new());
        line("samples", grouped(self.samples), String::new());
        line(
            "loss",
            format!("{:.4}", self.loss),
            format!("the mean of the last {LAST} steps"),
        );
        line("accuracy", format!("{:.4}", self.accuracy), "in the batch".to_string());
        let waited = 100.0 * self.waited / self.seconds.max(f64::MIN_POSITIVE);
        line(
            "samples per second",
            format!("{:.1}", self.samples_per_second()),
            format!("in {:.1} s, {waited:.0} % of them waiting for data", self.seconds),
        );
        let skipped = self.skipped.values().sum::<u64>();
        if skipped > 0 {
            line("rows skipped", grouped(skipped), self.reasons());
        }
        if let Some(peak) = self.peak_memory {
            line("peak memory", format!("{} MiB", grouped(peak >> 20)), String::new());
        }
        let (path, then) = &self.result;
        let _ = write!(lines, "{:<20}{}{then}", "result", path.display());
        lines
    }

    fn samples_per_second(&self) -> f64 {
        if self.seconds > 0.0 {
            self.samples as f64 / self.seconds
        } else {
            0.0
        }
    }

    fn reasons(&self) -> String {
        let reasons = self
            .skipped
            .iter()
            .map(|(reason, count)| format!("{reason} {}", grouped(*count)));
        reasons.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_the_end_of_the_run_and_every_reason() {
        let row = |step: u64| Row {
            step,
            loss: if step > 10 { 0.5 } else { 4.0 },
            accuracy: 0.75,
            learning_rate: 1e-3,
            gradient_norm: 1.0,
            samples: 100,
            seconds: 0.5,
            waited: 0.05,
        };
        let rows: Vec<Row> = (1..=30).map(row).collect();
        let skipped = [("corrupt".to_string(), 1), ("not_found".to_string(), 1_200)].into();
        let mut summary = Summary::of(&rows, skipped, ("runs/demo".into(), ""));
        assert!(summary.peak_memory.is_some_and(|bytes| bytes > 1 << 20));
        summary.peak_memory = Some(5 << 30);
        let expected = "\
steps                           30
samples                      3,000
loss                        0.5000   the mean of the last 20 steps
accuracy                    0.7500   in the batch
samples per second           200.0   in 15.0 s, 10 % of them waiting for data
rows skipped                 1,201   corrupt 1, not_found 1,200
peak memory              5,120 MiB
result              runs/demo";
        assert_eq!(summary.table(), expected);
    }
}
