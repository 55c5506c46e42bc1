//! What can go wrong on the way from a media reference to a vector.
//!
//! Two kinds, because they end differently: a [`MediaError`] concerns one medium (its row fails, the stream goes on), a
//! [`ModelError`] concerns the checkpoint or the device (nothing can be encoded at all).

use std::any::Any;
use std::path::PathBuf;

/// Why one medium has no vector.
///
/// It is `Clone`, because equal references in flight are encoded once and every caller gets the outcome. `name` is always
/// the redacted address ([`crate::reference::MediaReference`]'s `Display`): no user name, password or signature of a URL
/// gets into a message, a log line or a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// The reference cannot be read as a URL or a path.
    #[error("{name}: not a media reference: {message}")]
    InvalidReference {
        /// The redacted reference.
        name: String,
        /// What is wrong with it, and what to write instead.
        message: String,
    },
    /// There is nothing at this address (no such file, HTTP 404 or 410, no such object).
    #[error("{name}: not found: {message}")]
    NotFound {
        /// The redacted reference.
        name: String,
        /// What the other side said.
        message: String,
    },
    /// The address exists, and we may not read it (file permissions, HTTP 401, 403 or 407, refused credentials).
    #[error("{name}: access denied: {message}")]
    Denied {
        /// The redacted reference.
        name: String,
        /// What the other side said.
        message: String,
    },
    /// The address leads where this installation does not let a reference lead: to a network or a directory that is not
    /// allowed.
    #[error("{name}: not allowed: {message}")]
    NotAllowed {
        /// The redacted reference.
        name: String,
        /// Where it leads, and which setting would allow it.
        message: String,
    },
    /// The server cannot be trusted: its certificate is not valid for it, or it does not speak TLS as it should.
    #[error("{name}: no secure connection: {message}")]
    Tls {
        /// The redacted reference.
        name: String,
        /// What is wrong with the certificate or the connection.
        message: String,
    },
    /// No answer, or no end of it, in time. Transient.
    #[error("{name}: timed out: {message}")]
    Timeout {
        /// The redacted reference.
        name: String,
        /// Which step took how long.
        message: String,
    },
    /// The other side is away or cut the transfer short. Transient.
    #[error("{name}: not available: {message}")]
    Unavailable {
        /// The redacted reference.
        name: String,
        /// What was seen.
        message: String,
    },
    /// Any other HTTP status that is not a success. 408, 425, 429 and 5xx (501 and 505 aside) are transient.
    #[error("{name}: the server answered with HTTP status {status}")]
    Http {
        /// The redacted reference.
        name: String,
        /// The status code.
        status: u16,
    },
    /// More bytes, pixels or tokens than the limit allows.
    #[error("{name}: too large: {message}")]
    TooLarge {
        /// The redacted reference.
        name: String,
        /// How much there is, and which limit it passes.
        message: String,
    },
    /// The content is of a kind that has no decoder here, or the reference asks for a part that this kind does not have.
    #[error("{name}: not supported: {message}")]
    Unsupported {
        /// The redacted reference.
        name: String,
        /// What was found, and what is supported.
        message: String,
    },
    /// The content is broken: it claims to be of a kind and does not decode as it.
    #[error("{name}: corrupt: {message}")]
    Corrupt {
        /// The redacted reference.
        name: String,
        /// What the decoder said.
        message: String,
    },
    /// The text cannot be given to the model (nothing in it, or a token reserved for pixels).
    #[error("{name}: unusable text: {message}")]
    Text {
        /// The redacted reference.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// A decoder panicked on this medium: a bug of the decoder, contained.
    #[error("{name}: the decoder panicked: {message}")]
    Panicked {
        /// The redacted reference.
        name: String,
        /// The panic's message.
        message: String,
    },
    /// A decoder's process crashed on this medium, twice: a bug of the decoder, contained.
    #[error("{name}: the decoder crashed: {message}")]
    Crashed {
        /// The redacted reference.
        name: String,
        /// How the process ended.
        message: String,
    },
    /// Decoding did not end in time.
    #[error("{name}: decoding took too long: {message}")]
    DecodeTimeout {
        /// The redacted reference.
        name: String,
        /// The limit.
        message: String,
    },
    /// Decoding took more memory than it may.
    #[error("{name}: decoding takes too much memory: {message}")]
    DecodeMemory {
        /// The redacted reference.
        name: String,
        /// The limit.
        message: String,
    },
}

