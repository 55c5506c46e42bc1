//! Fetched media on the disk, shared by all who fetch in this process: each is fetched once, whoever asks for it meanwhile,
//! and kept for a while.

mod spool;
mod store;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{self, OwnedMutexGuard};
use tokio::time::Instant;

use super::content::{Content, Identity};
use super::{Fetched, metrics};
use crate::error::{MediaError, ModelError};
pub(super) use spool::{Spool, SpoolError, is_full};
pub(super) use store::{Room, Store};

/// So many entries are remembered before those that hold nothing are looked for and forgotten.
const ENTRIES: usize = 1024;

/// The cache.
#[derive(Debug)]
pub(super) struct Cache {
    /// Why there is none where the directory cannot be used: told when a medium has to go there.
    store: Result<Arc<Store>, String>,
    entries: Mutex<Entries>,
    fresh_for: Duration,
}

#[derive(Debug, Default)]
struct Entries {
    of_keys: HashMap<Key, Entry>,
    tidy_at: usize,
}

/// Of a URL, or of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// Of what is at a URL. It holds no credentials, though the URL may.
    pub(super) fn of_url(url: &url::Url) -> Self {
        Self::of(b"url", url.as_str().as_bytes())
    }

    /// Of what is in a reference itself.
    pub(super) fn of_content(bytes: &[u8]) -> Self {
        Self::of(b"content", bytes)
    }

    fn of(kind: &[u8], bytes: &[u8]) -> Self {
        Self(Sha256::new().chain_update(kind).chain_update(bytes).finalize().into())
    }
}

/// What is known of one address. Who has its state locked fetches it; the others wait.
#[derive(Debug, Clone, Default)]
struct Entry {
    state: Arc<sync::Mutex<State>>,
    /// Counts the starts and ends of fetches: odd while one is under way.
    turns: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    /// The medium, unless it was let go meanwhile.
    kept: Option<Kept>,
    /// What a fetch that was given up left behind.
    partial: Option<Partial>,
    /// How the last fetch ended, for those who waited for it, and its turn.
    last: Option<(u64, Ended)>,
}

#[derive(Debug)]
struct Kept {
    identity: Identity,
    media_type: Option<String>,
    validator: Validator,
    checked: Instant,
}

/// A medium that came in part.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) spool: Spool,
    pub(super) media_type: Option<String>,
    pub(super) validator: Validator,
}

impl Partial {
    /// The medium is complete, and nobody shares it.
    pub(super) async fn finish(self) -> Result<Fetched, SpoolError> {
        Ok(Fetched {
            content: Content::File(self.spool.finish().await?),
            media_type: self.media_type,
        })
    }
}

/// How a fetch ended for those who wait.
#[derive(Debug, Clone)]
enum Ended {
    /// The medium is small, and goes to no file: each fetches it alone.
    InMemory,
    Failed(MediaError),
}

/// By what a server tells one version of a medium from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Validator {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

impl Validator {
    /// The tag by which a medium that came in part may be completed: it stands for the same bytes.
    pub(super) fn strong(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| !etag.starts_with("W/"))
    }

    fn is_some(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }
}

/// How old a medium may be that is given without asking the other side whether it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// It cannot change.
    Any,
    /// It was looked at lately.
    Fresh,
    /// Others hold it just now, and only then.
    Checked,
}

/// What somebody who needs a medium gets.
#[derive(Debug)]
pub(super) enum Found {
    /// The medium.
    Here(Fetched),
    /// The task to fetch it.
    Seat(Seat),
    /// The advice to fetch it alone: somebody found that it is small.
    InMemory,
    /// What became of the fetch that was waited for.
    Failed(MediaError),
}

/// The task to fetch a medium. Dropped, it goes to the next who waits for it, with what has come so far.
#[derive(Debug)]
pub(super) struct Seat {
    state: OwnedMutexGuard<State>,
    turn: u64,
    store: Result<Arc<Store>, String>,
    // Dropped after the state is free.
    _participant: Participant,
}

/// Somebody who fetches a medium, or waits for it.
#[derive(Debug)]
struct Participant(Entry);

impl Drop for Participant {
    fn drop(&mut self) {
        // The entry's own, and this one: nobody is left to complete what came in part.
        if Arc::strong_count(&self.0.turns) == 2
            && let Ok(mut state) = self.0.state.try_lock()
        {
            state.partial = None;
        }
    }
}

impl Cache {
    /// A cache of `bytes` in `directory`, or, where none is named, in one for temporary files that are not in memory.
    ///
    /// # Errors
    /// [`ModelError::Option`] where `directory` cannot be used.
    pub(super) fn new(directory: Option<PathBuf>, bytes: u64, fresh_for: Duration) -> Result<Self, ModelError> {
        let named = directory.is_some();
        let directory = directory.unwrap_or_else(default_directory);
        let store = match tempfile::tempfile_in(&directory) {
            Ok(_) => Ok(Arc::new(Store::new(directory, bytes))),
            Err(error) => Err(format!("{}: {error}", directory.display())),
        };
        match store {
            Err(message) if named => Err(ModelError::Option {
                option: "cache_directory".into(),
                message,
            }),
            store => Ok(Self {
                store,
                entries: Mutex::default(),
                fresh_for,
            }),
        }
    }

