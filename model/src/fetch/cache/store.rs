//! Files that hold media: bounded in bytes, and without names, so that nothing of them outlives the process, however it
//! ends.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync;

use super::super::content::{Identity, MediaFile};
use super::super::metrics;

/// How many files are kept before those that nobody holds are let go: each takes a descriptor.
const KEPT_FILES: usize = 256;

/// How often who waits for room looks whether there is some. Files are let go without anybody being told.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long room is waited for before the log tells.
const TOLD_WAIT: Duration = Duration::from_secs(10);

/// Files of so many bytes together, kept while there is room.
#[derive(Debug)]
pub(in crate::fetch) struct Store {
    directory: PathBuf,
    limit: u64,
    shelf: Mutex<Shelf>,
    /// Who waits for room does so in turn, so that the first of them gets it.
    turn: sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Shelf {
    /// Bytes that are taken: by files that are kept, and by those that are being written.
    used: u64,
    /// Counts uses.
    clock: u64,
    files: HashMap<Identity, Kept>,
}

#[derive(Debug)]
struct Kept {
    file: Arc<File>,
    length: u64,
    /// The clock at its last use.
    used_at: u64,
}

impl Kept {
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.file) == 1
    }
}

/// Room in a store, given back when it is dropped.
#[derive(Debug)]
pub(in crate::fetch) struct Room {
    store: Arc<Store>,
    pub(in crate::fetch) bytes: u64,
}

impl Store {
    pub(in crate::fetch) fn new(directory: PathBuf, limit: u64) -> Self {
        Self {
            directory,
            limit,
            shelf: Mutex::default(),
            turn: sync::Mutex::default(),
        }
    }

    /// The most bytes of all files together.
    pub(in crate::fetch) fn limit(&self) -> u64 {
        self.limit
    }

    /// A new file, which nobody else can open.
    pub(in crate::fetch) fn create(&self) -> io::Result<File> {
        tempfile::tempfile_in(&self.directory)
    }

    /// Room for so many bytes, if there is some or can be made by letting files go that nobody holds.
    pub(in crate::fetch) fn try_room(self: &Arc<Self>, bytes: u64) -> Option<Room> {
        let mut gone = Vec::new();
        let mut shelf = self.shelf();
        // Nothing goes for room that will not do.
        let fits = shelf.held().saturating_add(bytes) <= self.limit;
        if fits {
            while shelf.used.saturating_add(bytes) > self.limit
                && let Some(file) = shelf.let_one_go()
            {
                gone.push(file);
            }
            shelf.used += bytes;
        }
        metrics::cached(shelf.used);
        drop(shelf);
        if !gone.is_empty() {
            tokio::task::spawn_blocking(move || gone.iter().for_each(discard));
        }
        fits.then(|| Room {
            store: Arc::clone(self),
            bytes,
        })
    }

