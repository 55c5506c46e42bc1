//! The `SET sightstream.… = …` of a SQL file: they stand where neither a flag nor an environment variable says
//! anything.

use std::collections::BTreeMap;

use sightstream_connectors::options::nearest;
use sightstream_settings::Fallback;
use sightstream_sql::script::Setting;
use sightstream_sql::{Script, SqlError};

/// The settings of one file. Options take theirs; [`Settings::finish`] tells all that is wrong
/// with them, also those that nobody took.
#[derive(Debug)]
pub struct Settings {
    file: String,
    values: BTreeMap<String, Setting>,
    known: Vec<&'static str>,
    errors: Vec<SqlError>,
}

impl Settings {
    /// The settings of `script`.
    pub fn of(script: &Script) -> Self {
        Self {
            file: script.file().to_string(),
            values: script.settings().clone(),
            known: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// All that is wrong with the settings, those that nothing has taken among it.
    pub fn finish(self) -> Vec<SqlError> {
        let unknown = self.values.iter().map(|(unknown, Setting { line, .. })| {
            let meant = nearest(unknown, self.known.iter().copied());
            let hint = meant.map_or_else(String::new, |meant| format!("did you mean sightstream.{meant}? "));
            let message = format!(
                "unknown setting sightstream.{unknown}; {hint}the settings are {}",
                self.known.join(", ")
            );
            SqlError::at(&self.file, *line, message)
        });
        let unknown: Vec<SqlError> = unknown.collect();
        self.errors.into_iter().chain(unknown).collect()
    }
}

impl Fallback for Settings {
    fn fill_shown<T>(
        &mut self,
        name: &'static str,
        slot: &mut Option<T>,
        parse: impl FnOnce(&str) -> Result<T, String>,
        shown: impl FnOnce(&str) -> String,
    ) {
        self.known.push(name);
        let Some(Setting { value: text, line }) = self.values.remove(name) else {
            return;
        };
        match parse(&text) {
            Ok(value) => drop(slot.get_or_insert(value)),
            Err(message) => {
                let message = format!("sightstream.{name} cannot be '{}': {message}", shown(&text));
                self.errors.push(SqlError::at(&self.file, line, message));
            }
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
            errors: Vec::new(),
        }
    }

    fn text(value: &str) -> Result<String, String> {
        Ok(value.to_string())
    }

    /// The one error of `settings`.
    fn error(settings: Settings) -> String {
        match settings.finish().as_slice() {
            [error] => error.to_string(),
            other => panic!("not one error: {other:?}"),
        }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let (mut given, mut missing) = (Some("flag".to_string()), None);
        settings("model", "file").fill("model", &mut given, text);
        settings("model", "file").fill("model", &mut missing, text);
        assert_eq!((given.as_deref(), missing.as_deref()), (Some("flag"), Some("file")));
    }

    #[test]
    fn a_wrong_value_names_its_line_and_the_setting() {
        let mut settings = settings("min_pixels", "few");
        settings.fill("min_pixels", &mut None, sightstream_settings::values::pixels);
        let error = error(settings);
        assert!(
            error.starts_with("index.sql:3: sightstream.min_pixels cannot be 'few'"),
            "{error}"
        );
    }

    #[test]
    fn a_password_in_a_wrong_value_is_not_told() {
        let mut settings = settings("dead_letters", "kafka://h/t?sasl.password=s3cret&bad=1");
        crate::args::JobArgs::default().fill(&mut settings);
        let error = error(settings);
        assert!(
            error.starts_with("index.sql:3: sightstream.dead_letters cannot be 'kafka://h/t': "),
            "{error}"
        );
        assert!(error.contains("bad") && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn a_misspelt_setting_is_answered_with_the_one_that_was_meant() {
        let mut settings = settings("modle", "x");
        settings.fill("model", &mut None, text);
        let error = error(settings);
        assert!(
            error.contains("unknown setting sightstream.modle; did you mean sightstream.model?"),
            "{error}"
        );
    }
}
