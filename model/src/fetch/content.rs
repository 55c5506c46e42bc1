//! The bytes of a medium, in memory or in a file.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::kind::HEAD;

/// What tells one content from another: equal ones are of equal bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity(pub [u8; 16]);

/// The bytes of a medium.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory: images and text.
    Memory(Bytes),
    /// In a file: what may be large, and is read in parts: videos, images that move, documents.
    File(MediaFile),
}

/// A file that holds a medium. Clones share it.
#[derive(Debug, Clone)]
pub struct MediaFile {
    /// Open for reading. It may have no name any more.
    pub file: Arc<File>,
    /// In bytes.
    pub length: u64,
    /// Of the content.
    pub identity: Identity,
}

impl Content {
    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(file) => file.length,
        }
    }

    /// The first [`HEAD`] bytes, or all.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn head(&self) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Memory(bytes) => Ok(Cow::Borrowed(&bytes[..bytes.len().min(HEAD)])),
            Self::File(file) => {
                let mut head = vec![0; HEAD.min(usize::try_from(file.length).unwrap_or(HEAD))];
                file.file.read_exact_at(&mut head, 0)?;
                Ok(Cow::Owned(head))
            }
        }
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn bytes(&self) -> io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes.clone()),
            Self::File(file) => {
                let length = usize::try_from(file.length).map_err(io::Error::other)?;
                let mut bytes = vec![0; length];
                file.file.read_exact_at(&mut bytes, 0)?;
                Ok(bytes.into())
            }
        }
    }

    /// Fills `buffer` from `offset` on, as far as there is something: how many bytes that were.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Memory(bytes) => {
                let rest = usize::try_from(offset)
                    .ok()
                    .and_then(|offset| bytes.get(offset..))
                    .unwrap_or_default();
                let length = rest.len().min(buffer.len());
                buffer[..length].copy_from_slice(&rest[..length]);
                Ok(length)
            }
            Self::File(file) => file.file.read_at(buffer, offset),
        }
    }

    /// Reads it from its beginning on.
    pub fn reader(&self) -> impl io::Read {
        Reading {
            content: self,
            position: 0,
        }
    }

    /// How many bytes of it are in memory.
    pub fn in_memory(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(_) => 0,
        }
    }

    /// What tells a file's content from another's; `None` in memory, where nothing is kept open.
    pub fn identity(&self) -> Option<Identity> {
        match self {
            Self::Memory(_) => None,
            Self::File(file) => Some(file.identity),
        }
    }
}

/// A content as far as it was read.
struct Reading<'a> {
    content: &'a Content,
    position: u64,
}

impl io::Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read_at(buffer, self.position)?;
        self.position += length as u64;
        Ok(length)
    }
}
