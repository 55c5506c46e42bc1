//! What is resident, as the kernel counts it.

use std::fs;
use std::io;

/// Bytes that are resident of this process and of those that it has started. Pages that they share count for each.
pub fn resident() -> io::Result<u64> {
    let mut bytes = own("VmRSS")?;
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
    use super::*;

    #[test]
    fn children_count() {
        let alone = resident().expect("Linux tells");
        assert!(alone > 1 << 20, "{alone}");
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("there is a sleep");
        let both = resident().expect("Linux tells");
        let own = own("VmRSS").expect("Linux tells");
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert!(both > own, "{both} of {own}");
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "VmHWM:\t  20 kB\nVmRSS:\t    8 kB\n";
        assert_eq!((field(status, "VmRSS"), field(status, "Vm")), (Some(8192), None));
    }
}
