//! What is resident, as the kernel counts it.

use std::fs;
use std::io;

/// Bytes that are resident of this process and of those that it has started. Pages that they share count for each.
pub fn resident() -> io::Result<u64> {
    Ok(own("VmRSS")? + children()?)
}

/// The most bytes that were ever resident of this process.
pub fn peak() -> io::Result<u64> {
    own("VmHWM")
}

/// Bytes that are resident of the processes that this one has started.
fn children() -> io::Result<u64> {
    let mut bytes = 0;
    for task in fs::read_dir("/proc/self/task")? {
        // A thread may end while it is looked at, and so may a worker.
        let Ok(children) = fs::read_to_string(task?.path().join("children")) else {
            continue;
        };
        for pid in children.split_whitespace() {
            if let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) {
                bytes += field(&status, "VmRSS").unwrap_or(0);
            }
        }
    }
    Ok(bytes)
}

/// A field of this process's status, in bytes.
pub(super) fn own(name: &str) -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    field(&status, name).ok_or_else(|| io::Error::other(format!("/proc/self/status has no {name}")))
}

/// A field of a status file: `VmRSS:     1234 kB`.
fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix("kB")?;
        value.trim().parse::<u64>().ok()?.checked_mul(1024)
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn children_count() {
        let alone = resident().expect("Linux tells");
        assert!(alone > 1 << 20, "{alone}");
        // A shell that holds a string of 16 MiB, says so, and waits.
        let mut child = Command::new("sh")
            .args([
                "-c",
                "held=$(head -c 16777216 /dev/zero | tr '\\0' x); echo ${#held}; read -r _",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut said = String::new();
        let output = child.stdout.as_mut().expect("it is piped");
        BufReader::new(output).read_line(&mut said).expect("it says something");
        assert_eq!(said.trim(), "16777216");
        let counted = children().expect("Linux tells");
        drop(child.stdin.take());
        child.wait().expect("it ends");
        assert!(counted > 15 << 20, "{counted}");
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "VmHWM:\t  20 kB\nVmRSS:\t    8 kB\n";
        assert_eq!((field(status, "VmRSS"), field(status, "Vm")), (Some(8192), None));
    }
}
