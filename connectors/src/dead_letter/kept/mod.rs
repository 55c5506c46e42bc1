//! Dead letters as they are kept: reading them, and remembering which were sent back.

mod file;
mod ranges;
mod topic;

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::file::KeptFile;
use self::topic::KeptTopic;
use super::{DeadLetter, DeadLetterTarget};
use crate::ConnectorError;
use crate::error::blocking;

/// Letters that are read ahead.
const READ_AHEAD: usize = 8;

/// The dead letters in a file or a topic, up to its end when it was opened.
pub struct KeptLetters(Kept);

enum Kept {
    File(KeptFile),
    Topic(KeptTopic),
}

/// A dead letter, or what stands where one should.
#[derive(Debug)]
pub struct Found {
    /// Where it is.
    pub place: Place,
    /// Whether it was sent back already.
    pub replayed: bool,
    /// The letter.
    pub letter: Result<DeadLetter, Unreadable>,
}

/// Where a dead letter is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The topic's partition; 0 in a file.
    pub partition: i32,
    /// The offset; in a file that of the line's first byte.
    pub offset: i64,
    /// The offset of what follows.
    pub(super) next: i64,
}

/// Something that is no dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Why, in a sentence.
    pub reason: String,
    /// Whether it is the end of a file that is being written, or was cut short there: nothing is lost, because whoever
    /// writes it has not been told that it is kept.
    pub half_written: bool,
}

impl KeptLetters {
    /// Opens the dead letters at `target` to look at them. What was sent back from a topic is what the consumer group
    /// `group` has committed.
    ///
    /// # Errors
    /// [`ConnectorError::Io`] for a file that is not there or cannot be read, [`ConnectorError::Refused`] for a topic that
    /// is not there. Brokers that are away are waited for.
    pub async fn open(target: &DeadLetterTarget, group: &str) -> Result<Self, ConnectorError> {
        Self::open_as(target, group, false).await
    }

    /// As [`KeptLetters::open`], to send letters back too: for a file, only one process at a time can.
    pub async fn open_to_replay(target: &DeadLetterTarget, group: &str) -> Result<Self, ConnectorError> {
        Self::open_as(target, group, true).await
    }

    async fn open_as(target: &DeadLetterTarget, group: &str, replay: bool) -> Result<Self, ConnectorError> {
        Ok(Self(match target {
            DeadLetterTarget::None => {
                return Err(ConnectorError::Refused {
                    system: "dead letters".into(),
                    message: "'none' keeps none".into(),
                });
            }
            DeadLetterTarget::File(path) => {
                let path = path.clone();
                Kept::File(blocking(move || KeptFile::open(&path, replay)).await??)
            }
            DeadLetterTarget::Topic(connection) => Kept::Topic(KeptTopic::open(connection, group).await?),
        }))
    }

    /// Reads the letters, one after the other. Without `all`, those that were sent back may be passed over.
    pub fn read(self: &Arc<Self>, all: bool) -> Letters {
        let (sender, found) = mpsc::channel(READ_AHEAD);
        let kept = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let each = |found| match sender.blocking_send(found) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
            match &kept.0 {
                Kept::File(file) => file.read(each),
                Kept::Topic(topic) => topic.read(all, each),
            }
        });
        Letters { found, task }
    }

    /// Whether it can be remembered that the letters at `places` were sent back.
    pub(super) fn check(&self, places: &[Place]) -> Result<(), ConnectorError> {
        match &self.0 {
            Kept::File(_) => Ok(()),
            Kept::Topic(topic) => topic.check(places),
        }
    }

    /// Remembers, durably, that the letters at `places` were sent back.
    pub(super) async fn mark(self: &Arc<Self>, places: Vec<Place>) -> Result<(), ConnectorError> {
        let kept = Arc::clone(self);
        blocking(move || match &kept.0 {
            Kept::File(file) => file.mark(&places),
            Kept::Topic(topic) => topic.mark(&places),
        })
        .await?
    }
}

/// Letters that are being read.
pub struct Letters {
    found: mpsc::Receiver<Found>,
    task: JoinHandle<Result<(), ConnectorError>>,
}

impl Letters {
    /// The next letter; `None` at the end.
    ///
    /// # Errors
    /// If the file or the topic cannot be read any more.
    pub async fn next(&mut self) -> Result<Option<Found>, ConnectorError> {
        if let Some(found) = self.found.recv().await {
            return Ok(Some(found));
        }
        let ended = (&mut self.task).await;
        ended
            .map_err(|error| ConnectorError::Internal(error.to_string()))?
            .map(|()| None)
    }
}
