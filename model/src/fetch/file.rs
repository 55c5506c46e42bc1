//! Files of this machine.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Fetched, media_type_by_extension, too_large};
use crate::error::MediaError;

/// Reads a regular file of at most `max_bytes`.
pub(super) async fn read(path: &Path, max_bytes: usize, name: &str) -> Result<Fetched, MediaError> {
    let media_type = path.to_str().and_then(media_type_by_extension).map(str::to_owned);
    let (path, name) = (path.to_owned(), name.to_owned());
    // One blocking task for the whole file costs less than tokio::fs's one for each step.
    let bytes = tokio::task::spawn_blocking(move || read_blocking(path, max_bytes, &name))
        .await
        .expect("reading a file does not panic, and the runtime outlives its tasks")?;
    Ok(Fetched { bytes, media_type })
}

fn read_blocking(path: PathBuf, max_bytes: usize, name: &str) -> Result<Bytes, MediaError> {
    let failed = |error: std::io::Error| {
        let (name, message) = (name.to_owned(), error.to_string());
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => MediaError::NotFound { name, message },
            ErrorKind::PermissionDenied => MediaError::Denied { name, message },
            ErrorKind::InvalidFilename | ErrorKind::InvalidInput => MediaError::InvalidReference { name, message },
            _ => MediaError::Unavailable { name, message },
        }
    };
    // Asked before opening: opening a named pipe waits for its writer.
    let metadata = std::fs::metadata(&path).map_err(failed)?;
    if !metadata.is_file() {
        let kind = if metadata.is_dir() {
            "a directory"
        } else {
            "not a regular file"
        };
        return Err(MediaError::Unsupported {
            name: name.to_owned(),
            message: format!("it is {kind}"),
        });
    }
    let length = metadata.len();
    if length > max_bytes as u64 {
        return Err(too_large(Some(length), max_bytes, name));
    }
    let file = File::open(&path).map_err(failed)?;
    let mut bytes = Vec::with_capacity(length as usize + 1);
    // A file may grow meanwhile, and those under /proc say 0.
    file.take(max_bytes as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > max_bytes {
        return Err(too_large(None, max_bytes, name));
    }
    Ok(bytes.into())
}
