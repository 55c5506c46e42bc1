//! `log.csv`: a line for each step.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Row;
use crate::error::JobError;
use crate::whole::{self, failure};

/// The file's name in the output folder.
pub(super) const NAME: &str = "log.csv";

const COLUMNS: [&str; 9] = [
    "step",
    "loss",
    "accuracy",
    "learning_rate",
    "gradient_norm",
    "samples",
    "seconds",
    "waited",
    "samples_per_second",
];

/// The log, open for more steps.
#[derive(Debug)]
pub(super) struct CsvLog {
    path: PathBuf,
    file: File,
    rows: Vec<Row>,
}

impl CsvLog {
    /// Opens the log in `directory` for what comes after step `after`; later steps that it has are dropped.
    pub fn open(directory: &Path, after: u64) -> Result<Self, JobError> {
        std::fs::create_dir_all(directory).map_err(failure(directory))?;
        let path = directory.join(NAME);
        let mut rows = if path.exists() { read(&path)? } else { Vec::new() };
        rows.retain(|row| row.step <= after);
        let mut text = line(COLUMNS.map(str::to_string));
        for row in &rows {
            text.extend(line(cells(row)));
        }
        whole::write(&path, &text)?;
        let file = File::options().append(true).open(&path).map_err(failure(&path))?;
        Ok(Self { path, file, rows })
    }

    /// Appends a step, in one write.
    pub fn add(&mut self, row: &Row) -> Result<(), JobError> {
        self.file.write_all(&line(cells(row))).map_err(failure(&self.path))?;
        self.rows.push(*row);
        Ok(())
    }

    /// All steps.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Makes it durable.
    pub fn sync(&self) -> Result<(), JobError> {
        self.file.sync_all().map_err(failure(&self.path))
    }
}

/// The shortest text that reads back as the same number.
fn cells(row: &Row) -> [String; 9] {
    [
        row.step.to_string(),
        row.loss.to_string(),
        row.accuracy.to_string(),
        row.learning_rate.to_string(),
        row.gradient_norm.to_string(),
        row.samples.to_string(),
        format!("{:.4}", row.seconds),
        format!("{:.4}", row.waited),
        format!("{:.2}", row.samples_per_second()),
    ]
}

fn line(cells: [String; 9]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&cells).expect("memory takes every record");
    writer.into_inner().expect("memory has nothing to flush")
}

/// The rows of a log. Its last line may have been cut off; it is passed over.
fn read(path: &Path) -> Result<Vec<Row>, JobError> {
    let text = std::fs::read(path).map_err(failure(path))?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut reader = csv::Reader::from_reader(&text[..whole]);
    let foreign = |what: String| {
        JobError::Config(format!(
            "{} is no log of a run: {what}; move it away, or name another output_dir",
            path.display()
        ))
    };
    let columns = reader.headers().map_err(|error| foreign(error.to_string()))?;
    if whole > 0 && columns != COLUMNS.as_slice() {
        return Err(foreign(format!("its columns are not {}", COLUMNS.join(", "))));
    }
    let rows = reader.records().map(|record| {
        let record = record.map_err(|error| foreign(error.to_string()))?;
        row(&record).ok_or_else(|| foreign(format!("a line holds {}", record.iter().collect::<Vec<_>>().join(","))))
    });
    rows.collect()
}

fn row(record: &csv::StringRecord) -> Option<Row> {
    Some(Row {
        step: record.get(0)?.parse().ok()?,
        loss: record.get(1)?.parse().ok()?,
        accuracy: record.get(2)?.parse().ok()?,
        learning_rate: record.get(3)?.parse().ok()?,
        gradient_norm: record.get(4)?.parse().ok()?,
        samples: record.get(5)?.parse().ok()?,
        seconds: record.get(6)?.parse().ok()?,
        waited: record.get(7)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_read_back_to_the_bit() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut log = CsvLog::open(folder.path(), 0).expect("a disk");
        let losses = [0.1f32, 1.0 / 3.0, f32::MIN_POSITIVE, 1e-42, f32::NAN, 6.931_472];
        for (step, loss) in losses.into_iter().enumerate() {
            let row = Row {
                step: step as u64 + 1,
                loss,
                accuracy: 0.5,
                learning_rate: 5e-5 / 3.0,
                gradient_norm: 1.0,
                samples: 1024,
                seconds: 1.25,
                waited: 0.25,
            };
            log.add(&row).expect("a disk");
        }
        let read = read(&log.path).expect("a log");
        let bits = |rows: &[Row]| rows.iter().map(|row| row.loss.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&read), bits(&log.rows));
        assert_eq!(read[0].learning_rate, 5e-5 / 3.0);
    }

    #[test]
    fn another_file_of_that_name_is_refused_and_left() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(NAME);
        for text in [
            "a,b\n1,2\n",
            "step,loss,accuracy,learning_rate,gradient_norm,samples,seconds,waited,samples_per_second\nx,,,,,,,,\n",
        ] {
            std::fs::write(&path, text).expect("a disk");
            let error = CsvLog::open(folder.path(), 9).expect_err("not a log").to_string();
            assert!(error.contains("no log of a run"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).expect("a file"), text);
        }
    }
}
