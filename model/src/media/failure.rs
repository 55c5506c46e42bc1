//! Why a medium does not decode, before it has a name.

use crate::error::MediaError;

/// Why a medium does not decode, before it has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It needs more memory than it may have.
    TooLarge(String),
    /// It is of a kind that is not read, or has not what is asked for.
    Unsupported(String),
    /// It is damaged.
    Corrupt(String),
}

impl Failure {
    /// The error of the medium with this redacted name.
    pub fn into_media_error(self, name: String) -> MediaError {
        match self {
            Self::TooLarge(message) => MediaError::TooLarge { name, message },
            Self::Unsupported(message) => MediaError::Unsupported { name, message },
            Self::Corrupt(message) => MediaError::Corrupt { name, message },
        }
    }

    /// The same of a part of the medium.
    pub(crate) fn of(self, part: &str) -> Self {
        let named = |message: String| format!("{part}: {message}");
        match self {
            Self::TooLarge(message) => Self::TooLarge(named(message)),
            Self::Unsupported(message) => Self::Unsupported(named(message)),
            Self::Corrupt(message) => Self::Corrupt(named(message)),
        }
    }
}
