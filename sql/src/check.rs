//! What can be found out about a script before it runs.

use std::fmt;
use std::path::Path;

use futures::future::join_all;
use sightstream_connectors::VectorSpace;
use sightstream_connectors::probe::{Fact, Level, ProbeContext, probe};

use crate::{Plan, SqlError};

/// Something that is so, good or bad, and where in the file it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it bears on the job.
    pub level: Level,
    /// The file, where it is about one.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u64>,
    /// The column, from 1.
    pub column: Option<u64>,
    /// A sentence: what is so, and for a warning or an error what to do.
    pub message: String,
}

impl Finding {
    /// `fact`, which comes from no place in a file; `subject` says what it is about.
    pub fn about(subject: &str, fact: &Fact) -> Self {
        Self {
            level: fact.level,
            file: None,
            line: None,
            column: None,
            message: format!("{subject}: {}", fact.message),
        }
    }

    /// A finding of no place in a file.
    pub fn new(level: Level, message: impl Into<String>) -> Self {
        Self {
            level,
            file: None,
            line: None,
            column: None,
            message: message.into(),
        }
    }

    /// `file:line:column`, as far as it is known.
    pub fn place(&self) -> String {
        let Some(file) = &self.file else { return String::new() };
        let parts = [self.line, self.column];
        let numbers = parts.iter().map_while(|part| part.map(|number| format!(":{number}")));
        std::iter::once(file.clone()).chain(numbers).collect()
    }
}

impl From<SqlError> for Finding {
    fn from(error: SqlError) -> Self {
        Self {
            level: Level::Error,
            file: Some(error.file),
            line: error.line,
            column: error.column,
            message: error.message,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.place().as_str() {
            "" => f.write_str(&self.message),
            place => write!(f, "{place}: {}", self.message),
        }
    }
}

impl Plan {
    /// Where the script's first statement that needs a model begins; `None` if there is none.
    pub fn first_embed(&self) -> Option<u64> {
        let embedding = self.queries.iter().filter(|(query, _)| !query.called.is_empty());
        embedding.map(|(query, _)| query.line).min()
    }

    /// The file that was planned.
    pub fn file(&self) -> &Path {
        Path::new(&self.file)
    }

    /// A finding about the statement at `line`.
    pub fn finding(&self, level: Level, line: u64, message: impl Into<String>) -> Finding {
        Finding {
            file: Some(self.file.clone()),
            line: Some(line),
            ..Finding::new(level, message)
        }
    }

    /// What the text alone leaves open or unused: nothing of it keeps the script from running, that other errors do not.
    pub fn remarks(&self) -> Vec<Finding> {
        let skipped = self.skipped.iter().map(|(line, name)| {
            let message = format!("not looked at, because the definition of {name} is wrong");
            self.finding(Level::Warning, *line, message)
        });
        let unused = self.declared().filter_map(|(table, declared)| {
            let used = declared.is_read || declared.is_written;
            let message = format!("table {}: no statement reads it or writes to it", table.name);
            (!used).then(|| self.finding(Level::Warning, declared.line, message))
        });
        let planned = self.queries.iter().map(|(query, sink)| {
            let reads: Vec<&str> = query.streams.iter().chain(&query.bounded).map(String::as_str).collect();
            let target = sink.split(':').next().unwrap_or_default();
            let message = match reads.as_slice() {
                [] => format!("the query can be planned: into {target}"),
                reads => format!("the query can be planned: from {} into {target}", reads.join(", ")),
            };
            self.finding(Level::Ok, query.line, message)
        });
        skipped.chain(unused).chain(planned).collect()
    }

    /// Looks at what the tables in use are connected with, all at once. `vectors` is the space of the vectors that the
    /// script computes, where the model is known. Tables whose options are wrong are left out.
    pub async fn probe(&self, context: &ProbeContext, vectors: Option<&VectorSpace>) -> Vec<Finding> {
        let probes = self
            .declared()
            .filter(|(_, declared)| !declared.is_wrong && (declared.is_read || declared.is_written))
            .flat_map(|(table, declared)| {
                declared
                    .roles(table)
                    .into_iter()
                    .map(move |role| (table, declared, role))
            })
            .map(|(table, declared, role)| {
                let context = ProbeContext {
                    vectors: vectors.cloned().filter(|_| self.embeds_into(&table.name)),
                    ..context.clone()
                };
                async move {
                    let facts = probe(table, role, &context).await.into_iter();
                    facts
                        .map(|fact| {
                            let place = fact.option.and_then(|option| declared.place(option));
                            Finding {
                                level: fact.level,
                                file: Some(self.file.clone()),
                                line: Some(place.map_or(declared.line, |place| place.line)),
                                column: place.map(|place| place.column),
                                message: format!("table {}: {}", table.name, fact.message),
                            }
                        })
                        .collect::<Vec<_>>()
                }
            });
        join_all(probes).await.concat()
    }
}
