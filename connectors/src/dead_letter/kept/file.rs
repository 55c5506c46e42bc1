//! Dead letters in a file.
//!
//! The file is only ever appended to, while jobs write to it. Which letters were sent back is said by a small file beside
//! it, `….replayed`: a first line that tells the file of letters it belongs to, then a line for each run of bytes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::super::DeadLetter;
use super::ranges::Ranges;
use super::{Found, Place, Unreadable};
use crate::ConnectorError;
use crate::error::io_error;
use crate::files::{Line, read_line};

/// The most bytes in a line: a line of a source may have 64 MiB, and each byte may become six in JSON.
const MAX_LINE: usize = 512 << 20;

/// How much of the first line of the letters tells them from others.
const IDENTITY_BYTES: u64 = 4 << 10;

/// A file of dead letters up to its end when it was opened.
pub(super) struct KeptFile {
    path: PathBuf,
    length: u64,
    replayed: Mutex<Replayed>,
}

/// What was sent back.
struct Replayed {
    path: PathBuf,
    /// The first line of the file: which letters it is about.
    identity: String,
    ranges: Ranges,
    /// Open, and locked, if letters are to be sent back.
    file: Option<File>,
    /// Whether the file begins with `identity`.
    begun: bool,
}

impl KeptFile {
    /// Opens the file; with `replay` nobody else may send letters of it back until it is dropped.
    pub fn open(path: &Path, replay: bool) -> Result<Self, ConnectorError> {
        let failed = io_error(path);
        let mut letters = File::open(path).map_err(&failed)?;
        let length = letters.metadata().map_err(&failed)?.len();
        let identity = identity(&mut letters).map_err(&failed)?;
        let mut state = path.as_os_str().to_owned();
        state.push(".replayed");
        Ok(Self {
            path: path.to_path_buf(),
            length,
            replayed: Mutex::new(Replayed::open(PathBuf::from(state), identity, replay)?),
        })
    }

    fn replayed(&self) -> MutexGuard<'_, Replayed> {
        self.replayed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands every line to `each`, in order, until it breaks. Blocks.
    pub fn read(&self, mut each: impl FnMut(Found) -> ControlFlow<()>) -> Result<(), ConnectorError> {
        let failed = io_error(&self.path);
        let file = File::open(&self.path).map_err(&failed)?;
        let mut lines = BufReader::new(file.take(self.length));
        let mut offset = 0;
        while let Some(line) = read_line(&mut lines, MAX_LINE).map_err(&failed)? {
            let unread = lines.get_ref().limit() + lines.buffer().len() as u64;
            let next = i64::try_from(self.length - unread).unwrap_or(i64::MAX);
            let letter = match &line {
                Line::TooLong(_) => Err(Unreadable {
                    reason: format!("the line has more than {MAX_LINE} bytes"),
                    half_written: false,
                }),
                Line::Whole(line) => DeadLetter::from_line(line).map_err(|reason| Unreadable {
                    reason,
                    half_written: !line.ends_with(b"\n"),
                }),
            };
            let found = Found {
                place: Place {
                    partition: 0,
                    offset,
                    next,
                },
                replayed: self.replayed().ranges.contains(offset),
                letter,
            };
            if each(found).is_break() {
                break;
            }
            offset = next;
        }
        Ok(())
    }

    /// Remembers that the letters at `places` were sent back.
    pub fn mark(&self, places: &[Place]) -> Result<(), ConnectorError> {
        let mut replayed = self.replayed();
        let failed = io_error(&replayed.path);
        replayed.append(places).map_err(failed)
    }
}

impl Replayed {
    fn open(path: PathBuf, identity: String, replay: bool) -> Result<Self, ConnectorError> {
        let failed = io_error(&path);
        let opened = if replay {
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
        } else {
            File::open(&path)
        };
        let file = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound && !replay => None,
            opened => Some(opened.map_err(&failed)?),
        };
        let mut replayed = Self {
            path: path.clone(),
            identity,
            ranges: Ranges::default(),
            file: None,
            begun: false,
        };
        let Some(mut file) = file else { return Ok(replayed) };
        if replay {
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(ConnectorError::Refused {
                        system: path.display().to_string(),
                        message: "another process is sending these dead letters back; wait until it has ended".into(),
                    });
                }
                // As for the letters themselves, such a file has to be one process's own.
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        let whole = replayed.load(&mut file).map_err(&failed)?;
        if replay {
            // What was cut short, or belongs to other letters, goes.
            file.set_len(whole).map_err(&failed)?;
            file.seek(SeekFrom::Start(whole)).map_err(&failed)?;
            replayed.file = Some(file);
        }
        Ok(replayed)
    }

    /// Takes over what `file` says. Gives how many of its bytes are whole lines about these letters.
    fn load(&mut self, file: &mut File) -> std::io::Result<u64> {
        let mut whole = 0;
        let mut lines = BufReader::new(file);
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
            if !self.begun {
                if line.trim_end() != self.identity {
                    tracing::info!(path = %self.path.display(), "the dead letters are others than those that were sent back before");
                    return Ok(0);
                }
                self.begun = true;
            } else if let Some((start, end)) = line.trim_end().split_once(' ')
                && let (Ok(start), Ok(end)) = (start.parse(), end.parse())
            {
                self.ranges.insert(start, end);
            }
            whole += line.len() as u64;
            line.clear();
        }
        Ok(whole)
    }

    fn append(&mut self, places: &[Place]) -> std::io::Result<()> {
        let Some(file) = &mut self.file else {
            return Err(std::io::Error::other("it was opened to be read only"));
        };
        let mut text = String::new();
        if !self.begun {
            text = format!("{}\n", self.identity);
        }
        // Lines that follow each other are one run.
        let mut runs: Vec<(i64, i64)> = Vec::new();
        for place in places {
            match runs.last_mut() {
                Some((_, end)) if *end == place.offset => *end = place.next,
                _ => runs.push((place.offset, place.next)),
            }
        }
        for (start, end) in &runs {
            text.push_str(&format!("{start} {end}\n"));
        }
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        self.begun = true;
        for (start, end) in runs {
            self.ranges.insert(start, end);
        }
        Ok(())
    }
}

/// A text that tells a file of letters from another at the same path: its first line holds a time and a place.
fn identity(letters: &mut File) -> std::io::Result<String> {
    let mut first = Vec::new();
    BufReader::new(letters)
        .take(IDENTITY_BYTES)
        .read_until(b'\n', &mut first)?;
    let digest = Sha256::digest(first.trim_ascii_end());
    let digest: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sightstream-replayed 1 {digest}"))
}
