//! What can be told of a table's other side without changing it: nothing is made, joined, written or committed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};

use crate::dead_letter::DeadLetterTarget;
use crate::registry::Role;
use crate::{ConnectorError, TableDefinition, VectorSpace};
use crate::{files, kafka, qdrant};

/// What is given to a probe above its own time limit, to end by itself and say what it waited for.
const GRACE: Duration = Duration::from_secs(2);

/// How a [`Fact`] bears on the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// The job runs, and may not do what was meant.
    Warning,
    /// The job cannot run.
    Error,
}

/// Something that was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// How it bears on the job.
    pub level: Level,
    /// The option that it is about, where it is about one.
    pub option: Option<&'static str>,
    /// A sentence: what is so, and for a warning or an error what to do.
    pub message: String,
}

impl Fact {
    pub(crate) fn ok(message: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            option: None,
            message: message.into(),
        }
    }

    pub(crate) fn warning(message: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            ..Self::ok(message)
        }
    }

    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            ..Self::ok(message)
        }
    }

    pub(crate) fn at(mut self, option: &'static str) -> Self {
        self.option = Some(option);
        self
    }
}

/// How to look.
#[derive(Debug, Clone)]
pub struct ProbeContext {
    /// How long another system is waited for.
    pub timeout: Duration,
    /// Whether other systems are left alone, and only this machine is looked at.
    pub offline: bool,
    /// The space of the vectors that the job computes for this table, where it computes any.
    pub vectors: Option<VectorSpace>,
}

/// Looks at what `table` is connected with. Its options have been [validated](crate::validate).
pub async fn probe(table: &TableDefinition, role: Role, context: &ProbeContext) -> Vec<Fact> {
    let facts = async {
        match (table.connector().as_str(), role) {
            ("kafka", Role::Source) => kafka::probe_source(table, context).await,
            ("kafka", Role::Sink) => kafka::probe_sink(table, context).await,
            ("single_file" | "filesystem", Role::Source) => files::probe_source(table),
            ("single_file" | "filesystem", Role::Sink) => files::probe_sink(table),
            ("qdrant", Role::Sink) => qdrant::probe(table, context).await,
            _ => Ok(Vec::new()),
        }
    };
    bounded(context, facts).await
}

/// Looks at where dead letters are to go.
pub async fn probe_dead_letters(target: &DeadLetterTarget, context: &ProbeContext) -> Vec<Fact> {
    let facts = async {
        match target {
            DeadLetterTarget::None => Ok(vec![Fact::ok(
                "there are none: the job stops at the first row that cannot be read, embedded or written",
            )]),
            DeadLetterTarget::File(path) => Ok(vec![writable_file(path)]),
            DeadLetterTarget::Topic(connection) => kafka::probe_topic(connection.clone(), context).await,
        }
    };
    bounded(context, facts).await
}

async fn bounded(context: &ProbeContext, facts: impl Future<Output = Result<Vec<Fact>, ConnectorError>>) -> Vec<Fact> {
    match tokio::time::timeout(context.timeout + GRACE, facts).await {
        Ok(Ok(facts)) => facts,
        Ok(Err(error)) => vec![Fact::error(error.to_string())],
        Err(_) => vec![Fact::error(format!("no answer within {:?}", context.timeout))],
    }
}

/// Whether lines can be added to the file `path`, which may have to be made.
pub(crate) fn writable_file(path: &Path) -> Fact {
    let shown = path.display();
    match path.metadata() {
        Ok(found) if found.is_dir() => Fact::error(format!(
            "{shown} is a directory, and a file is written to; name a file in it"
        )),
        Ok(_) if access(path, Access::READ_OK | Access::WRITE_OK).is_err() => Fact::error(format!(
            "{shown} may not be written to; change its permissions, or name another file"
        )),
        Ok(found) => Fact::ok(format!("{shown} is there ({} bytes) and is added to", found.len())),
        Err(_) => makeable(path),
    }
}

/// Whether files can be written into the directory `path`, which may have to be made.
pub(crate) fn writable_directory(path: &Path) -> Fact {
    let shown = path.display();
    match path.metadata() {
        Ok(found) if !found.is_dir() => Fact::error(format!("{shown} is a file, and a directory is written to")),
        Ok(_) if access(path, Access::WRITE_OK | Access::EXEC_OK).is_err() => Fact::error(format!(
            "nothing may be written into {shown}; change its permissions, or name another directory"
        )),
        Ok(_) => Fact::ok(format!("{shown} is there and can be written into")),
        Err(_) => makeable(path),
    }
}

/// Whether `path`, which is not there, can be made with the directories above it.
fn makeable(path: &Path) -> Fact {
    let shown = path.display();
    let above = path
        .ancestors()
        .skip(1)
        .map(|above| match above.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => above.to_path_buf(),
        });
    let Some(nearest) = above.into_iter().find(|above| above.symlink_metadata().is_ok()) else {
        return Fact::error(format!("{shown} cannot be made: no directory above it is there"));
    };
    if !nearest.is_dir() {
        Fact::error(format!(
            "{shown} cannot be made, because {} is a file",
            nearest.display()
        ))
    } else if access(&nearest, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        Fact::error(format!(
            "{shown} cannot be made, because nothing may be written into {}; change its permissions",
            nearest.display()
        ))
    } else {
        Fact::ok(format!("{shown} is not there yet and can be made"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_judged_by_what_is_above_it_and_not_made() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "x").expect("a new file");
        assert_eq!(writable_file(&folder.path().join("a/b/c.jsonl")).level, Level::Ok);
        assert_eq!(writable_directory(&folder.path().join("a/b")).level, Level::Ok);
        assert!(!folder.path().join("a").exists());
        let under_a_file = writable_file(&file.join("c.jsonl"));
        assert_eq!(under_a_file.level, Level::Error);
        assert!(under_a_file.message.contains("is a file"), "{under_a_file:?}");
        assert_eq!(writable_directory(&file).level, Level::Error);
        assert_eq!(writable_file(folder.path()).level, Level::Error);
        assert_eq!(writable_file(&file).level, Level::Ok);
    }
}
