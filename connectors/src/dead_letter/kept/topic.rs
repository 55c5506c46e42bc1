//! Dead letters in a topic.
//!
//! Which of them were sent back is said by the offsets of a consumer group: in each partition what lies before the
//! committed offset, and the ranges behind it that the offset's metadata tell, because letters may be sent back in any
//! choice.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::DeadLetter;
use super::ranges::Ranges;
use super::{Found, Place, Unreadable};
use crate::ConnectorError;
use crate::kafka::{Committed, Connection, TopicSnapshot};

/// The most bytes of metadata: brokers take 4,096 unless told otherwise (`offset.metadata.max.bytes`).
const MAX_METADATA: usize = 4000;

/// A topic of dead letters up to its end when it was opened.
pub(super) struct KeptTopic {
    connection: Connection,
    topic: TopicSnapshot,
    replayed: Mutex<BTreeMap<i32, Replayed>>,
}

/// What was sent back of a partition: all before `from`, and `ranges`.
#[derive(Debug, Clone, Default)]
struct Replayed {
    from: i64,
    ranges: Ranges,
}

impl Replayed {
    fn add(&mut self, place: &Place) {
        self.ranges.insert(place.offset, place.next);
    }

    /// What says it all to the group.
    fn committed(&self) -> Committed {
        let offset = self.ranges.first_gap(self.from);
        Committed {
            offset,
            metadata: self.ranges.encode(offset),
        }
    }
}

impl KeptTopic {
    /// Looks where the topic and the group stand.
    pub async fn open(connection: &Connection, group: &str) -> Result<Self, ConnectorError> {
        let topic = TopicSnapshot::open(connection, group).await?;
        let replayed = topic.spans().iter().map(|(&partition, span)| {
            let replayed = span.committed.as_ref().map(|committed| Replayed {
                from: committed.offset,
                ranges: Ranges::decode(committed.offset, &committed.metadata).unwrap_or_default(),
            });
            let mut replayed = replayed.unwrap_or_default();
            replayed.from = replayed.from.max(span.low);
            (partition, replayed)
        });
        Ok(Self {
            replayed: Mutex::new(replayed.collect()),
            connection: connection.clone(),
            topic,
        })
    }

    fn replayed(&self) -> MutexGuard<'_, BTreeMap<i32, Replayed>> {
        self.replayed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands every record to `each`, until it breaks; those before the group's offsets only with `all`. Blocks.
    pub fn read(&self, all: bool, mut each: impl FnMut(Found) -> ControlFlow<()>) -> Result<(), ConnectorError> {
        let mut expected: BTreeMap<i32, i64> = self
            .replayed()
            .iter()
            .map(|(&partition, replayed)| (partition, replayed.from))
            .collect();
        if all {
            for (partition, span) in self.topic.spans() {
                expected.insert(*partition, span.low);
            }
        }
        let starts = expected.clone();
        self.topic.read(&starts, |record| {
            let (partition, offset) = (record.origin.partition, record.origin.offset);
            let place = Place {
                partition,
                offset,
                next: offset + 1,
            };
            let replayed = {
                let mut replayed = self.replayed();
                let replayed = replayed.entry(partition).or_default();
                // Where compaction or a transaction has left nothing, nothing is left to be sent back.
                replayed
                    .ranges
                    .insert(expected.insert(partition, place.next).unwrap_or(offset), offset);
                offset < replayed.from || replayed.ranges.contains(offset)
            };
            let letter = DeadLetter::from_record(record.key, record.value, record.headers);
            each(Found {
                place,
                replayed,
                letter: letter.map_err(|reason| Unreadable {
                    reason,
                    half_written: false,
                }),
            })
        })
    }

    /// Whether the group can be told that the letters at `places` were sent back.
    pub fn check(&self, places: &[Place]) -> Result<(), ConnectorError> {
        let mut replayed = self.replayed().clone();
        for place in places {
            replayed.entry(place.partition).or_default().add(place);
        }
        if replayed
            .values()
            .all(|replayed| replayed.committed().metadata.len() <= MAX_METADATA)
        {
            return Ok(());
        }
        Err(self.connection.refused(
            "the letters that were sent back lie so scattered between others that the group cannot keep which they are; send \
             more of them back (with fewer conditions), or use another group for this choice",
        ))
    }

    /// Commits that the letters at `places` were sent back.
    pub fn mark(&self, places: &[Place]) -> Result<(), ConnectorError> {
        let standings = {
            let mut replayed = self.replayed();
            for place in places {
                replayed.entry(place.partition).or_default().add(place);
            }
            let partitions: BTreeSet<i32> = places.iter().map(|place| place.partition).collect();
            let of = |partition| Some((partition, replayed.get(&partition)?.committed()));
            partitions.into_iter().filter_map(of).collect()
        };
        self.topic.commit(&standings)
    }
}
