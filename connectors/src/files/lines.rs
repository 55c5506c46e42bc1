//! Files of lines: reading one at a time, and appending next to other processes.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

/// What is kept of a line that is too long.
pub(super) const EXCERPT: usize = 64 << 10;

/// A line of a file, its end included.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line within the limit.
    Whole(Vec<u8>),
    /// The first [`EXCERPT`] bytes at most of one beyond it.
    TooLong(Vec<u8>),
}

/// Reads the next line; `None` at the end. Of a line of more than `limit` bytes the rest is skipped, so that a file
/// without line ends is never held in memory.
pub(crate) fn read_line(lines: &mut impl BufRead, limit: usize) -> Result<Option<Line>> {
    let mut line = Vec::new();
    // One more, for the line end.
    let most = (limit as u64).saturating_add(1);
    lines.by_ref().take(most).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() <= limit || line.ends_with(b"\n") {
        return Ok(Some(Line::Whole(line)));
    }
    lines.skip_until(b'\n')?;
    // A copy, because a vector that is cut keeps its memory.
    Ok(Some(Line::TooLong(excerpt(&line).to_vec())))
}

/// The first bytes, not cut within a character.
fn excerpt(line: &[u8]) -> &[u8] {
    let start = &line[..line.len().min(EXCERPT)];
    match std::str::from_utf8(start) {
        Err(error) if error.error_len().is_none() => &start[..error.valid_up_to()],
        _ => start,
    }
}

/// A file of JSON lines that several processes may append to.
///
/// Each of them holds the file's lock while it appends or mends, and only then: so a line that ends without a line end
/// was cut short by a crash and is not one that another process is writing.
#[derive(Debug)]
pub(crate) struct LinesFile {
    path: PathBuf,
    file: File,
}

impl LinesFile {
    /// Opens or makes the file and the directories above it, and mends its end.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut lines = Self {
            path: path.to_path_buf(),
            file: open(path)?,
        };
        lines.locked(Self::mend)?;
        Ok(lines)
    }

    /// Appends `lines`, each with its end: all of them or, with an error, none. A file that was deleted is made anew.
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<()> {
        if self.is_deleted()? {
            tracing::warn!(path = %self.path.display(), "the file was deleted while it was written to; making it anew");
            self.file = open(&self.path)?;
        }
        self.locked(|this| {
            this.mend()?;
            let length = this.file.metadata()?.len();
            let written = this.file.write_all(lines);
            if written.is_err() {
                // The disk may be full. What is left of a line is mended later if this fails too.
                let _ = this.file.set_len(length);
            }
            written
        })
    }

    /// Returns when everything appended is durable. An error is for good: the system may have dropped what it could not
    /// write, so that a second try would succeed without it.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.file.sync_data()?;
        if self.is_deleted()? {
            return Err(Error::other(
                "the file was deleted with lines in it that were just appended",
            ));
        }
        Ok(())
    }

    /// Whether the open file has no name any more: what is written to it goes nowhere.
    fn is_deleted(&self) -> Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    fn locked<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        match self.file.lock() {
            Ok(()) => {}
            // Some network and user-space file systems know no locks; there the file has to be one process's own.
            Err(error) if error.kind() == ErrorKind::Unsupported => return work(self),
            Err(error) => return Err(error),
        }
        let result = work(self);
        self.file.unlock()?;
        result
    }

    /// Ends the last line, or takes it off if it was cut short: its row was not acknowledged, so it comes again. What does
    /// not begin as a row is somebody else's, and stays.
    fn mend(&mut self) -> Result<()> {
        let length = self.file.metadata()?.len();
        let last = last_line(&mut self.file, length)?;
        if last.is_empty() {
            return Ok(());
        }
        let (path, bytes) = (self.path.display(), last.len());
        if serde_json::from_slice::<IgnoredAny>(&last).is_ok() {
            return self.file.write_all(b"\n");
        }
        if !last.starts_with(b"{") {
            tracing::warn!(%path, bytes, "the file ends with a line that is no row and has no line end; ending it");
            return self.file.write_all(b"\n");
        }
        tracing::warn!(%path, bytes, "a line that was cut short is taken off the end");
        self.file.set_len(length - last.len() as u64)
    }
}

fn open(path: &Path) -> Result<File> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let is_new = !path.exists();
    let made = parent.ancestors().take_while(|folder| !folder.exists()).count();
    fs::create_dir_all(parent)?;
    let file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    if is_new {
        // A new name is durable only when its folder is; the same holds for the folders that were made.
        for folder in parent.ancestors().take(made + 1) {
            let folder = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
                let (path, folder) = (path.display(), folder.display());
                tracing::warn!(%path, %folder, %error, "a new file's folder cannot be synced; a crash of the machine may lose it");
            }
        }
    }
    Ok(file)
}

