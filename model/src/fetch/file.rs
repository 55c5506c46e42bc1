//! Files of this machine, below the allowed directories.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::content::{Identity, MediaFile};
use super::landing::file_too_large;
use super::media_type::media_type_by_extension;
use super::{Content, FetchOptions, Fetched, metrics, too_large};
use crate::error::{MediaError, ModelError};
use crate::kind::{Kind, moves};

/// The bytes of a file that are read with one call of the system, where it is read only to look at it.
const READ_AT_ONCE: usize = 256 << 10;

/// Reads regular files that lie below one of the allowed directories, symbolic links resolved.
#[derive(Debug, Clone)]
pub(super) struct Files {
    directories: Arc<[PathBuf]>,
    max_bytes: usize,
    max_file_bytes: u64,
}

/// Why a path is not read.
enum Refusal {
    /// It leads out of the allowed directories.
    Outside,
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Files {
    /// # Errors
    /// [`ModelError::Option`] where an allowed directory is none.
    pub(super) fn new(options: &FetchOptions) -> Result<Self, ModelError> {
        for directory in &options.allow_directories {
            let message = match fs::metadata(directory) {
                Ok(metadata) if metadata.is_dir() => continue,
                Ok(_) => "it is no directory".to_owned(),
                Err(error) => error.to_string(),
            };
            return Err(ModelError::Option {
                option: "allow_directory".into(),
                message: format!("{}: {message}", directory.display()),
            });
        }
        Ok(Self {
            directories: options.allow_directories.as_slice().into(),
            max_bytes: options.max_bytes,
            max_file_bytes: options.max_file_bytes,
        })
    }

    /// Reads a regular file of at most `max_bytes`, or opens one of a video or a document.
    pub(super) async fn read(&self, path: &Path, name: &str) -> Result<Fetched, MediaError> {
        let media_type = path.to_str().and_then(media_type_by_extension);
        let (files, path, name) = (self.clone(), path.to_owned(), name.to_owned());
        // One blocking task for the whole file costs less than tokio::fs's one for each step.
        let content = tokio::task::spawn_blocking(move || files.read_blocking(&path, media_type, &name))
            .await
            .expect("reading a file does not panic, and the runtime outlives its tasks")?;
        metrics::bytes(content.in_memory());
        Ok(Fetched {
            content,
            media_type: media_type.map(str::to_owned),
        })
    }

    fn read_blocking(&self, path: &Path, media_type: Option<&str>, name: &str) -> Result<Content, MediaError> {
        let (file, metadata) = self.open(path).map_err(|refusal| match refusal {
            Refusal::Outside if self.seems_inside(path) => self.outside(name, "a symbolic link in it leads"),
            Refusal::Outside => self.outside(name, "it is"),
            // Whether there is such a file elsewhere is nobody's business either.
            Refusal::Io(_) if !self.seems_inside(path) => self.outside(name, "it is"),
            Refusal::Io(error) => io_error(&error, name),
        })?;
        let Some(file) = file else {
            return Err(MediaError::Unsupported {
                name: name.to_owned(),
                message: format!("it is {}", kind(&metadata)),
            });
        };
        let length = metadata.len();
        let file = MediaFile {
            file: Arc::new(file),
            length,
            identity: identity(&metadata),
        };
        let content = Content::File(file.clone());
        let head = content.head().map_err(|error| io_error(&error, name))?;
        // To learn whether an image moves, all of it may have to be read: not where it is refused anyway.
        let largest = self.max_file_bytes.max(self.max_bytes as u64);
        let moves = || length <= largest && moves(BufReader::with_capacity(READ_AT_ONCE, content.reader()));
        if Kind::of(&head, media_type).has_parts() || moves() {
            return match length > self.max_file_bytes {
                true => Err(file_too_large(Some(length), self.max_file_bytes, name)),
                false => Ok(content),
            };
        }
        if length > self.max_bytes as u64 {
            return Err(too_large(Some(length), self.max_bytes, name));
        }
        let mut bytes = Vec::with_capacity(length as usize + 1);
        // A file may grow meanwhile, and those under /proc say 0.
        file.file
            .take(self.max_bytes as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| io_error(&error, name))?;
        if bytes.len() > self.max_bytes {
            return Err(too_large(None, self.max_bytes, name));
        }
        Ok(Content::Memory(bytes.into()))
    }

    /// Opens what `path` leads to; no file where it is not a regular one.
    ///
    /// What is judged is what is read, whatever links and directories are exchanged meanwhile: the path is followed once,
    /// into a handle that reads nothing and touches no device (`O_PATH`). The kernel tells where the file behind the handle
    /// lies, and that same file is then opened for reading.
    #[cfg(target_os = "linux")]
    fn open(&self, path: &Path) -> Result<(Option<File>, Metadata), Refusal> {
        use std::os::fd::AsRawFd;

        let handle = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::PATH.bits() as i32)
            .open(path)?;
        let itself = format!("/proc/self/fd/{}", handle.as_raw_fd());
        if !self.holds(&fs::read_link(&itself)?) {
            return Err(Refusal::Outside);
        }
        let metadata = handle.metadata()?;
        let file = match metadata.is_file() {
            true => Some(File::open(&itself)?),
            false => None,
        };
        Ok((file, metadata))
    }

