//! How a command ends: what it prints and its exit code.

use std::io::ErrorKind;
use std::process::ExitCode;

use sightstream_sql::{SqlError, SqlErrors};

/// What `--help` says about exit codes.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done, also after SIGTERM or SIGINT let `run` finish what was in flight, or `train` write a checkpoint
  1    it failed, or (embed, eval) at least one input gave an error, or (check) something keeps the file from running, or
       (dead-letters replay) letters were left that cannot be sent
  2    the command line, the SQL file or the configuration cannot be used; nothing was started
  130  a second SIGTERM or SIGINT ended `run` or `train` at once";

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// The command went through all its inputs, and some gave an error, which was printed where the result would be.
    SomeFailed,
}

/// Something in what the user wrote cannot be used; nothing was started.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// The same, of all that is wrong with a file: a sentence each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct UsageErrors(pub Vec<String>);

/// Prints the error, if there is one, and gives the exit code.
pub fn report(outcome: anyhow::Result<Outcome>) -> ExitCode {
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::SomeFailed) => ExitCode::from(1),
        // The reader of our output went away (`sightstream embed … | head`): there is nobody to tell.
        Err(error) if is_broken_pipe(&error) => ExitCode::from(1),
        Err(error) => match error.downcast::<SqlErrors>() {
            Ok(errors) => {
                for error in errors {
                    crate::logging::print_error(&error.to_string());
                }
                ExitCode::from(2)
            }
            Err(error) => {
                if let Some(UsageErrors(sentences)) = error.downcast_ref() {
                    sentences
                        .iter()
                        .for_each(|sentence| crate::logging::print_error(sentence));
                    return ExitCode::from(2);
                }
                crate::logging::print_error(&format!("{error:#}"));
                ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
            }
        },
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let by_embed = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) == Some(ErrorKind::BrokenPipe);
    by_embed || error.downcast_ref::<SqlError>().is_some_and(SqlError::is_reader_gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_error_keeps_its_kind_under_added_context() {
        let error = anyhow::Error::from(UsageError("no such flag".into())).context("index.sql");
        assert!(error.is::<UsageError>());
        assert_eq!(format!("{error:#}"), "index.sql: no such flag");
    }

    #[test]
    fn a_closed_pipe_is_told_from_other_failures() {
        assert!(is_broken_pipe(&std::io::Error::from(ErrorKind::BrokenPipe).into()));
        assert!(!is_broken_pipe(&std::io::Error::from(ErrorKind::NotFound).into()));
    }
}
