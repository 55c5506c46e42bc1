//! The readers of a process that decodes by itself.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::protocol::DecodeJob;
use super::{DecodeError, FittedAnswer};
use crate::error::MediaError;
use crate::fetch::{Content, Identity, MediaFile};
use crate::media::Reader;

/// Readers that wait for media. A reader at a medium belongs to the thread that asked; one whose decoder panics is gone.
#[derive(Debug, Default)]
pub(super) struct ReaderPool {
    /// With the medium that each of them may have open.
    idle: Mutex<Vec<(Option<Identity>, Reader)>>,
}

/// The same content under a descriptor of its own: who fetched the file holds it until it is read, and not for as long as
/// a reader keeps it open.
fn apart(content: &Content) -> io::Result<Content> {
    Ok(match content {
        Content::Memory(_) => content.clone(),
        Content::File(file) => Content::File(MediaFile {
            file: Arc::new(file.file.try_clone()?),
            ..*file
        }),
    })
}

fn unreadable(error: &io::Error, name: &str) -> MediaError {
    MediaError::Unavailable {
        name: name.to_owned(),
        message: error.to_string(),
    }
}

impl ReaderPool {
    /// Has a medium read, by the reader that has it open if there is one. Blocks.
    pub(super) fn read(&self, job: &DecodeJob, content: &Content, name: &str) -> Result<FittedAnswer, DecodeError> {
        let identity = content.identity();
        let (open, mut reader) = self.take(identity);
        let answer = apart(content)
            .map_err(|error| unreadable(&error, name))
            .and_then(|content| job.read(&mut reader, &content, name));
        self.idle().push((identity.or(open), reader));
        answer.map_err(DecodeError::Media)
    }

    fn take(&self, identity: Option<Identity>) -> (Option<Identity>, Reader) {
        let mut idle = self.idle();
        match idle.iter().rposition(|(open, _)| open.is_some() && *open == identity) {
            Some(sticky) => idle.remove(sticky),
            None => idle.pop().unwrap_or_default(),
        }
    }

    /// Nothing panics while it holds this lock.
    fn idle(&self) -> MutexGuard<'_, Vec<(Option<Identity>, Reader)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
