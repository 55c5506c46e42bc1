//! Dead letters in a file.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{DeadLetter, DeadLetters};
use crate::files::{LinesFile, when_there_is_space};
use crate::{ConnectorError, Waits};

/// A file of JSON lines, appended to; several processes may share it.
pub struct DeadLetterFile {
    path: PathBuf,
    waits: Waits,
    file: Arc<Mutex<LinesFile>>,
}

impl DeadLetterFile {
    /// Opens or makes the file and the directories above it. Later a disk that is full is waited for.
    pub fn open(path: PathBuf, waits: &Waits) -> Result<Self, ConnectorError> {
        let file = LinesFile::open(&path).map_err(|source| ConnectorError::Io {
            path: path.display().to_string(),
            source,
        })?;
        Ok(Self {
            path,
            waits: waits.clone(),
            file: Arc::new(Mutex::new(file)),
        })
    }
}

#[async_trait]
impl DeadLetters for DeadLetterFile {
    async fn write(&self, letters: &[DeadLetter]) -> Result<(), ConnectorError> {
        let text: String = letters.iter().map(|letter| letter.to_line() + "\n").collect();
        let file = Arc::clone(&self.file);
        let append = move || locked(&file).append(text.as_bytes());
        when_there_is_space(&self.waits, &self.path, append).await
    }

    async fn flush(&self) -> Result<(), ConnectorError> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || locked(&file).sync())
            .await
            .map_err(|error| ConnectorError::Internal(error.to_string()))?
            .map_err(|source| ConnectorError::Io {
                path: self.path.display().to_string(),
                source,
            })
    }
}

fn locked(file: &Mutex<LinesFile>) -> MutexGuard<'_, LinesFile> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}
