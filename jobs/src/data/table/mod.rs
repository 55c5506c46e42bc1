//! Files of rows, each of which can be read by its number.

mod jsonl;
mod parquet;

use std::fs;
use std::path::{Path, PathBuf};

use self::jsonl::Jsonl;
use self::parquet::ParquetTable;
use super::value::Value;

/// Rows in one file or several, one after the other in the order of their names. What is in memory is where each row begins
/// (JSONL), or the files' metadata (Parquet), and never the rows.
#[derive(Debug)]
pub struct Table {
    files: Vec<(usize, TableFile)>,
    rows: usize,
}

#[derive(Debug)]
enum TableFile {
    Jsonl(Jsonl),
    Parquet(Box<ParquetTable>),
}

/// A row and where it stands, such as `pairs.jsonl line 7`.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRow {
    /// Its values, by the names of the columns.
    pub values: Value,
    /// Its file and its place in it.
    pub place: String,
}

impl Table {
    /// Opens what `path` names: a file, a folder's files, or files by a pattern such as `data/train-*.parquet` (`*` stands for
    /// any characters of the name). Of Parquet, `columns` alone are read, as far as they are there. Rows after the first `limit`
    /// are not there.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong: nothing there, no JSONL and no Parquet, or one that cannot be read.
    pub fn open(path: &Path, columns: &[&str], limit: Option<usize>) -> Result<Self, String> {
        let mut table = Self {
            files: Vec::new(),
            rows: 0,
        };
        for file in files(path)? {
            let left = limit.map(|limit| limit - table.rows);
            if left == Some(0) {
                break;
            }
            let opened = match format(&file)? {
                Format::Jsonl => TableFile::Jsonl(Jsonl::open(&file, left)?),
                Format::Parquet => TableFile::Parquet(Box::new(ParquetTable::open(&file, columns)?)),
            };
            let rows = match &opened {
                TableFile::Jsonl(jsonl) => jsonl.len(),
                TableFile::Parquet(parquet) => parquet.len(),
            };
            table.rows += left.map_or(rows, |left| rows.min(left));
            table.files.push((table.rows, opened));
        }
        Ok(table)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Reads a row, by its number from 0. Any number of threads may do so at once.
    ///
    /// # Errors
    /// A sentence that begins with the file and the row's place in it.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> Result<TableRow, String> {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let file = self.files.partition_point(|(end, _)| *end <= row);
        let start = file.checked_sub(1).map_or(0, |before| self.files[before].0);
        match &self.files[file].1 {
            TableFile::Jsonl(jsonl) => jsonl.row(row - start),
            TableFile::Parquet(parquet) => parquet.row(row - start),
        }
    }
}

enum Format {
    Jsonl,
    Parquet,
}

fn format(file: &Path) -> Result<Format, String> {
    let extension = file.extension().and_then(|extension| extension.to_str());
    match extension.unwrap_or_default().to_ascii_lowercase().as_str() {
        "jsonl" | "ndjson" | "json" => Ok(Format::Jsonl),
        "parquet" => Ok(Format::Parquet),
        _ => Err(format!(
            "{}: rows are read from .jsonl (an object a line) and .parquet files",
            file.display()
        )),
    }
}

/// The files that a path names, by name.
fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let shown = path.display();
    let pattern = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (folder, pattern) = match path.is_dir() {
        true => (path, None),
        false if pattern.contains('*') => (path.parent().unwrap_or(Path::new("")), Some(pattern)),
        false if path.exists() => return Ok(vec![path.to_owned()]),
        false => return Err(format!("{shown}: there is no such file")),
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_meant = match pattern {
            Some(pattern) => matches(pattern, name),
            None => format(&file).is_ok() && !name.starts_with('.'),
        };
        if is_meant && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(match pattern {
            Some(_) => format!("{shown}: no file has such a name"),
            None => format!("{shown}: there is no .jsonl and no .parquet file in it"),
        });
    }
    files.sort();
    Ok(files)
}

/// Whether a name is of a pattern, in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.any(|at| matches(rest, &name[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("train-*.parquet", "train-00000-of-00002.parquet", true),
            ("train-*.parquet", "test-00000.parquet", false),
            ("*", "", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXbYcd", false),
            ("a*ü", "aüü", true),
            ("a", "b", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
