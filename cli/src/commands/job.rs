//! What `run` and `quickstart` share: the progress of a job, and the report at its end.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use sightstream_connectors::EpochLimits;
use sightstream_sql::{JobOptions, JobSummary, Plan, Progress, ProgressSnapshot};
use tokio::task::JoinHandle;

use crate::args::JobArgs;
use crate::memory::{Records, Wish};
use crate::progress::{self, grouped};

/// Epochs computed at the same time, where nothing else is said: enough to keep the device busy while the slowest
/// download of one epoch is waited for.
const EPOCHS_IN_FLIGHT: usize = 4;

/// Within what an orchestrator usually grants (Kubernetes 30 s, systemd 90 s) before it kills.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

const REFRESH: Duration = Duration::from_millis(200);

/// How often a job without a terminal logs its progress.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// Rows of an epoch whose media are taken apart, where nothing else is said: an hour of video makes 120 rows of one.
const EPOCH_ROWS_OF_WHOLES: usize = 16;

/// Rows of an epoch that nothing is embedded of: they cost so little that a commit would cost more.
const EPOCH_ROWS_AS_THEY_ARE: usize = 2048;

/// The options of the job in `file`, which does what `plan` says.
pub fn options(args: &JobArgs, file: &Path, until_caught_up: bool, plan: &Plan) -> JobOptions {
    let mut defaults = EpochLimits::default();
    if plan.lists_parts() {
        defaults.records = EPOCH_ROWS_OF_WHOLES;
    } else if !plan.uses_embedding() {
        defaults.records = EPOCH_ROWS_AS_THEY_ARE;
    }
    JobOptions {
        until_caught_up,
        dead_letters: args.dead_letters(file),
        epoch: EpochLimits {
            records: args.epoch_rows.unwrap_or(defaults.records),
            bytes: args.epoch_bytes.unwrap_or(defaults.bytes),
            delay: args.epoch_delay.unwrap_or(defaults.delay),
        },
        epochs_in_flight: args.epochs_in_flight.unwrap_or(EPOCHS_IN_FLIGHT),
        stop_timeout: args.stop_timeout.unwrap_or(STOP_TIMEOUT),
    }
}

/// What a job with so many sources holds of their records.
pub fn records(args: &JobArgs, sources: usize) -> Records {
    Records {
        sources: sources as u64,
        epochs_in_flight: args.epochs_in_flight.unwrap_or(EPOCHS_IN_FLIGHT) as u64,
        epoch_bytes: match args.epoch_bytes {
            Some(bytes) => Wish::Given(bytes as u64),
            None => Wish::UpTo(EpochLimits::default().bytes as u64),
        },
    }
}

/// How far a job knows its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// It runs until it is stopped.
    Endless,
    /// It ends with what is in its sources.
    Backlog,
    /// It ends after so many records.
    Records(u64),
}

/// Shows a job's progress while it lives: a bar on a terminal, else a log line from time to time.
pub struct Watch {
    bar: ProgressBar,
    task: JoinHandle<()>,
}

impl Watch {
    /// Starts to show `progress`.
    pub fn start(progress: Arc<Progress>, extent: Extent) -> Self {
        let total = match extent {
            Extent::Records(total) => Some(total),
            Extent::Endless | Extent::Backlog => None,
        };
        let bar = progress::bar("indexing", total);
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            let mut logged = Instant::now();
            loop {
                tokio::time::sleep(REFRESH).await;
                let now = progress.snapshot();
                show(&shown, &now, extent);
                if shown.is_hidden() && logged.elapsed() >= LOG_EVERY {
                    logged = Instant::now();
                    let ProgressSnapshot {
                        read,
                        written,
                        deleted,
                        dropped,
                        dead_lettered,
                        backlog,
                    } = now;
                    tracing::info!(read, written, deleted, dropped, dead_lettered, backlog, "progress");
                }
            }
        });
        Self { bar, task }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}

