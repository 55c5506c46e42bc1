//! Errors of a script, with the place in the file.

use std::fmt;

use datafusion::error::DataFusionError;
use sightstream_connectors::ConnectorError;

/// What is wrong with a script, or went wrong while it ran.
#[derive(Debug)]
pub struct SqlError {
    /// The file's name, as the user gave it.
    pub file: String,
    /// The line, from 1; `None` if the error is not about a place in the file.
    pub line: Option<u64>,
    /// What is wrong and what to write or do instead.
    pub message: String,
    /// The error below, if there is one.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl SqlError {
    /// An error at `line` of `file`.
    pub fn at(file: impl Into<String>, line: u64, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: Some(line),
            message: message.into(),
            source: None,
        }
    }

    /// What DataFusion says about the statement at `line`; its own place in the file wins if it knows one.
    pub(crate) fn planning(file: &str, line: u64, error: DataFusionError) -> Self {
        let place = error
            .diagnostic()
            .and_then(|diagnostic| diagnostic.span)
            .map(|span| span.start.line);
        let message = sentence(&error);
        Self {
            file: file.to_string(),
            line: place.or(Some(line)),
            message,
            source: Some(Box::new(error)),
        }
    }

    /// A connector's error, at the line of its table's or query's statement where that is known.
    pub(crate) fn running(file: &str, line: Option<u64>, error: ConnectorError) -> Self {
        Self {
            file: file.to_string(),
            line,
            message: error.to_string(),
            source: Some(Box::new(error)),
        }
    }

    /// Whether the reader of standard output has gone away, so that there is nobody to write to.
    pub fn is_reader_gone(&self) -> bool {
        let source = self
            .source
            .as_ref()
            .and_then(|source| source.downcast_ref::<ConnectorError>());
        matches!(source, Some(ConnectorError::ReaderGone))
    }
}

/// The last, most telling part of a DataFusion error, without the names of layers.
pub(crate) fn sentence(error: &DataFusionError) -> String {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => sentence(inner),
        DataFusionError::Collection(errors) => errors.iter().map(sentence).collect::<Vec<_>>().join("; "),
        DataFusionError::Shared(inner) => sentence(inner),
        DataFusionError::Plan(message)
        | DataFusionError::Execution(message)
        | DataFusionError::NotImplemented(message) => message.clone(),
        DataFusionError::External(inner) => inner.to_string(),
        DataFusionError::ArrowError(inner, _) => inner.to_string(),
        other => other.strip_backtrace(),
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for SqlError {
    // The message says all that the source says; a chain of errors would say it twice.
}
