//! A file of JSON objects, one a line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::TableRow;
use crate::data::value::Value;

/// How much of the file is read at once for its lines' places.
const BUFFER: usize = 1 << 20;

/// A file whose lines' places are known.
#[derive(Debug)]
pub(super) struct Jsonl {
    path: PathBuf,
    file: File,
    lines: Vec<Line>,
}

/// A line that is not empty.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// In bytes from the beginning of the file.
    offset: u64,
    /// In bytes, its end included.
    length: u32,
    /// From 1, empty ones counted.
    number: u32,
}

impl Jsonl {
    /// Finds the first `limit` lines.
    pub(super) fn open(path: &Path, limit: Option<usize>) -> Result<Self, String> {
        let unreadable = |error| format!("{}: {error}", path.display());
        let file = File::open(path).map_err(unreadable)?;
        let mut reader = BufReader::with_capacity(BUFFER, &file);
        let (mut lines, mut text) = (Vec::new(), Vec::new());
        let (mut offset, mut number) = (0, 0);
        while limit.is_none_or(|limit| lines.len() < limit) {
            text.clear();
            let length = reader.read_until(b'\n', &mut text).map_err(unreadable)?;
            if length == 0 {
                break;
            }
            number += 1;
            let too_long = |_| format!("{} line {number}: it is too long to be a row", path.display());
            if !text.trim_ascii().is_empty() {
                lines.push(Line {
                    offset,
                    length: u32::try_from(length).map_err(too_long)?,
                    number,
                });
            }
            offset += length as u64;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            lines,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn row(&self, row: usize) -> Result<TableRow, String> {
        let Line { offset, length, number } = self.lines[row];
        let place = format!("{} line {number}", self.path.display());
        let mut text = vec![0; length as usize];
        self.file
            .read_exact_at(&mut text, offset)
            .map_err(|error| format!("{place}: {error}"))?;
        let values: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| format!("{place}: it is no JSON: {error}"))?;
        match Value::from_json(values) {
            values @ Value::Record(_) => Ok(TableRow { values, place }),
            other => Err(format!("{place}: it is {}; a row is an object", other.kind())),
        }
    }
}
