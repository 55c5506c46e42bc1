//! TensorBoard's event files: records with checksums (TFRecord), each an `Event` of protocol buffers.
//!
//! Only what scalars need of tensorboard/compat/proto/{event,summary}.proto is declared here.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::Row;
use crate::error::JobError;
use crate::whole::{self, failure};

/// The first record of every file says this.
const VERSION: &str = "brain.Event:2";

/// How the names of event files begin.
const PREFIX: &str = "events.out.tfevents.";

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// One number of an event file.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// The optimiser step.
    pub step: u64,
    /// What it is: `train/loss`.
    pub tag: String,
    /// The number.
    pub value: f32,
}

/// The event file of a run, open for more steps.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Opens the event file in `directory` for what comes after step `after`; later steps that it has are dropped.
    pub fn open(directory: &Path, after: u64) -> Result<Self, JobError> {
        std::fs::create_dir_all(directory).map_err(failure(directory))?;
        let earlier = earlier(directory)?;
        for path in &earlier {
            drop_steps_after(path, after)?;
        }
        let path = match earlier.into_iter().next_back() {
            Some(path) => path,
            None => {
                let path = directory.join(format!("{PREFIX}{}.sightstream", now() as u64));
                let version = Event {
                    wall_time: now(),
                    file_version: Some(VERSION.to_string()),
                    ..Event::default()
                };
                whole::write(&path, &record(&version.encode_to_vec()))?;
                path
            }
        };
        let file = File::options().append(true).open(&path).map_err(failure(&path))?;
        Ok(Self { path, file })
    }

    /// Appends a step, in one write.
    pub fn add(&mut self, row: &Row) -> Result<(), JobError> {
        let value = |tag: &str, value: f64| SummaryValue {
            tag: tag.to_string(),
            simple_value: Some(value as f32),
        };
        let summary = Summary {
            value: vec![
                value("train/loss", row.loss.into()),
                value("train/accuracy", row.accuracy.into()),
                value("train/learning_rate", row.learning_rate),
                value("train/grad_norm", row.gradient_norm),
                value("train/samples_per_second", row.samples_per_second()),
            ],
        };
        let event = Event {
            wall_time: now(),
            step: row.step as i64,
            summary: Some(summary),
            ..Event::default()
        };
        self.file
            .write_all(&record(&event.encode_to_vec()))
            .map_err(failure(&self.path))
    }

    /// Makes it durable.
    pub fn sync(&self) -> Result<(), JobError> {
        self.file.sync_all().map_err(failure(&self.path))
    }
}

/// The scalars of an event file, in their order. A record that was cut off ends it.
///
/// # Errors
/// [`JobError::Io`].
pub fn read_scalars(path: &Path) -> Result<Vec<Scalar>, JobError> {
    let bytes = std::fs::read(path).map_err(failure(path))?;
    let events = records(&bytes).filter_map(|data| Event::decode(data).ok());
    let scalars = events.flat_map(|event| {
        let values = event.summary.unwrap_or_default().value;
        values.into_iter().filter_map(move |value| {
            Some(Scalar {
                step: event.step as u64,
                tag: value.tag,
                value: value.simple_value?,
            })
        })
    });
    Ok(scalars.collect())
}

/// The event files in `directory`, in the order in which they were made.
fn earlier(directory: &Path) -> Result<Vec<PathBuf>, JobError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failure(directory))? {
        let entry = entry.map_err(failure(directory))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(PREFIX) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Leaves out of the file what is of steps after `after`, and what was cut off at its end.
fn drop_steps_after(path: &Path, after: u64) -> Result<(), JobError> {
    let bytes = std::fs::read(path).map_err(failure(path))?;
    let kept = records(&bytes).filter(|data| Event::decode(*data).is_ok_and(|event| event.step as u64 <= after));
    let kept: Vec<u8> = kept.flat_map(record).collect();
    if kept == bytes {
        Ok(())
    } else {
        whole::write(path, &kept)
    }
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// `data` with its length and the checksums of both.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(data.len() + 16);
    bytes.extend(length);
    bytes.extend(masked_checksum(&length).to_le_bytes());
    bytes.extend(data);
    bytes.extend(masked_checksum(data).to_le_bytes());
    bytes
}

/// The data of each record of a file, up to one that was cut off or changed.
fn records(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (checksum, rest) = rest.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*checksum) != masked_checksum(length) {
            return None;
        }
        let (data, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let (checksum, rest) = rest.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*checksum) != masked_checksum(data) {
            return None;
        }
        bytes = rest;
        Some(data)
    })
}

/// CRC-32C, turned and shifted so that a checksum of data that holds checksums is a good one too.
fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_to_the_byte_what_tensorboard_writes() {
        // tensorboard.summary.writer.record_writer.RecordWriter over Event(wall_time=1.5, step=3,
        // summary=Summary(value=[Value(tag="train/loss", simple_value=0.25)])).
        let expected =
            "200000000000000029eda95009000000000000f83f10032a130a110a0a747261696e2f6c6f7373150000803e43301b92";
        let event = Event {
            wall_time: 1.5,
            step: 3,
            summary: Some(Summary {
                value: vec![SummaryValue {
                    tag: "train/loss".to_string(),
                    simple_value: Some(0.25),
                }],
            }),
            ..Event::default()
        };
        let bytes: String = record(&event.encode_to_vec())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn records_end_at_one_that_was_changed() {
        let mut bytes = [record(b"one"), record(b"two"), record(b"three")].concat();
        assert_eq!(
            records(&bytes).collect::<Vec<_>>(),
            [b"one".as_slice(), b"two", b"three"]
        );
        let second = record(b"one").len() + 12;
        bytes[second] ^= 1;
        assert_eq!(records(&bytes).collect::<Vec<_>>(), [b"one".as_slice()]);
        assert_eq!(records(&bytes[..5]).count(), 0);
    }
}
