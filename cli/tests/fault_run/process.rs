//! What `/proc` tells of a process and of those that it started.

use std::fs;
use std::process::Command;

/// A process that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    pub id: u32,
    parent: u32,
    /// Ticks since the machine started, which tell it from a later process with the same number.
    started: u64,
}

impl Process {
    fn read(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name, in parentheses, may hold anything; what follows it is the third field.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        if matches!(field(3)?, "Z" | "X") {
            return None;
        }
        Some(Self {
            id,
            parent: field(4)?.parse().ok()?,
            started: field(22)?.parse().ok()?,
        })
    }

    /// Whether it still has not ended.
    pub fn is_alive(&self) -> bool {
        Self::read(self.id).is_some_and(|now| now.started == self.started)
    }

    /// The most memory that it has held so far, in bytes; `None` if it has ended.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kibibytes * 1024)
    }
}

/// The living process `id`, those that it started, those that these started, and so on.
pub fn family(id: u32) -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("this is Linux");
    let all: Vec<Process> = entries
        .filter_map(|entry| Process::read(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .collect();
    let mut family: Vec<Process> = all.iter().filter(|process| process.id == id).copied().collect();
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(all.iter().filter(|process| process.parent == parent.id));
        next += 1;
    }
    family
}

/// Sends SIGTERM.
pub fn terminate(id: u32) {
    let sent = Command::new("kill").arg("-TERM").arg(id.to_string()).status();
    assert!(sent.is_ok_and(|status| status.success()), "the process takes a signal");
}