/// What follows the last line end.
fn last_line(file: &mut File, length: u64) -> Result<Vec<u8>> {
    const STEP: u64 = 64 << 10;
    let mut line = Vec::new();
    let mut start = length;
    // Nearly always the file ends with a line end, and the first step is a byte.
    let mut step = 1;
    while start > 0 {
        let bytes = start.min(step);
        step = STEP;
        start -= bytes;
        file.seek(SeekFrom::Start(start))?;
        let mut chunk = Vec::new();
        Read::take(&mut *file, bytes).read_to_end(&mut chunk)?;
        let after = chunk.iter().rposition(|byte| *byte == b'\n').map(|end| end + 1);
        chunk.drain(..after.unwrap_or(0));
        chunk.append(&mut line);
        line = chunk;
        if after.is_some() {
            break;
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Barrier, mpsc};
    use std::thread;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;

    fn new_file() -> (TempDir, PathBuf) {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("lines.jsonl");
        (directory, path)
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).expect("the file is there")
    }

    #[test]
    fn handles_that_take_turns_lose_nothing() {
        let (_directory, path) = new_file();
        let mut first = LinesFile::open(&path).expect("it opens");
        first.append(b"1\n").expect("it is kept");
        let mut second = LinesFile::open(&path).expect("it opens");
        second.append(b"2\n").expect("it is kept");
        first.append(b"3\n4\n").expect("they are kept");
        second.append(b"5\n").expect("it is kept");
        assert_eq!(text(&path), "1\n2\n3\n4\n5\n");
    }

    #[test]
    fn handles_that_open_and_append_at_the_same_time_lose_nothing() {
        const WRITERS: usize = 4;
        const APPENDS: usize = 50;
        let (_directory, path) = new_file();
        let start = Arc::new(Barrier::new(WRITERS));
        // Longer than a page, so that a line can be seen half written.
        let line = |writer, append| format!("\"{writer} {append} {}\"", "x".repeat(20_000));
        let writers = (0..WRITERS).map(|writer| {
            let (path, start) = (path.clone(), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                for append in 0..APPENDS {
                    let mut file = LinesFile::open(&path).expect("it opens");
                    let text = line(writer, append) + "\n";
                    file.append(text.as_bytes()).expect("it is kept");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.join().expect("the writer ends");
        }
        let written = text(&path);
        let lines: BTreeSet<String> = written.lines().map(str::to_string).collect();
        let expected = (0..WRITERS).flat_map(|writer| (0..APPENDS).map(move |append| line(writer, append)));
        assert_eq!(lines.len(), written.lines().count(), "no line is there twice");
        assert!(lines == expected.collect(), "every line is there as it was written");
    }

    #[test]
    fn a_line_that_another_is_writing_is_not_taken_for_one_that_was_cut_short() {
        let (_directory, path) = new_file();
        let mut writing = LinesFile::open(&path).expect("it opens");
        writing.file.lock().expect("it is free");
        writing.file.write_all(b"{\"half\":").expect("it is taken");
        let (opened, open) = mpsc::channel();
        let other = path.clone();
        let opener = thread::spawn(move || {
            let file = LinesFile::open(&other);
            opened.send(()).expect("the test waits");
            file.map(drop)
        });
        let early = open.recv_timeout(Duration::from_millis(200));
        assert!(early.is_err(), "it waits for the line");
        writing.file.write_all(b"1}\n").expect("it is taken");
        writing.file.unlock().expect("it was locked");
        opener.join().expect("the opener ends").expect("it opens");
        assert_eq!(text(&path), "{\"half\":1}\n");
    }

    #[test]
    fn a_line_that_was_cut_short_beside_an_open_handle_is_taken_off_before_the_next() {
        let (_directory, path) = new_file();
        let mut file = LinesFile::open(&path).expect("it opens");
        file.append(b"1\n").expect("it is kept");
        let mut crashed = OpenOptions::new().append(true).open(&path).expect("it opens");
        crashed.write_all(b"{\"cut sh").expect("it is taken");
        file.append(b"2\n").expect("it is kept");
        assert_eq!(text(&path), "1\n2\n");
    }

    #[test]
    fn a_file_that_is_deleted_is_made_anew_and_lines_in_a_deleted_one_are_not_durable() {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("deep/out.jsonl");
        let mut file = LinesFile::open(&path).expect("a new file");
        file.append(b"1\n").expect("it is kept");
        file.sync().expect("it is durable");
        fs::remove_dir_all(path.parent().expect("a directory")).expect("it goes");
        file.append(b"2\n").expect("it is kept");
        file.sync().expect("it is durable");
        assert_eq!(text(&path), "2\n");
        file.append(b"3\n").expect("it is kept");
        fs::remove_file(&path).expect("it goes");
        let error = file.sync().expect_err("the line is nowhere").to_string();
        assert!(error.contains("deleted"), "{error}");
    }

    #[test]
    fn a_line_at_the_limit_is_whole_and_a_longer_one_is_skipped_to_its_end() {
        let mut lines = &b"1234\n12345\n\n123456789\n1234"[..];
        let mut read = Vec::new();
        while let Some(line) = read_line(&mut lines, 4).expect("memory can be read") {
            read.push(line);
        }
        assert_eq!(
            read,
            [
                Line::Whole(b"1234\n".to_vec()),
                Line::TooLong(b"12345".to_vec()),
                Line::Whole(b"\n".to_vec()),
                Line::TooLong(b"12345".to_vec()),
                Line::Whole(b"1234".to_vec()),
            ]
        );
        let endless = [b'x'; 9];
        let mut lines = &endless[..];
        let first = read_line(&mut lines, 4).expect("memory can be read");
        assert_eq!(first, Some(Line::TooLong(b"xxxxx".to_vec())));
        assert_eq!(read_line(&mut lines, 4).expect("memory can be read"), None);
    }

    #[test]
    fn an_excerpt_is_bounded_and_ends_with_a_whole_character() {
        let line = "ä".repeat(EXCERPT);
        assert_eq!(excerpt(line.as_bytes()).len(), EXCERPT);
        let shifted = format!("x{line}");
        assert_eq!(excerpt(shifted.as_bytes()).len(), EXCERPT - 1);
        assert_eq!(excerpt(&[255; 9]), [255; 9]);
    }
}
