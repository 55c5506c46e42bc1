//! Errors of a script, with the place in the file.

use std::fmt;

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::tokenizer::Location;
use sightstream_connectors::ConnectorError;

/// A word in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// From 1.
    pub line: u64,
    /// From 1.
    pub column: u64,
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        Self {
            line: location.line,
            column: location.column,
        }
    }
}

/// All that is wrong with a script, in the order of the file; at least one error.
#[derive(Debug)]
pub struct SqlErrors(Vec<SqlError>);

impl SqlErrors {
    /// `value`, unless there are `errors`.
    ///
    /// # Errors
    /// All of them.
    pub fn unless_any<T>(mut errors: Vec<SqlError>, value: T) -> Result<T, Self> {
        if errors.is_empty() {
            return Ok(value);
        }
        errors.sort_by_key(|error| (error.line, error.column));
        Err(Self(errors))
    }
}

impl fmt::Display for SqlErrors {
    /// An error a line.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SqlErrors {}

impl IntoIterator for SqlErrors {
    type Item = SqlError;
    type IntoIter = std::vec::IntoIter<SqlError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// What is wrong with a script, or went wrong while it ran.
#[derive(Debug)]
pub struct SqlError {
    /// The file's name, as the user gave it.
    pub file: String,
    /// The line, from 1; `None` if the error is not about a place in the file.
    pub line: Option<u64>,
    /// The column, from 1, where the place is a word and not a statement.
    pub column: Option<u64>,
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
            column: None,
            message: message.into(),
            source: None,
        }
    }

    /// An error at a word of `file`.
    pub(crate) fn at_place(file: &str, place: Place, message: impl Into<String>) -> Self {
        Self {
            column: Some(place.column),
            ..Self::at(file, place.line, message)
        }
    }

    /// An error of `file` as a whole.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            line: None,
            ..Self::at(file, 0, message)
        }
    }

    /// What DataFusion says about the statement at `line`; its own place in the file wins if it knows one.
    pub(crate) fn planning(file: &str, line: u64, error: DataFusionError) -> Self {
        let place = error
            .diagnostic()
            .and_then(|diagnostic| diagnostic.span)
            .map(|span| span.start);
        let message = sentence(&error);
        Self {
            file: file.to_string(),
            line: place.map(|place| place.line).or(Some(line)),
            column: place.map(|place| place.column),
            message,
            source: Some(Box::new(error)),
        }
    }

    /// As [`SqlError::planning`], with an error of its own for each part of a collection.
    pub(crate) fn all_planning(file: &str, line: u64, error: DataFusionError) -> Vec<Self> {
        match error {
            DataFusionError::Collection(errors) => {
                let errors = errors.into_iter();
                errors.flat_map(|error| Self::all_planning(file, line, error)).collect()
            }
            other => vec![Self::planning(file, line, other)],
        }
    }

    /// A connector's error, at the line of its table's or query's statement where that is known.
    pub(crate) fn running(file: &str, line: Option<u64>, error: ConnectorError) -> Self {
        Self {
            file: file.to_string(),
            line,
            column: None,
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
        | DataFusionError::NotImplemented(message) => in_a_line(message),
        DataFusionError::External(inner) => inner.to_string(),
        DataFusionError::ArrowError(inner, _) => inner.to_string(),
        other => in_a_line(&other.strip_backtrace()),
    }
}

/// `message` in a line of its own, and without what DataFusion says to its developers.
fn in_a_line(message: &str) -> String {
    let told = message
        .find("No function matches")
        .map_or(message, |start| &message[start..]);
    let told = told.strip_prefix("Schema error: ").unwrap_or(told);
    let words: Vec<&str> = told.split_whitespace().collect();
    words.join(" ")
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            (Some(line), None) => write!(f, "{}:{line}: {}", self.file, self.message),
            (None, _) => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for SqlError {
    // The message says all that the source says; a chain of errors would say it twice.
}