impl MediaError {
    /// A short label for metrics and dead letters, one for each variant: `not_found`, `timeout`, `corrupt` …
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidReference { .. } => "invalid_reference",
            Self::NotFound { .. } => "not_found",
            Self::Denied { .. } => "denied",
            Self::NotAllowed { .. } => "not_allowed",
            Self::Tls { .. } => "tls",
            Self::Timeout { .. } => "timeout",
            Self::Unavailable { .. } => "unavailable",
            Self::Http { .. } => "http_status",
            Self::TooLarge { .. } => "too_large",
            Self::Unsupported { .. } => "unsupported",
            Self::Corrupt { .. } => "corrupt",
            Self::Text { .. } => "text",
            Self::Panicked { .. } => "panicked",
            Self::Crashed { .. } => "crashed",
            Self::DecodeTimeout { .. } => "decode_timeout",
            Self::DecodeMemory { .. } => "decode_memory",
        }
    }

    /// The same about another reference to the same medium.
    pub(crate) fn named(mut self, other: &str) -> Self {
        let (Self::InvalidReference { name, .. }
        | Self::NotFound { name, .. }
        | Self::Denied { name, .. }
        | Self::NotAllowed { name, .. }
        | Self::Tls { name, .. }
        | Self::Timeout { name, .. }
        | Self::Unavailable { name, .. }
        | Self::Http { name, .. }
        | Self::TooLarge { name, .. }
        | Self::Unsupported { name, .. }
        | Self::Corrupt { name, .. }
        | Self::Text { name, .. }
        | Self::Panicked { name, .. }
        | Self::Crashed { name, .. }
        | Self::DecodeTimeout { name, .. }
        | Self::DecodeMemory { name, .. }) = &mut self;
        other.clone_into(name);
        self
    }

    /// Whether the same reference may succeed later without anybody changing it.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Unavailable { .. } => true,
            Self::Http { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 506..=599),
            _ => false,
        }
    }
}

/// Why a checkpoint cannot be loaded or a device cannot compute.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No checkpoint under this name.
    #[error("no model `{model}`: {message}")]
    NotFound {
        /// The name as given.
        model: String,
        /// Where it was looked for, and what to write instead.
        message: String,
    },
    /// An adapter that is none, that cannot be merged, or that does not fit the checkpoint.
    #[error("the adapter `{adapter}`: {message}")]
    Adapter {
        /// The name as given.
        adapter: String,
        /// What is wrong with it, in which file, and what would do.
        message: String,
    },
    /// A file of the checkpoint cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A configuration file is missing, is not the JSON it should be, or describes something that is not built.
    #[error("{file}: {message}")]
    Config {
        /// The file of the checkpoint, such as `config.json`.
        file: String,
        /// The field at fault, and what it should be.
        message: String,
    },
    /// `tokenizer.json` is missing, broken, or lacks a token that the prompts need.
    #[error("tokenizer.json: {0}")]
    Tokenizer(String),
    /// A tensor that the architecture needs is in none of the checkpoint's files.
    #[error("the tensor `{name}` is missing from {file}")]
    MissingTensor {
        /// The tensor's full name.
        name: String,
        /// The file, or the files, that were searched.
        file: String,
    },
    /// A tensor has another shape than config.json asks for.
    #[error("the tensor `{name}` has the shape {found:?}; config.json asks for {expected:?}")]
    Misshapen {
        /// The tensor's full name.
        name: String,
        /// The shape that config.json implies.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// The hub did not give the checkpoint.
    #[error("downloading `{model}`: {message}")]
    Download {
        /// The hub id.
        model: String,
        /// What failed, and what to do.
        message: String,
    },
    /// The device does not exist, or refused.
    #[error("device: {0}")]
    Device(String),
    /// The processes that decode cannot be started.
    #[error("decoding: {0}")]
    Decoder(String),
    /// An option of this crate has a value that cannot be used.
    #[error("{option}: {message}")]
    Option {
        /// The option, as a user knows it.
        option: String,
        /// What is wrong, and what to write instead.
        message: String,
    },
    /// An input of a batch contradicts itself or the checkpoint: a bug of whoever made it, not of the medium.
    #[error("input {index} of the batch: {message}")]
    Input {
        /// Its place in the batch, from 0.
        index: usize,
        /// What does not fit.
        message: String,
    },
    /// The tensor library failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A checkpoint that was to be loaded again is no longer the same.
    #[error("{0}")]
    Changed(String),
}

/// What a caught panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_that_may_pass_are_transient() {
        let http = |status| MediaError::Http {
            name: "http://h/a".into(),
            status,
        };
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(http(status).is_transient(), "{status}");
        }
        for status in [400, 405, 418, 304, 501, 505] {
            assert!(!http(status).is_transient(), "{status}");
        }
        let corrupt = MediaError::Corrupt {
            name: "a.png".into(),
            message: "no IHDR".into(),
        };
        assert!(!corrupt.is_transient());
        assert_eq!(corrupt.reason(), "corrupt");
        assert_eq!(corrupt.to_string(), "a.png: corrupt: no IHDR");
    }
}
