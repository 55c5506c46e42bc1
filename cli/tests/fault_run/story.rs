//! What happened, for the report.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::schedule::Fault;
use crate::watch::Answer;

/// An event of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A fault began.
    Began(Fault),
    /// Its cause is gone; a server answers again.
    Over(Fault),
    /// The job was killed and started again; the number of the start.
    Killed { start: usize },
}

/// All events with their times.
#[derive(Debug)]
pub struct Story {
    began: Instant,
    events: Vec<(Instant, Event)>,
}

impl Story {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            events: Vec::new(),
        }
    }

    /// Keeps an event and prints it.
    pub fn tell(&mut self, event: Event) {
        let now = Instant::now();
        println!("{:>8.1} s  {event:?}", (now - self.began).as_secs_f64());
        self.events.push((now, event));
    }

    /// Faults, by kind.
    pub fn faults(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, event) in &self.events {
            if let Event::Began(fault) = event {
                *counts.entry(format!("{fault:?}")).or_default() += 1;
            }
        }
        counts
    }

    /// Kills in all, and those while a fault lasted.
    pub fn kills(&self) -> (usize, usize) {
        let (mut all, mut in_fault, mut lasts) = (0, 0, false);
        for (_, event) in &self.events {
            match event {
                Event::Began(_) => lasts = true,
                Event::Over(_) => lasts = false,
                Event::Killed { .. } => {
                    all += 1;
                    in_fault += usize::from(lasts);
                }
            }
        }
        (all, in_fault)
    }

    /// From the end of each fault until the job had more records durable than before.
    pub fn recoveries(&self, answers: &[Answer]) -> Vec<Duration> {
        let over = self.events.iter().filter(|(_, event)| matches!(event, Event::Over(_)));
        over.filter_map(|(at, _)| recovery(*at, answers)).collect()
    }

    /// From each start after a kill outside a fault until the new process had records durable, unless it was killed or a
    /// fault came before.
    pub fn restarts(&self, answers: &[Answer]) -> Vec<Duration> {
        let mut times = Vec::new();
        for (index, (at, event)) in self.events.iter().enumerate() {
            let Event::Killed { start } = event else { continue };
            let before = self.events[..index].iter().rev();
            let calm = before
                .map(|(_, event)| event)
                .find(|event| !matches!(event, Event::Killed { .. }))
                .is_none_or(|event| matches!(event, Event::Over(_)));
            let next = self.events.get(index + 1).map(|(at, _)| *at);
            let durable = answers
                .iter()
                .find(|answer| answer.start == *start && answer.read > 0.0);
            if let Some(answer) = durable
                && calm
                && next.is_none_or(|next| answer.at < next)
            {
                times.push(answer.at - *at);
            }
        }
        times
    }
}

fn recovery(over: Instant, answers: &[Answer]) -> Option<Duration> {
    let before = answers.iter().rev().find(|answer| answer.at <= over);
    let durable = answers.iter().find(|answer| {
        let base = before
            .filter(|before| before.start == answer.start)
            .map_or(0.0, |before| before.read);
        answer.at > over && answer.read > base
    })?;
    Some(durable.at - over)
}

/// The least, the middle and the most of `times`, in seconds.
pub fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |index: usize| times[index].as_secs_f64();
    match times.len() {
        0 => "none seen".to_string(),
        count => format!(
            "{:.1} s, {:.1} s, {:.1} s of {count}",
            at(0),
            at(count / 2),
            at(count - 1)
        ),
    }
}

/// How often each warning and error was logged. Fails the test for a line that is no JSON, unless a kill cut it short.
pub fn log_messages(logs: &[PathBuf]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for log in logs {
        let text = fs::read_to_string(log).expect("the job has a log");
        for line in text.split_inclusive('\n') {
            let Ok(entry) = serde_json::from_str::<Value>(line) else {
                assert!(!line.ends_with('\n'), "no JSON in {}: {line}", log.display());
                continue;
            };
            let level = entry["level"].as_str().expect("a log line has a level");
            if matches!(level, "WARN" | "ERROR") {
                let message = entry["message"].as_str().unwrap_or_default();
                let system = entry["system"].as_str().unwrap_or_default();
                *counts
                    .entry(format!("{level} {message} {system}").trim_end().to_string())
                    .or_default() += 1;
            }
        }
    }
    counts
}

/// Lines of a name and a value.
#[derive(Default)]
pub struct Report(String);

impl Report {
    pub fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name:<34} {value}");
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}
