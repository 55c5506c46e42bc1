//! What workers say on their standard error: logged, a few lines at a time, and kept as last words.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::ChildStderr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::reply::readable;

/// The longest line that is taken whole.
const LINE: u64 = 4096;

/// How many lines are kept of each worker.
const KEPT: usize = 6;

/// All workers together log at most so many lines in a [`WINDOW`].
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);

/// How long a dead worker's last words are waited for. A process that it has left behind may hold the pipe.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How many lines may still be logged.
#[derive(Debug)]
pub(super) struct LogBudget {
    since: Instant,
    logged: u32,
    suppressed: u64,
}

impl LogBudget {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            logged: 0,
            suppressed: 0,
        }
    }

    /// Whether a line may be logged now, and how many were not since the last one that was.
    fn take(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= WINDOW {
            self.since = now;
            self.logged = 0;
        }
        if self.logged == LINES {
            self.suppressed += 1;
            return None;
        }
        self.logged += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// The standard error of one worker.
#[derive(Debug)]
pub(super) struct Stderr {
    kept: Arc<Mutex<VecDeque<String>>>,
    reader: JoinHandle<()>,
}

impl Stderr {
    /// Reads it on a thread of its own, until the worker ends.
    pub(super) fn follow(stderr: ChildStderr, pid: u32, budget: Arc<Mutex<LogBudget>>) -> std::io::Result<Self> {
        let kept = Arc::new(Mutex::new(VecDeque::with_capacity(KEPT)));
        let lines = Arc::clone(&kept);
        let reader = thread::Builder::new()
            .name("sightstream-dec-log".into())
            .spawn(move || read(stderr, pid, &lines, &budget))?;
        Ok(Self { kept, reader })
    }

    /// The last lines of a worker that has ended, in one.
    pub(super) fn last_words(&self) -> String {
        let give_up = Instant::now() + LAST_WORDS;
        while !self.reader.is_finished() && Instant::now() < give_up {
            thread::sleep(Duration::from_millis(1));
        }
        let kept = locked(&self.kept);
        kept.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
    }
}

fn read(stderr: ChildStderr, pid: u32, kept: &Mutex<VecDeque<String>>, budget: &Mutex<LogBudget>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match stderr.by_ref().take(LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = readable(String::from_utf8_lossy(&line).trim());
        if text.is_empty() {
            continue;
        }
        if let Some(suppressed) = locked(budget).take(Instant::now()) {
            tracing::warn!(pid, suppressed, line = text, "a decode worker says");
        }
        let mut kept = locked(kept);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(text);
    }
}

/// Nothing panics while it holds one of these locks.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_talks_without_end_is_heard_a_few_lines_at_a_time() {
        let mut budget = LogBudget::new();
        let start = Instant::now();
        let heard = (0..1000).filter(|_| budget.take(start).is_some()).count();
        assert_eq!(heard, LINES as usize);
        assert_eq!(budget.take(start + WINDOW), Some(1000 - u64::from(LINES)));
        assert_eq!(budget.take(start + WINDOW), Some(0));
    }
}
