//! The `SET sightstream.… = …` of a SQL file: they stand where neither a flag nor an environment variable says
//! anything.

use std::collections::BTreeMap;

use sightstream_sql::Script;
use sightstream_sql::script::Setting;

use crate::error::UsageError;

/// The settings of one file. Options take theirs; [`Settings::finish`] refuses what nobody took.
#[derive(Debug)]
pub struct Settings {
    file: String,
    values: BTreeMap<String, Setting>,
    known: Vec<&'static str>,
}

impl Settings {
    /// The settings of `script`.
    pub fn of(script: &Script) -> Self {
        Self {
            file: script.file().to_string(),
            values: script.settings().clone(),
            known: Vec::new(),
        }
    }

    /// Fills `slot` with the setting `name`, unless a flag or an environment variable has filled it already.
    pub fn fill<T>(
        &mut self,
        name: &'static str,
        slot: &mut Option<T>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<(), UsageError> {
        self.fill_shown(name, slot, parse, str::to_string)
    }

    /// As [`Settings::fill`], for a setting that may hold a password: an error tells what `shown` makes of the value.
    pub fn fill_shown<T>(
        &mut self,
        name: &'static str,
        slot: &mut Option<T>,
        parse: impl FnOnce(&str) -> Result<T, String>,
        shown: impl FnOnce(&str) -> String,
    ) -> Result<(), UsageError> {
        self.known.push(name);
        let Some(Setting { value: text, line }) = self.values.remove(name) else {
            return Ok(());
        };
        let value = parse(&text).map_err(|message| {
            UsageError(format!(
                "{}:{line}: sightstream.{name} cannot be '{}': {message}",
                self.file,
                shown(&text)
            ))
        })?;
        slot.get_or_insert(value);
        Ok(())
    }

    /// Refuses settings that nothing has taken.
    pub fn finish(self) -> Result<(), UsageError> {
        // The first in the file is told.
        match self.values.iter().min_by_key(|(_, setting)| setting.line) {
            None => Ok(()),
            Some((unknown, Setting { line, .. })) => Err(UsageError(format!(
                "{}:{line}: unknown setting sightstream.{unknown}; the settings are {}",
                self.file,
                self.known.join(", ")
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(name: &str, value: &str) -> Settings {
        let setting = Setting {
            value: value.to_string(),
            line: 3,
        };
        Settings {
            file: "index.sql".to_string(),
            values: [(name.to_string(), setting)].into(),
            known: Vec::new(),
        }
    }

    fn text(value: &str) -> Result<String, String> {
        Ok(value.to_string())
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let (mut given, mut missing) = (Some("flag".to_string()), None);
        settings("model", "file")
            .fill("model", &mut given, text)
            .expect("it can be parsed");
        settings("model", "file")
            .fill("model", &mut missing, text)
            .expect("it can be parsed");
        assert_eq!((given.as_deref(), missing.as_deref()), (Some("flag"), Some("file")));
    }

    #[test]
    fn a_wrong_value_names_its_line_and_the_setting() {
        let mut slot = None;
        let error = settings("min_pixels", "few").fill("min_pixels", &mut slot, crate::args::values::pixels);
        let error = error.expect_err("'few' is no number").to_string();
        assert!(
            error.starts_with("index.sql:3: sightstream.min_pixels cannot be 'few'"),
            "{error}"
        );
    }

    #[test]
    fn a_password_in_a_wrong_value_is_not_told() {
        let mut job = crate::args::JobArgs::default();
        let error = job.fill(&mut settings("dead_letters", "kafka://h/t?sasl.password=s3cret&bad=1"));
        let error = error.expect_err("there is no setting 'bad'").to_string();
        assert!(
            error.starts_with("index.sql:3: sightstream.dead_letters cannot be 'kafka://h/t': "),
            "{error}"
        );
        assert!(error.contains("bad") && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn a_misspelt_setting_is_answered_with_the_known_ones() {
        let mut settings = settings("modle", "x");
        settings
            .fill("model", &mut None, text)
            .expect("there is nothing to parse");
        let error = settings.finish().expect_err("there is no such setting").to_string();
        assert!(
            error.contains("sightstream.modle") && error.contains("the settings are model"),
            "{error}"
        );
    }
}
