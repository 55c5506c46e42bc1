//! How much memory a worker has taken, as the kernel counts it against the worker's limit.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What this process has taken of its memory since it was confined.
#[derive(Debug)]
pub(super) struct Taken {
    /// Opened before the process gives up files.
    status: File,
    before: u64,
}

impl Taken {
    /// Counts from now.
    pub(super) fn from_now() -> io::Result<Self> {
        let status = File::open("/proc/self/status")?;
        let before = data_bytes(&status)?;
        Ok(Self { status, before })
    }

    /// In bytes, what there was before it began to count.
    pub(super) fn before(&self) -> u64 {
        self.before
    }

    /// In bytes.
    pub(super) fn bytes(&self) -> io::Result<u64> {
        Ok(data_bytes(&self.status)?.saturating_sub(self.before))
    }
}

/// What the kernel counts against the limit on data: private writable memory, used or not, stacks of decoders' threads too.
fn data_bytes(status: &File) -> io::Result<u64> {
    // A page: the line stands before its middle.
    let mut text = [0; 4096];
    let length = status.read_at(&mut text, 0)?;
    let text = String::from_utf8_lossy(&text[..length]);
    let kibibytes = text.lines().find_map(|line| {
        let value = line.strip_prefix("VmData:")?.trim().strip_suffix("kB")?;
        value.trim().parse::<u64>().ok()
    });
    kibibytes
        .map(|kibibytes| kibibytes * 1024)
        .ok_or_else(|| io::Error::other("/proc/self/status has no VmData"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_taken_and_what_is_freed_is_not() {
        const SIZE: usize = 256 << 20;
        let taken = Taken::from_now().expect("/proc is there");
        let memory = std::hint::black_box(vec![1_u8; SIZE]);
        // Other tests allocate and free meanwhile, less than this.
        assert!(taken.bytes().expect("it can be read") > SIZE as u64 / 2);
        drop(memory);
        assert!(taken.bytes().expect("it can be read") < SIZE as u64 / 2);
    }
}
