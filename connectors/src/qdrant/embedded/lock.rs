//! One process at a time has a store open.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::files::io_error;
use crate::ConnectorError;

const FILE: &str = "lock";
/// How long a store that this very process is about to close is waited for.
const CLOSING: Duration = Duration::from_secs(30);

/// The right to use a store, given back when dropped, or by the operating system when the process dies.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock of `folder`. `system` names the store in errors.
    ///
    /// # Errors
    /// [`ConnectorError::Refused`] if another process has it, which the message names.
    pub fn take(folder: &Path, system: &str) -> Result<Self, ConnectorError> {
        let path = folder.join(FILE);
        let started = Instant::now();
        loop {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .map_err(|source| io_error(&path, source))?;
            match file.try_lock() {
                Ok(()) => {
                    write_holder(&mut file).map_err(|source| io_error(&path, source))?;
                    return Ok(Self { _file: file });
                }
                Err(TryLockError::Error(source)) => return Err(io_error(&path, source)),
                Err(TryLockError::WouldBlock) => {
                    let holder = read_holder(&mut file);
                    let ours = holder.starts_with(&holder_prefix());
                    if ours && started.elapsed() < CLOSING {
                        std::thread::sleep(Duration::from_millis(10));
                        continue;
                    }
                    let holder = if holder.is_empty() {
                        "another process".to_string()
                    } else {
                        holder
                    };
                    return Err(ConnectorError::Refused {
                        system: system.to_string(),
                        message: format!(
                            "{holder} has it open, and only one process at a time can; wait until it ends, or use a \
                             Qdrant server (http://HOST:6334)"
                        ),
                    });
                }
            }
        }
    }
}

/// Who has the store in `folder` open now; `None` if nobody has. The lock is not taken from anybody.
pub(super) fn holder(folder: &Path) -> Result<Option<String>, ConnectorError> {
    let path = folder.join(FILE);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error(&path, source)),
    };
    // Shared, and given back at once, so that several who look do not see each other.
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::Error(source)) => Err(io_error(&path, source)),
        Err(TryLockError::WouldBlock) => Ok(Some(match read_holder(&mut file) {
            holder if holder.is_empty() => "another process".to_string(),
            holder => holder,
        })),
    }
}

fn holder_prefix() -> String {
    format!("process {} ", std::process::id())
}

fn write_holder(file: &mut File) -> std::io::Result<()> {
    // Without options: their values may be secret.
    let command: Vec<String> = std::env::args()
        .take_while(|argument| !argument.starts_with('-'))
        .collect();
    let since = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    write!(file, "{}(`{}`, since {since})", holder_prefix(), command.join(" "))?;
    file.flush()
}

fn read_holder(file: &mut File) -> String {
    let mut holder = Vec::new();
    // The holder may be writing its name at this moment; what is there then is shown.
    match file.read_to_end(&mut holder) {
        Ok(_) => String::from_utf8_lossy(&holder).trim().to_string(),
        Err(_) => String::new(),
    }
}
