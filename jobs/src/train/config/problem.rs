//! What is wrong with a configuration.

use std::fmt;

/// Where a value was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A line of the file, from 1.
    Line(u64),
    /// A `--set` of the command line.
    Flag,
    /// The file as a whole: what it lacks.
    File,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub place: Place,
    pub message: String,
}

impl Problem {
    pub fn new(place: Place, message: String) -> Self {
        Self { place, message }
    }

    /// The sentence that a person reads, of the configuration `file`.
    pub fn sentence(&self, file: &str) -> String {
        match self.place {
            Place::Line(line) => format!("{file}:{line}: {}", self.message),
            Place::Flag => format!("--set {}", self.message),
            Place::File => format!("{file}: {}", self.message),
        }
    }
}

/// All that is wrong with a configuration, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    sentences: Vec<String>,
}

impl ConfigErrors {
    pub(super) fn of(file: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.place);
        let sentences = problems.iter().map(|problem| problem.sentence(file)).collect();
        Self { sentences }
    }

    /// A sentence for each problem; it names the file, the line and the key.
    pub fn sentences(&self) -> &[String] {
        &self.sentences
    }

    /// The same, to keep.
    pub fn into_sentences(self) -> Vec<String> {
        self.sentences
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentences.join("\n"))
    }
}
