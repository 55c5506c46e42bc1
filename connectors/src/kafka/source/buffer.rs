//! What stands between the consumer's thread and the engine: decoded records, in order, in bounded number and size.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, RwLock};

use crate::format::Row;
use crate::{EpochLimits, Position, RejectedRecord, SourceRecord};

/// A record that the thread has read, or a step that leaves no record.
pub(super) struct Entry {
    pub(super) partition: i32,
    /// The offset after it.
    pub(super) next: i64,
    /// What it takes in memory: the record, and its row.
    pub(super) bytes: usize,
    pub(super) content: Content,
}

pub(super) enum Content {
    Row(Row, SourceRecord),
    Rejected(RejectedRecord),
    /// A record without a value that deletes.
    Tombstone(SourceRecord),
    /// A record that could not be decoded, and is not handed over.
    Dropped,
    /// Nothing to hand over, but the position moves on: an ignored tombstone, the end of a partition.
    Nothing,
}

/// What [`Buffer::take`] found.
pub(super) enum Taken {
    /// An epoch's entries and the position after them.
    Epoch { entries: Vec<Entry>, position: Position },
    /// Not enough yet; look again at this time, or at the next change.
    Wait(Option<Instant>),
    /// Nothing more will come, and why.
    Failed(String),
    /// [`Buffer::stop`] was called.
    Stopped,
}

/// Bounds the buffer at this many epochs, so that the engine finds its next epochs without waiting for the broker.
const EPOCHS: usize = 4;

/// The buffer. One thread fills it, the engine's tasks take from it.
pub(super) struct Buffer {
    limits: EpochLimits,
    state: Mutex<State>,
    /// Told when entries come, when the source stops or fails, and when a commit has gone through.
    pub(super) changed: Notify,
    room: Condvar,
    /// Held for reading while an epoch is written and committed, for writing while partitions are given away.
    pub(super) fence: Arc<RwLock<()>>,
}

#[derive(Default)]
struct State {
    generation: u64,
    entries: VecDeque<(Entry, Instant)>,
    bytes: usize,
    /// The offset after the newest entry of each partition, in this generation.
    read: BTreeMap<i32, i64>,
    /// The offset after the newest entry that was handed over, of each partition, in this generation.
    handed_over: BTreeMap<i32, i64>,
    assigned: Vec<i32>,
    stopped: bool,
    closed: bool,
    failed: Option<String>,
}

