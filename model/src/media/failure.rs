//! Why a medium does not decode, before it has a name.

use crate::error::MediaError;

/// Why a medium does not decode, before it has a name.
#[derive(Debug)]
pub(crate) enum Failure {
    TooLarge(String),
    Unsupported(String),
    Corrupt(String),
}

impl Failure {
    pub(crate) fn into_media_error(self, name: String) -> MediaError {
        match self {
            Self::TooLarge(message) => MediaError::TooLarge { name, message },
            Self::Unsupported(message) => MediaError::Unsupported { name, message },
            Self::Corrupt(message) => MediaError::Corrupt { name, message },
        }
    }
}
