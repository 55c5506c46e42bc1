//! Dead letters in a file.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{DeadLetter, DeadLetters, line};
use crate::ConnectorError;
use crate::files::LinesFile;

/// A file of JSON lines, appended to; several processes may share it.
pub struct DeadLetterFile {
    path: PathBuf,
    file: Arc<Mutex<LinesFile>>,
}

impl DeadLetterFile {
    /// Opens or makes the file and the directories above it.
    pub fn open(path: PathBuf) -> Result<Self, ConnectorError> {
        let file = LinesFile::open(&path).map_err(|source| ConnectorError::Io {
            path: path.display().to_string(),
            source,
        })?;
        Ok(Self {
            path,
            file: Arc::new(Mutex::new(file)),
        })
    }

    async fn with_file<F>(&self, work: F) -> Result<(), ConnectorError>
    where
        F: FnOnce(&mut LinesFile) -> std::io::Result<()> + Send + 'static,
    {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || work(&mut file.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .map_err(|error| ConnectorError::Internal(error.to_string()))?
            .map_err(|source| ConnectorError::Io {
                path: self.path.display().to_string(),
                source,
            })
    }
}

#[async_trait]
impl DeadLetters for DeadLetterFile {
    async fn write(&self, letters: &[DeadLetter]) -> Result<(), ConnectorError> {
        let text: String = letters
            .iter()
            .map(|letter| format!("{}\n", line::encode(letter)))
            .collect();
        self.with_file(move |file| file.append(text.as_bytes())).await
    }

    async fn flush(&self) -> Result<(), ConnectorError> {
        self.with_file(LinesFile::sync).await
    }
}