impl Buffer {
    pub(super) fn new(limits: EpochLimits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            changed: Notify::new(),
            room: Condvar::new(),
            fence: Arc::default(),
        }
    }

    /// No code panics while it holds this lock, and every change below leaves the state whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, entry: Entry) {
        let mut state = self.state();
        if state.failed.is_some() {
            return;
        }
        state.bytes += entry.bytes;
        state.read.insert(entry.partition, entry.next);
        state.entries.push_back((entry, Instant::now()));
        drop(state);
        self.changed.notify_waiters();
    }

    /// The offset after the newest entry of `partition`, if any was read in this generation.
    pub(super) fn read(&self, partition: i32) -> Option<i64> {
        self.state().read.get(&partition).copied()
    }

    /// The offset after the newest entry of `partition` that was handed over in this generation.
    pub(super) fn handed_over(&self, partition: i32) -> Option<i64> {
        self.state().handed_over.get(&partition).copied()
    }

    /// Entries that wait to be taken.
    pub(super) fn len(&self) -> usize {
        self.state().entries.len()
    }

    /// Entries of `partition` that wait to be taken.
    pub(super) fn len_of(&self, partition: i32) -> usize {
        let state = self.state();
        let entries = state.entries.iter();
        entries.filter(|(entry, _)| entry.partition == partition).count()
    }

    /// Takes an epoch's entries if an epoch is full, or old enough.
    pub(super) fn take(&self, now: Instant) -> Taken {
        let mut state = self.state();
        if state.stopped {
            return Taken::Stopped;
        }
        let Some((_, arrived)) = state.entries.front() else {
            return state.failed.clone().map_or(Taken::Wait(None), Taken::Failed);
        };
        let due = *arrived + self.limits.delay;
        let full = state.entries.len() >= self.limits.records || state.bytes >= self.limits.bytes;
        if !full && state.failed.is_none() && now < due {
            return Taken::Wait(Some(due));
        }
        let mut position = Position {
            generation: state.generation,
            ..Position::default()
        };
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some((entry, _)) = state.entries.front() {
            let full = entries.len() >= self.limits.records.max(1) || bytes + entry.bytes > self.limits.bytes;
            if full && !entries.is_empty() {
                break;
            }
            let Some((entry, _)) = state.entries.pop_front() else {
                break;
            };
            bytes += entry.bytes;
            state.bytes -= entry.bytes;
            state.handed_over.insert(entry.partition, entry.next);
            position.offsets.insert(entry.partition.to_string(), entry.next);
            entries.push(entry);
        }
        drop(state);
        self.room.notify_all();
        Taken::Epoch { entries, position }
    }

    /// Waits until there is room for another entry. False if there is none after `timeout`.
    pub(super) fn wait_for_room(&self, timeout: Duration) -> bool {
        let state = self.state();
        let full = |state: &mut State| {
            !state.closed
                && (state.entries.len() >= EPOCHS * self.limits.records || state.bytes >= EPOCHS * self.limits.bytes)
        };
        let waited = self.room.wait_timeout_while(state, timeout, full);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Whether the buffer is so empty that a paused consumer should go on.
    pub(super) fn wants_more(&self) -> bool {
        let state = self.state();
        state.failed.is_none() && state.entries.len() <= self.limits.records && state.bytes <= self.limits.bytes
    }

    /// Ends the source with an error, after what is in the buffer.
    pub(super) fn fail(&self, reason: String) {
        self.state().failed.get_or_insert(reason);
        self.changed.notify_waiters();
    }

    /// Why the source has ended, if it has.
    pub(super) fn failure(&self) -> Option<String> {
        self.state().failed.clone()
    }

    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.changed.notify_waiters();
    }

    /// Tells the thread to end.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.stopped = true;
        state.closed = true;
        drop(state);
        self.room.notify_all();
        self.changed.notify_waiters();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    pub(super) fn generation(&self) -> u64 {
        self.state().generation
    }

    pub(super) fn assign(&self, partitions: Vec<i32>) {
        self.state().assigned = partitions;
        self.changed.notify_waiters();
    }

    pub(super) fn assigned(&self) -> Vec<i32> {
        self.state().assigned.clone()
    }

    /// Starts a new generation: positions of the old one are void, and what is in the buffer will be read again by
    /// whoever gets the partitions.
    pub(super) fn new_generation(&self) {
        let mut state = self.state();
        state.generation += 1;
        state.entries.clear();
        state.bytes = 0;
        state.read.clear();
        state.handed_over.clear();
        state.assigned.clear();
        drop(state);
        self.room.notify_all();
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(next: i64, bytes: usize) -> Entry {
        Entry {
            partition: 0,
            next,
            bytes,
            content: Content::Nothing,
        }
    }

    fn buffer(records: usize, bytes: usize) -> Buffer {
        Buffer::new(EpochLimits {
            records,
            bytes,
            delay: Duration::from_secs(3600),
        })
    }

    fn taken(buffer: &Buffer) -> Option<(usize, Position)> {
        match buffer.take(Instant::now()) {
            Taken::Epoch { entries, position } => Some((entries.len(), position)),
            _ => None,
        }
    }

    #[test]
    fn an_epoch_is_full_by_records_or_by_bytes_and_waits_otherwise() {
        let by_records = buffer(2, 100);
        by_records.push(entry(1, 1));
        assert!(taken(&by_records).is_none(), "one of two records and an hour to go");
        by_records.push(entry(2, 1));
        by_records.push(entry(3, 1));
        let (count, position) = taken(&by_records).expect("two records are an epoch");
        assert_eq!((count, position.offsets["0"]), (2, 2));

        let by_bytes = buffer(10, 100);
        by_bytes.push(entry(1, 70));
        by_bytes.push(entry(2, 70));
        assert_eq!(
            taken(&by_bytes).map(|(count, _)| count),
            Some(1),
            "the second would pass the limit"
        );
    }

    #[test]
    fn a_record_larger_than_an_epoch_is_an_epoch_by_itself() {
        let buffer = buffer(10, 100);
        buffer.push(entry(1, 5000));
        assert_eq!(taken(&buffer).map(|(count, _)| count), Some(1));
    }

    #[test]
    fn a_delay_that_has_passed_closes_an_epoch() {
        let buffer = buffer(10, 100);
        buffer.push(entry(1, 1));
        let Taken::Wait(Some(due)) = buffer.take(Instant::now()) else {
            panic!("the epoch is not full")
        };
        assert!(matches!(buffer.take(due), Taken::Epoch { .. }));
    }

    #[test]
    fn a_new_generation_voids_what_was_read() {
        let buffer = buffer(1, 100);
        buffer.push(entry(1, 1));
        let (_, before) = taken(&buffer).expect("one record is an epoch");
        buffer.push(entry(2, 1));
        buffer.new_generation();
        assert!(taken(&buffer).is_none(), "the second record went with the partitions");
        buffer.push(entry(1, 1));
        let (_, after) = taken(&buffer).expect("one record is an epoch");
        assert!(after.generation > before.generation);
    }

    #[test]
    fn a_failure_comes_after_the_records_before_it_and_stays() {
        let buffer = buffer(10, 100);
        buffer.push(entry(1, 1));
        buffer.fail("offset 1 is bad".into());
        buffer.push(entry(3, 1));
        assert_eq!(taken(&buffer).map(|(count, _)| count), Some(1));
        for _ in 0..2 {
            assert!(matches!(buffer.take(Instant::now()), Taken::Failed(reason) if reason == "offset 1 is bad"));
        }
    }

    #[test]
    fn a_full_buffer_has_no_room_until_something_is_taken() {
        let buffer = buffer(1, 100);
        (0..4).for_each(|offset| buffer.push(entry(offset + 1, 1)));
        assert!(!buffer.wait_for_room(Duration::from_millis(1)));
        taken(&buffer).expect("the buffer is full");
        assert!(buffer.wait_for_room(Duration::from_millis(1)));
    }
}