    /// Asks for a medium, and waits while somebody else fetches it.
    pub(super) async fn ask(&self, key: Key, age: Age) -> Found {
        let participant = Participant(self.entry(key));
        let entry = &participant.0;
        let asked_at = entry.turns.load(Ordering::SeqCst);
        let mut state = Arc::clone(&entry.state).lock_owned().await;
        match &state.last {
            Some((turn, Ended::InMemory)) if *turn >= asked_at => return Found::InMemory,
            Some((turn, Ended::Failed(error))) if *turn >= asked_at => return Found::Failed(error.clone()),
            _ => {}
        }
        if let Some(fetched) = self.kept(&mut state, age) {
            metrics::cache_asked("hit");
            return Found::Here(fetched);
        }
        Found::Seat(Seat {
            state,
            turn: entry.turns.fetch_add(1, Ordering::SeqCst) + 1,
            store: self.store.clone(),
            _participant: participant,
        })
    }

    /// Where media are written.
    pub(super) fn store(&self) -> Result<Arc<Store>, String> {
        self.store.clone()
    }

    /// The medium, if it is here and of the right age, or somebody holds it: who reads the parts of a medium is not given
    /// another one in the middle.
    fn kept(&self, state: &mut State, age: Age) -> Option<Fetched> {
        let kept = state.kept.as_ref()?;
        let store = self.store.as_ref().ok()?;
        let Some((file, is_held)) = store.find(kept.identity) else {
            state.kept = None;
            return None;
        };
        let will_do = match age {
            Age::Any => true,
            Age::Fresh => is_held || kept.checked.elapsed() < self.fresh_for,
            Age::Checked => is_held,
        };
        will_do.then(|| Fetched {
            content: Content::File(file),
            media_type: kept.media_type.clone(),
        })
    }

    fn entry(&self, key: Key) -> Entry {
        // A panic while the lock is held leaves a valid map.
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.of_keys.get(&key) {
            return entry.clone();
        }
        if entries.of_keys.len() >= entries.tidy_at {
            entries.of_keys.retain(|_, entry| self.is_of_use(entry));
            entries.tidy_at = (entries.of_keys.len() * 2).max(ENTRIES);
        }
        entries.of_keys.entry(key).or_default().clone()
    }

    fn is_of_use(&self, entry: &Entry) -> bool {
        let is_kept = |state: &State| match (&state.kept, &self.store) {
            (Some(kept), Ok(store)) => store.holds(kept.identity),
            _ => false,
        };
        Arc::strong_count(&entry.turns) > 1 || entry.state.try_lock().map_or(true, |state| is_kept(&state))
    }
}

impl Seat {
    /// By what the medium that is here can be asked whether it is still the same.
    pub(super) fn validator(&self) -> Option<&Validator> {
        let validator = self.state.kept.as_ref().map(|kept| &kept.validator);
        validator.filter(|validator| validator.is_some())
    }

    /// What has come of a medium so far.
    pub(super) fn partial(&mut self) -> &mut Option<Partial> {
        &mut self.state.partial
    }

    /// The medium is still the same: it, if it is still here.
    pub(super) fn not_modified(&mut self) -> Option<Fetched> {
        let kept = self.state.kept.as_mut()?;
        let Some((file, _)) = self.store.as_ref().ok()?.find(kept.identity) else {
            self.state.kept = None;
            return None;
        };
        kept.checked = Instant::now();
        metrics::cache_asked("revalidated");
        Some(Fetched {
            content: Content::File(file),
            media_type: kept.media_type.clone(),
        })
    }

    /// The medium is complete.
    pub(super) async fn finish(&mut self) -> Result<Fetched, SpoolError> {
        let partial = self.state.partial.take();
        let partial = partial.ok_or_else(|| SpoolError::Disk(io::Error::other("nothing was begun")))?;
        let validator = partial.validator.clone();
        let fetched = partial.finish().await?;
        if let (Some(old), Ok(store)) = (&self.state.kept, &self.store) {
            store.forget(old.identity);
        }
        self.state.kept = fetched.content.identity().map(|identity| Kept {
            identity,
            media_type: fetched.media_type.clone(),
            validator,
            checked: Instant::now(),
        });
        metrics::cache_asked("miss");
        Ok(fetched)
    }

    /// The medium turned out to be small: those who wait fetch it alone.
    pub(super) fn goes_to_memory(mut self) {
        let turn = self.turn;
        *self.state = State {
            last: Some((turn, Ended::InMemory)),
            ..State::default()
        };
    }

    /// It failed, for those who wait too.
    pub(super) fn failed(mut self, error: &MediaError) {
        self.state.partial = None;
        self.state.last = Some((self.turn, Ended::Failed(error.clone())));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Even again. The state is still locked.
        self._participant.0.turns.fetch_add(1, Ordering::SeqCst);
    }
}

/// `TMPDIR`, or `/var/tmp`: `/tmp` is in memory on many machines.
fn default_directory() -> PathBuf {
    match std::env::var_os("TMPDIR") {
        Some(directory) if !directory.is_empty() => directory.into(),
        _ => Some(PathBuf::from("/var/tmp"))
            .filter(|directory| directory.is_dir())
            .unwrap_or_else(std::env::temp_dir),
    }
}
