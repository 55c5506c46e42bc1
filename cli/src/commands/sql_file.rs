//! A SQL file as `run` and `check` read it.

use std::path::Path;

use sightstream_sql::{Plan, Script, SqlError};

use crate::args::{EncoderArgs, JobArgs, Settings};
use crate::error::UsageError;

/// A file, planned as far as it can be, and all that is wrong with it.
pub struct SqlFile {
    pub plan: Plan,
    pub errors: Vec<SqlError>,
}

impl SqlFile {
    /// Reads `file`; its settings fill what is left out in `encoder` and `job`.
    ///
    /// # Errors
    /// [`UsageError`] if the file cannot be read at all.
    pub async fn read(file: &Path, encoder: &mut EncoderArgs, job: &mut JobArgs) -> Result<Self, UsageError> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file)
            .map_err(|error| UsageError(format!("cannot read the SQL file {name}: {error}")))?;
        let (mut script, mut errors) = Script::read(&text, &name, &|name| std::env::var(name).ok());
        let mut settings = Settings::of(&script);
        encoder.fill(&mut settings);
        job.fill(&mut settings);
        errors.extend(settings.finish());
        job.set_defaults(&mut script);
        let (plan, more) = Plan::read(script).await;
        errors.extend(more);
        Ok(Self { plan, errors })
    }
}