fn show(bar: &ProgressBar, now: &ProgressSnapshot, extent: Extent) {
    bar.set_position(now.read);
    if now.read == 0 {
        bar.set_message("waiting for the first rows");
        return;
    }
    let mut message = format!("{} indexed", grouped(now.written));
    if now.dead_lettered > 0 {
        let _ = write!(message, ", {} dead-lettered", grouped(now.dead_lettered));
    }
    match (extent, now.backlog) {
        (Extent::Backlog, Some(backlog)) => {
            if bar.length().is_none() {
                bar.set_style(progress::style(true));
            }
            bar.set_length(now.read + backlog);
        }
        (Extent::Endless, Some(backlog)) if backlog > 0 => {
            let _ = write!(message, ", {} waiting", grouped(backlog));
        }
        _ => {}
    }
    bar.set_message(message);
}

/// The counts of a job, a line each: rows read, indexed, dead-lettered by reason, and rows per second.
pub fn report(summary: &JobSummary) -> String {
    let mut lines = format!("{:<16}{:>12}\n", "rows read", grouped(summary.read));
    let _ = writeln!(lines, "{:<16}{:>12}", "indexed", grouped(summary.written));
    if summary.deleted > 0 {
        let _ = writeln!(lines, "{:<16}{:>12}", "deleted", grouped(summary.deleted));
    }
    if summary.dropped > 0 {
        let _ = writeln!(
            lines,
            "{:<16}{:>12}   by bad_data = 'drop'",
            "dropped",
            grouped(summary.dropped)
        );
    }
    let dead: u64 = summary.dead_lettered.values().sum();
    let _ = write!(lines, "{:<16}{:>12}", "dead-lettered", grouped(dead));
    if dead > 0 {
        let _ = write!(lines, "   {}", reasons(summary));
    }
    let _ = write!(
        lines,
        "\n{:<16}{:>12}",
        "rows per second",
        format!("{:.1}", rows_per_second(summary))
    );
    let _ = write!(lines, "   in {:.1} s", summary.elapsed.as_secs_f64());
    lines
}

/// The dead letters by reason: `corrupt 1, not_found 2`.
pub fn reasons(summary: &JobSummary) -> String {
    let reasons = summary.dead_lettered.iter();
    let reasons: Vec<String> = reasons
        .map(|(reason, count)| format!("{reason} {}", grouped(*count)))
        .collect();
    reasons.join(", ")
}

/// Records read for each second that the job ran.
pub fn rows_per_second(summary: &JobSummary) -> f64 {
    let seconds = summary.elapsed.as_secs_f64();
    if seconds > 0.0 {
        summary.read as f64 / seconds
    } else {
        0.0
    }
}

/// What a job has done so far, where it ended with an error.
pub fn summary_so_far(progress: &Progress, elapsed: Duration) -> JobSummary {
    let counts = progress.snapshot();
    let dead_lettered: BTreeMap<String, u64> = progress.dead_lettered_by_reason();
    JobSummary {
        read: counts.read,
        written: counts.written,
        deleted: counts.deleted,
        dropped: counts.dropped,
        dead_lettered,
        elapsed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_every_count_and_every_reason() {
        let summary = JobSummary {
            read: 10_000,
            written: 9_994,
            deleted: 1,
            dropped: 2,
            dead_lettered: [("corrupt".to_string(), 1), ("not_found".to_string(), 2)].into(),
            elapsed: Duration::from_secs(40),
        };
        let expected = "\
rows read             10,000
indexed                9,994
deleted                    1
dropped                    2   by bad_data = 'drop'
dead-lettered              3   corrupt 1, not_found 2
rows per second        250.0   in 40.0 s";
        assert_eq!(report(&summary), expected);
    }

    #[test]
    fn a_job_that_took_no_time_has_no_rate() {
        let summary = JobSummary {
            read: 0,
            written: 0,
            deleted: 0,
            dropped: 0,
            dead_lettered: BTreeMap::new(),
            elapsed: Duration::ZERO,
        };
        assert!(report(&summary).contains("0.0   in 0.0 s"));
    }
}
