//! Dead letters in a file.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::{DeadLetter, DeadLetters};
use crate::ConnectorError;
use crate::files::LinesFile;

/// A file of JSON lines, appended to; several processes may share it. A line holds `at`, `table`, `stage`, `code` and `reason`, and from the record
/// `topic`, `partition`, `offset`, `timestamp_ms`, `key`, `value` and `headers` (a list of `name`, `value`). Bytes that
/// are UTF-8 are text; others are base64, and a field `key_encoding`, `value_encoding` or (in a header) `encoding`
/// says so.
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
        let text: String = letters.iter().map(|letter| format!("{}\n", line(letter))).collect();
        self.with_file(move |file| file.append(text.as_bytes())).await
    }

    async fn flush(&self) -> Result<(), ConnectorError> {
        self.with_file(LinesFile::sync).await
    }
}

fn line(letter: &DeadLetter) -> Value {
    let mut line = Map::new();
    line.insert(
        "at".into(),
        letter.at.to_rfc3339_opts(SecondsFormat::Millis, true).into(),
    );
    line.insert("table".into(), letter.table.clone().into());
    line.insert("stage".into(), letter.stage.as_str().into());
    line.insert("code".into(), letter.code.clone().into());
    line.insert("reason".into(), letter.reason.clone().into());
    if let Some(record) = &letter.record {
        let origin = &record.origin;
        line.insert("topic".into(), origin.topic.clone().into());
        line.insert("partition".into(), origin.partition.into());
        line.insert("offset".into(), origin.offset.into());
        line.insert("timestamp_ms".into(), origin.timestamp_ms.into());
        put_bytes(&mut line, "key", "key_encoding", record.key.as_deref());
        put_bytes(&mut line, "value", "value_encoding", record.value.as_deref());
        let headers = record.headers.iter().map(|(name, value)| {
            let mut header = Map::new();
            header.insert("name".into(), json!(name));
            put_bytes(&mut header, "value", "encoding", value.as_deref());
            Value::Object(header)
        });
        line.insert("headers".into(), headers.collect());
    }
    Value::Object(line)
}

fn put_bytes(object: &mut Map<String, Value>, name: &str, encoding: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| BASE64_STANDARD.encode(bytes))) {
        None => drop(object.insert(name.into(), Value::Null)),
        Some(Ok(text)) => drop(object.insert(name.into(), text.into())),
        Some(Err(base64)) => {
            object.insert(name.into(), base64.into());
            object.insert(encoding.into(), "base64".into());
        }
    }
}
