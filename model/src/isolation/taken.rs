//! How much memory a worker has taken, as the kernel counts it against the worker's limit.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Which number of `/proc/self/statm` is private writable memory, used or not: stacks of decoders' threads too.
const DATA: usize = 5;

/// What this process has taken of its memory since it was confined.
#[derive(Debug)]
pub(super) struct Taken {
    /// Opened before the process gives up files.
    statm: File,
    before: u64,
}

impl Taken {
    /// Counts from now.
    pub(super) fn from_now() -> io::Result<Self> {
        let statm = File::open("/proc/self/statm")?;
        let before = pages(&statm)?;
        Ok(Self { statm, before })
    }

    /// In bytes.
    pub(super) fn bytes(&self) -> io::Result<u64> {
        let pages = pages(&self.statm)?.saturating_sub(self.before);
        Ok(pages * rustix::param::page_size() as u64)
    }
}

fn pages(statm: &File) -> io::Result<u64> {
    let mut text = [0; 256];
    let length = statm.read_at(&mut text, 0)?;
    std::str::from_utf8(&text[..length])
        .ok()
        .and_then(|text| text.split_ascii_whitespace().nth(DATA)?.parse().ok())
        .ok_or_else(|| io::Error::other("/proc/self/statm has no data size"))
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
