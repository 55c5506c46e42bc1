//! What became of rows: counters, the log, and dead letters.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use sightstream_model::reference::MediaReference;

use crate::dead_letters::DeadLetters;
use crate::row::{Failure, Row};

const ROWS: &str = "sightstream_udf_rows_total";
const UNDER_WAY: &str = "sightstream_udf_rows_under_way";
const READY: &str = "sightstream_udf_ready";
const DEAD_LETTERS: &str = "sightstream_dead_letters_total";

/// The most lines of a kind in a [`WINDOW`].
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// The most characters of a reason.
const MOST_OF_A_REASON: usize = 4 << 10;

/// Tells the recorder what each metric of the plugin is.
pub fn describe() {
    describe_counter!(
        ROWS,
        Unit::Count,
        "Rows by function, outcome (ok, failed, cancelled) and, for those that failed, the reason."
    );
    describe_gauge!(UNDER_WAY, Unit::Count, "Rows that were taken and have no value yet.");
    describe_gauge!(
        READY,
        Unit::Count,
        "1 while rows of the function can be worked on, 0 while they are held."
    );
    describe_counter!(DEAD_LETTERS, Unit::Count, "Dead letters by reason.");
    crate::dead_letters::describe();
}

/// Whether rows of the function can be worked on.
pub fn ready(function: &'static str, ready: bool) {
    gauge!(READY, "function" => function).set(if ready { 1.0 } else { 0.0 });
}

/// Tells what became of rows.
pub struct Teller {
    log: Mutex<Budget>,
    dead_letters: Option<DeadLetters>,
}

impl Teller {
    /// Dead letters go nowhere if there are none.
    pub fn new(dead_letters: Option<DeadLetters>) -> Self {
        Self {
            log: Mutex::default(),
            dead_letters,
        }
    }

    /// So many rows are under way.
    pub fn under_way(&self, rows: u64) {
        gauge!(UNDER_WAY).set(rows as f64);
    }

    /// The row has its value.
    pub fn done(&self, row: &Row) {
        counter!(ROWS, "function" => row.function.name(), "outcome" => "ok", "reason" => "none").increment(1);
    }

    /// The row's pipeline does not want it any more. Arroyo has it in a checkpoint, or reads it again.
    pub fn cancelled(&self, row: &Row) {
        counter!(ROWS, "function" => row.function.name(), "outcome" => "cancelled", "reason" => "none").increment(1);
    }

    /// The row is NULL.
    pub fn failed(&self, row: &Row, failure: &Failure) {
        let function = row.function.name();
        counter!(ROWS, "function" => function, "outcome" => "failed", "reason" => failure.code).increment(1);
        let reason = shortened(&failure.reason);
        if let Some(dead_letters) = &self.dead_letters {
            dead_letters.send(row, failure.code, reason);
            counter!(DEAD_LETTERS, "reason" => failure.code).increment(1);
        }
        let taken = self
            .log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(Instant::now());
        if let Some(left_out) = taken {
            let url = named(&row.url);
            tracing::warn!(
                function,
                url = shortened(&url),
                code = failure.code,
                reason,
                left_out,
                "a row is NULL"
            );
        }
    }
}

/// How much of the log one kind of line may take.
#[derive(Debug, Default)]
pub struct Budget {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Budget {
    /// Whether a line may be written now, and how many were not since the last one.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        if self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= WINDOW)
        {
            (self.since, self.lines) = (Some(now), 0);
        }
        if self.lines == LINES {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// The reference in few words and without its secrets: reasons of time and of the model do not name it.
fn named(url: &str) -> String {
    MediaReference::parse(url).map_or_else(|error| error.to_string(), |reference| reference.to_string())
}

fn shortened(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(MOST_OF_A_REASON)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_some_lines_a_while_and_counts_the_rest() {
        let (mut budget, start) = (Budget::default(), Instant::now());
        for _ in 0..LINES {
            assert_eq!(budget.take(start), Some(0));
        }
        assert_eq!((budget.take(start), budget.take(start + WINDOW / 2)), (None, None));
        assert_eq!(budget.take(start + WINDOW), Some(2));
        assert_eq!(budget.take(start + WINDOW), Some(0));
    }

    #[test]
    fn a_row_is_named_without_secrets_and_in_few_words() {
        let shown = named("https://who:secret@host/film.mp4?sig=secret");
        assert!(shown.contains("host/film.mp4") && !shown.contains("secret"), "{shown}");
        let wrong = named("https://who:secret@host:port/film.mp4");
        assert!(
            wrong.contains("not a media reference") && !wrong.contains("secret"),
            "{wrong}"
        );
        assert!(named(&format!("data:,{}", "x".repeat(1 << 20))).len() < 1 << 10);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let long = "ä".repeat(MOST_OF_A_REASON);
        assert!(shortened(&long).len() <= MOST_OF_A_REASON && long.starts_with(shortened(&long)));
        assert_eq!(shortened("short"), "short");
    }
}