    /// Waits for room for so many bytes. Who waits holds none: so the last of those who hold some can go on.
    pub(in crate::fetch) async fn room(self: &Arc<Self>, bytes: u64) -> Room {
        let _turn = self.turn.lock().await;
        let mut waited = Duration::ZERO;
        loop {
            if let Some(room) = self.try_room(bytes.min(self.limit)) {
                return room;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
            if waited == TOLD_WAIT {
                tracing::warn!(bytes, "waiting for room in the cache for media (--cache-bytes)");
            }
        }
    }

    /// Lets one file go that nobody holds, and frees its room on the disk: whether there was one. Blocks.
    pub(in crate::fetch) fn make_room_on_disk(&self) -> bool {
        let gone = {
            let mut shelf = self.shelf();
            let gone = shelf.let_one_go();
            metrics::cached(shelf.used);
            gone
        };
        gone.inspect(discard).is_some()
    }

    /// Keeps a file that was written, in the room that it has.
    pub(in crate::fetch) fn keep(&self, file: &File, mut room: Room, length: u64) -> io::Result<MediaFile> {
        let file = Arc::new(read_only(file)?);
        let identity = Identity(rand::random());
        let mut shelf = self.shelf();
        // The room is the file's from now on.
        shelf.used = shelf.used - std::mem::take(&mut room.bytes) + length;
        let used_at = shelf.tick();
        let kept = Kept {
            file: Arc::clone(&file),
            length,
            used_at,
        };
        shelf.files.insert(identity, kept);
        metrics::cached(shelf.used);
        let mut gone = Vec::new();
        while shelf.files.len() > KEPT_FILES
            && let Some(file) = shelf.let_one_go()
        {
            gone.push(file);
        }
        drop(shelf);
        gone.iter().for_each(discard);
        Ok(MediaFile { file, length, identity })
    }

    /// A file that was kept, if it still is; and whether somebody held it.
    pub(in crate::fetch) fn find(&self, identity: Identity) -> Option<(MediaFile, bool)> {
        let mut shelf = self.shelf();
        let used_at = shelf.tick();
        let kept = shelf.files.get_mut(&identity)?;
        kept.used_at = used_at;
        let is_held = Arc::strong_count(&kept.file) > 1;
        let file = MediaFile {
            file: Arc::clone(&kept.file),
            length: kept.length,
            identity,
        };
        Some((file, is_held))
    }

    /// A file will not be asked for any more: it goes as soon as nobody holds it and room is needed.
    pub(in crate::fetch) fn forget(&self, identity: Identity) {
        if let Some(kept) = self.shelf().files.get_mut(&identity) {
            kept.used_at = 0;
        }
    }

    /// Whether a file is still kept.
    pub(in crate::fetch) fn holds(&self, identity: Identity) -> bool {
        self.shelf().files.contains_key(&identity)
    }

    /// Nothing panics while it holds this lock.
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Bytes that cannot be let go: of files that somebody holds or writes.
    fn held(&self) -> u64 {
        let idle = self.files.values().filter(|kept| kept.is_idle());
        self.used - idle.map(|kept| kept.length).sum::<u64>()
    }

    /// Takes out the file that was not used for the longest time, of those that nobody holds.
    fn let_one_go(&mut self) -> Option<File> {
        let idle = self.files.iter().filter(|(_, kept)| kept.is_idle());
        let (&oldest, _) = idle.min_by_key(|(_, kept)| kept.used_at)?;
        let kept = self.files.remove(&oldest)?;
        self.used -= kept.length;
        metrics::evicted();
        // Nobody else had it, and nobody can have got it meanwhile.
        Arc::into_inner(kept.file)
    }
}

impl Room {
    /// Makes it larger, if there is room.
    pub(in crate::fetch) fn try_grow(&mut self, bytes: u64) -> bool {
        match self.store.try_room(bytes) {
            Some(mut more) => {
                self.bytes += std::mem::take(&mut more.bytes);
                true
            }
            None => false,
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut shelf = self.store.shelf();
        shelf.used -= self.bytes;
        metrics::cached(shelf.used);
    }
}

/// The same file, for reading alone: decoders get it.
fn read_only(file: &File) -> io::Result<File> {
    File::open(itself(file)).or_else(|_| file.try_clone())
}

/// Frees what a file takes of the disk, even if a decode worker still has it open. No worker is asked about it any more.
fn discard(file: &File) {
    let emptied = OpenOptions::new()
        .write(true)
        .open(itself(file))
        .and_then(|file| file.set_len(0));
    if let Err(error) = emptied {
        tracing::debug!(%error, "a cached medium stays until nobody has it open");
    }
}

/// A file without a name can be opened by this one.
fn itself(file: &File) -> PathBuf {
    Path::new("/proc/self/fd").join(file.as_raw_fd().to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn store(limit: u64) -> Arc<Store> {
        Arc::new(Store::new(std::env::temp_dir(), limit))
    }

    fn kept(store: &Arc<Store>, bytes: usize) -> MediaFile {
        let room = store.try_room(bytes as u64).expect("there is room");
        let mut file = store.create().expect("a temporary file");
        file.write_all(&vec![7; bytes]).expect("there is room on the disk");
        store.keep(&file, room, bytes as u64).expect("it can be opened")
    }

    #[tokio::test]
    async fn the_file_that_was_not_used_for_longest_goes_first_unless_it_is_held() {
        let store = store(3000);
        let [first, second, third] = [1000; 3].map(|bytes| kept(&store, bytes));
        assert!(store.try_room(1).is_none(), "all are held");
        let (held, was_held) = store.find(first.identity).expect("it is kept");
        assert!(was_held);
        let identities = [first.identity, second.identity, third.identity];
        drop((first, second, third));
        store.forget(identities[2]);
        let room = store.try_room(1000).expect("two are not held");
        assert_eq!(identities.map(|identity| store.holds(identity)), [true, true, false]);
        drop(room);
        let room = store.try_room(1500).expect("two are not held");
        assert_eq!(identities.map(|identity| store.holds(identity)), [true, false, false]);
        assert!(store.try_room(600).is_none(), "too much is held");
        assert!(store.holds(identities[0]), "nothing went in vain");
        drop((held, room));
        assert!(!store.find(identities[0]).expect("it is kept").1);
        assert!(store.try_room(3000).is_some() && store.try_room(3001).is_none());
    }

    #[tokio::test]
    async fn what_is_let_go_is_gone_from_the_disk_even_if_a_worker_has_it_open() {
        let store = store(1 << 20);
        let file = kept(&store, 100_000);
        let worker = file.file.try_clone().expect("a descriptor");
        assert!(worker.metadata().expect("it is open").blocks() > 0);
        assert!((&worker).write(b"x").is_err(), "it is for reading");
        drop(file);
        assert!(store.make_room_on_disk() && !store.make_room_on_disk());
        assert_eq!(worker.metadata().expect("it is open").blocks(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_all_the_room_gets_it() {
        let store = store(1000);
        let mut some = store.try_room(600).expect("there is room");
        assert!(!some.try_grow(401) && some.try_grow(400));
        let waiting = store.room(1000);
        tokio::pin!(waiting);
        let minute = Duration::from_secs(60);
        assert!(tokio::time::timeout(minute, &mut waiting).await.is_err());
        drop(some);
        assert_eq!(waiting.await.bytes, 1000);
    }

    #[tokio::test]
    async fn no_more_files_are_kept_than_descriptors_can_be_spared() {
        let store = store(1 << 20);
        for _ in 0..KEPT_FILES + 10 {
            kept(&store, 10);
        }
        assert_eq!(store.shelf().files.len(), KEPT_FILES);
    }
}
