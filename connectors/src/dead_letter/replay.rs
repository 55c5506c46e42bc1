//! Sending dead letters back to where their records came from.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::destination::{Address, Parcel, ReplayDestination, To};
use super::kept::{KeptLetters, Place};
use super::{Found, Selection};
use crate::files::LinesFile;
use crate::kafka::{Outgoing, TopicWriter};
use crate::{ConnectorError, Waits};

/// The most records that are sent before it is remembered that they were.
const BATCH_RECORDS: usize = 500;

/// The most bytes of them.
const BATCH_BYTES: usize = 8 << 20;

/// What is sent back, and where to.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// Which letters.
    pub selection: Selection,
    /// The most records.
    pub limit: Option<u64>,
    /// Records that were sent back so often already are left.
    pub max_replays: u32,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Where to.
    pub destination: ReplayDestination,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Records sent, by topic or file.
    pub sent: BTreeMap<String, u64>,
    /// Chosen letters that were not sent, by the reason.
    pub left: BTreeMap<String, u64>,
    /// Letters that were not chosen.
    pub others: u64,
}

/// Sends letters back: original bytes, key and headers, and a header `sightstream.replays` that counts how often. Each is
/// remembered as sent once it is acknowledged, so that a run after a crash goes on where this one was; the records of one
/// batch may be sent again then. `sent` is told how many were sent so far.
///
/// # Errors
/// What makes going on useless. What was sent until then is remembered.
pub async fn replay(
    kept: &Arc<KeptLetters>,
    options: &ReplayOptions,
    mut sent: impl FnMut(u64),
) -> Result<ReplayReport, ConnectorError> {
    let mut letters = kept.read(false);
    let mut outbox = Outbox {
        kept,
        dry_run: options.dry_run,
        writers: HashMap::new(),
        batch: Vec::new(),
        bytes: 0,
        report: ReplayReport::default(),
    };
    let mut chosen = 0;
    while options.limit.is_none_or(|limit| chosen < limit)
        && let Some(Found {
            place,
            replayed,
            letter,
        }) = letters.next().await?
    {
        if replayed {
            continue;
        }
        let letter = match letter {
            Ok(letter) if !options.selection.matches(&letter) => {
                outbox.report.others += 1;
                continue;
            }
            Ok(letter) => letter,
            Err(unreadable) if unreadable.half_written => continue,
            Err(unreadable) => {
                outbox.leave(format!("no dead letter: {}", unreadable.reason));
                continue;
            }
        };
        match options.destination.parcel(letter, options.max_replays) {
            Ok(parcel) => {
                chosen += 1;
                outbox.put(place, parcel).await?;
                sent(outbox.report.sent.values().sum());
            }
            Err(reason) => outbox.leave(reason),
        }
    }
    outbox.send().await?;
    sent(outbox.report.sent.values().sum());
    Ok(outbox.report)
}

struct Outbox<'a> {
    kept: &'a Arc<KeptLetters>,
    dry_run: bool,
    writers: HashMap<Address, TopicWriter>,
    batch: Vec<(Place, Parcel)>,
    bytes: usize,
    report: ReplayReport,
}

impl Outbox<'_> {
    fn leave(&mut self, reason: String) {
        *self.report.left.entry(reason).or_default() += 1;
    }

    async fn put(&mut self, place: Place, parcel: Parcel) -> Result<(), ConnectorError> {
        self.bytes += parcel.bytes;
        self.batch.push((place, parcel));
        if self.batch.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends what has gathered, in order, and remembers it.
    async fn send(&mut self) -> Result<(), ConnectorError> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        // Before anything is sent: what cannot be remembered would be sent again.
        let places: Vec<Place> = batch.iter().map(|(place, _)| *place).collect();
        self.kept.check(&places)?;
        let mut by_place: BTreeMap<Address, (To, Vec<Place>, Vec<Outgoing>)> = BTreeMap::new();
        for (place, parcel) in batch {
            let (_, places, records) = by_place
                .entry(parcel.to.address())
                .or_insert_with(|| (parcel.to, Vec::new(), Vec::new()));
            places.push(place);
            records.push(parcel.record);
        }
        for (address, (to, mut places, records)) in by_place {
            let name = to.name();
            if !self.dry_run {
                let refused = match to {
                    To::Topic(connection) => {
                        let writer = match self.writers.remove(&address) {
                            Some(writer) => writer,
                            None => TopicWriter::open(connection.without_size_limit(), &Waits::default()).await?,
                        };
                        let refused = writer.write(&records).await?;
                        self.writers.insert(address, writer);
                        refused
                    }
                    To::File(path) => {
                        append(path, &records).await?;
                        BTreeMap::new()
                    }
                };
                let mut index = 0..;
                places.retain(|_| index.next().is_none_or(|index| !refused.contains_key(&index)));
                for reason in refused.into_values() {
                    self.leave(reason);
                }
                if !places.is_empty() {
                    self.kept.mark(places.clone()).await?;
                }
            }
            *self.report.sent.entry(name).or_default() += places.len() as u64;
        }
        Ok(())
    }
}

/// Appends the values of `records` to the file at `path`, a line each, and returns when they are durable.
async fn append(path: PathBuf, records: &[Outgoing]) -> Result<(), ConnectorError> {
    let mut lines = Vec::new();
    for record in records {
        lines.extend_from_slice(record.value.as_deref().unwrap_or_default());
        lines.push(b'\n');
    }
    let work = move |path: &Path| {
        let mut file = LinesFile::open(path)?;
        file.append(&lines)?;
        file.sync()
    };
    tokio::task::spawn_blocking(move || {
        work(&path).map_err(|source| ConnectorError::Io {
            path: path.display().to_string(),
            source,
        })
    })
    .await
    .map_err(|error| ConnectorError::Internal(error.to_string()))?
}
