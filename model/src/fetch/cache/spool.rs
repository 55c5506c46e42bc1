//! A medium on its way to the disk.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::super::content::MediaFile;
use super::store::{Room, Store};

/// Bytes that are gathered before they are written.
const WRITTEN_AT_ONCE: usize = 1 << 20;

/// Room is taken by so much where nobody says how much there will be.
const ROOM_AT_ONCE: u64 = 16 << 20;

/// A file that is being written. Dropped, it is gone, and its room free.
#[derive(Debug)]
pub(in crate::fetch) struct Spool {
    store: Arc<Store>,
    file: Arc<File>,
    room: Room,
    written: u64,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
}

/// Why bytes were not written.
#[derive(Debug)]
pub(in crate::fetch) enum SpoolError {
    /// There is no room in the cache now, and this much would do.
    NoRoom(u64),
    /// It is larger than the whole cache, which is this large.
    TooLarge(u64),
    Disk(io::Error),
}

impl Spool {
    /// A spool in `room`.
    pub(in crate::fetch) fn new(store: &Arc<Store>, room: Room) -> io::Result<Self> {
        Ok(Self {
            file: Arc::new(store.create()?),
            store: Arc::clone(store),
            room,
            written: 0,
            waiting: Vec::new(),
            waiting_bytes: 0,
        })
    }

    /// How many bytes it has, those that wait to be written included.
    pub(in crate::fetch) fn length(&self) -> u64 {
        self.written + self.waiting_bytes as u64
    }

    /// Adds bytes at the end.
    pub(in crate::fetch) async fn write(&mut self, bytes: Bytes) -> Result<(), SpoolError> {
        let length = self.length() + bytes.len() as u64;
        if length > self.room.bytes {
            self.grow(length)?;
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push(bytes);
        if self.waiting_bytes >= WRITTEN_AT_ONCE {
            self.flush().await?;
        }
        Ok(())
    }

    fn grow(&mut self, length: u64) -> Result<(), SpoolError> {
        let needed = length - self.room.bytes;
        if length > self.store.limit() {
            return Err(SpoolError::TooLarge(self.store.limit()));
        }
        if self.room.try_grow(needed.max(ROOM_AT_ONCE)) || self.room.try_grow(needed) {
            return Ok(());
        }
        // As nobody knows how much more will come, twice as much.
        Err(SpoolError::NoRoom(length.saturating_mul(2).min(self.store.limit())))
    }

    /// Writes what is waiting. If this future is dropped, the same bytes may be written once more, to the same place.
    async fn flush(&mut self) -> Result<(), SpoolError> {
        let (file, store) = (Arc::clone(&self.file), Arc::clone(&self.store));
        let (waiting, start) = (std::mem::take(&mut self.waiting), self.written);
        let bytes = std::mem::take(&mut self.waiting_bytes);
        let written = tokio::task::spawn_blocking(move || {
            let mut place = start;
            for chunk in waiting {
                write_all(&file, &chunk, place, &store)?;
                place += chunk.len() as u64;
            }
            Ok(())
        });
        written
            .await
            .expect("writing a file does not panic, and the runtime outlives its tasks")
            .map_err(SpoolError::Disk)?;
        self.written += bytes as u64;
        Ok(())
    }

    /// The medium is complete.
    pub(in crate::fetch) async fn finish(mut self) -> Result<MediaFile, SpoolError> {
        self.flush().await?;
        let Self {
            store,
            file,
            room,
            written,
            ..
        } = self;
        store.keep(&file, room, written).map_err(SpoolError::Disk)
    }
}

/// Writes all, and lets other files go where the disk is full.
fn write_all(file: &File, bytes: &[u8], place: u64, store: &Store) -> io::Result<()> {
    loop {
        match file.write_all_at(bytes, place) {
            Err(error) if is_full(&error) && store.make_room_on_disk() => {}
            outcome => return outcome,
        }
    }
}

/// Whether a disk, or a quota of it, is full.
pub(in crate::fetch) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