    /// Opens what `path` leads to; no file where it is not a regular one.
    ///
    /// Links are resolved, and the last component of the result is not followed if it has become a link meanwhile. Systems
    /// without `O_PATH` leave a gap: who may rename directories below an allowed one at the right moment.
    #[cfg(not(target_os = "linux"))]
    fn open(&self, path: &Path) -> Result<(Option<File>, Metadata), Refusal> {
        let real = fs::canonicalize(path)?;
        if !self.holds(&real) {
            return Err(Refusal::Outside);
        }
        let metadata = fs::symlink_metadata(&real)?;
        if !metadata.is_file() {
            return Ok((None, metadata));
        }
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits() as i32)
            .open(&real)?;
        let metadata = file.metadata()?;
        Ok((metadata.is_file().then_some(file), metadata))
    }

    /// Whether `real`, a path without links, is below an allowed directory. Those are resolved each time, because one of
    /// them may be a link that is turned to another place (`current -> release-7`).
    fn holds(&self, real: &Path) -> bool {
        self.directories
            .iter()
            .filter_map(|directory| fs::canonicalize(directory).ok())
            .any(|directory| real.starts_with(directory))
    }

    /// Whether `path`, as it is written, is below an allowed directory.
    fn seems_inside(&self, path: &Path) -> bool {
        let path = plain(path);
        let written = |directory: &PathBuf| path.starts_with(plain(directory));
        self.directories.iter().any(written) || self.holds(&path)
    }

    fn outside(&self, name: &str, what: &str) -> MediaError {
        let allowed: Vec<String> = self
            .directories
            .iter()
            .map(|directory| std::path::absolute(directory).unwrap_or_else(|_| directory.clone()))
            .map(|directory| directory.display().to_string())
            .collect();
        let where_to = match allowed.as_slice() {
            [] => "no directory is allowed".to_owned(),
            _ => format!("{what} outside of what is allowed, {}", allowed.join(", ")),
        };
        MediaError::NotAllowed {
            name: name.to_owned(),
            message: format!("{where_to}; --allow-directory DIR allows another"),
        }
    }
}

/// The same for the same file as long as it is not written to.
fn identity(metadata: &Metadata) -> Identity {
    let what = [
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime() as u64,
        metadata.mtime_nsec() as u64,
        metadata.ctime() as u64,
        metadata.ctime_nsec() as u64,
    ];
    let hash = what
        .iter()
        .fold(Sha256::new(), |hash, number| hash.chain_update(number.to_le_bytes()))
        .finalize();
    let mut identity = [0; 16];
    identity.copy_from_slice(&hash[..16]);
    Identity(identity)
}

/// `path` from the root on, with `..` taken as written.
fn plain(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        "not a regular file"
    }
}

fn io_error(error: &io::Error, name: &str) -> MediaError {
    let (name, message) = (name.to_owned(), error.to_string());
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => MediaError::NotFound { name, message },
        ErrorKind::PermissionDenied => MediaError::Denied { name, message },
        ErrorKind::InvalidFilename | ErrorKind::InvalidInput => MediaError::InvalidReference { name, message },
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => MediaError::Unsupported {
            name,
            message: "its symbolic links lead in a circle".into(),
        },
        _ => MediaError::Unavailable { name, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_plain() {
        assert_eq!(plain(Path::new("/a/b/../c/./d")), Path::new("/a/c/d"));
        assert_eq!(plain(Path::new("/../../etc")), Path::new("/etc"));
    }

    #[test]
    fn whether_an_image_moves_is_not_looked_for_where_it_is_too_large_anyway() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("two-frames.gif");
        let frame = [0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 0];
        let gif = [b"GIF89a\x01\0\x01\0\0\0\0".as_slice(), &frame, &frame].concat();
        assert!(moves(gif.as_slice()));
        fs::write(&path, &gif).expect("written");
        let read = |max_bytes, max_file_bytes| {
            let files = Files::new(&FetchOptions {
                allow_directories: vec![directory.path().to_owned()],
                max_bytes,
                max_file_bytes,
                ..FetchOptions::default()
            });
            let files = files.expect("the directory is there");
            let read = files.read_blocking(&path, Some("image/gif"), "two-frames.gif");
            read.map(|content| matches!(content, Content::File(_)))
        };
        assert_eq!(read(10, 1000), Ok(true), "it is a film");
        let length = Some(gif.len() as u64);
        assert_eq!(read(1000, 20), Err(file_too_large(length, 20, "two-frames.gif")));
        assert_eq!(
            read(10, 20),
            Err(too_large(length, 10, "two-frames.gif")),
            "it is not read"
        );
    }
}
