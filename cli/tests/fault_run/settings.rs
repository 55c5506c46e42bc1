//! How long and how hard: from the environment, so that `scripts/fault-run` can ask for more than the tests do.

use std::env::VarError;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a run is made of.
#[derive(Debug)]
pub struct Settings {
    /// Records in the topic (`SIGHTSTREAM_TEST_FAULT_ROWS`).
    pub rows: usize,
    /// How often the job is killed (`SIGHTSTREAM_TEST_FAULT_KILLS`).
    pub kills: usize,
    /// Decides about what chance decides (`SIGHTSTREAM_TEST_FAULT_SEED`).
    pub seed: u64,
    /// Where the report goes too (`SIGHTSTREAM_TEST_FAULT_REPORT`).
    pub report: Option<PathBuf>,
}

impl Settings {
    /// The settings, with another seed each time where none is given.
    pub fn from_environment() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        Self {
            rows: variable("ROWS").unwrap_or(10_000),
            kills: variable("KILLS").unwrap_or(10),
            seed: variable("SEED").unwrap_or(now.as_secs()),
            report: variable("REPORT"),
        }
    }
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let name = format!("SIGHTSTREAM_TEST_FAULT_{name}");
    match std::env::var(&name) {
        Ok(value) => {
            let parsed = value.parse();
            Some(parsed.unwrap_or_else(|_| panic!("{name} cannot be '{value}'")))
        }
        Err(VarError::NotPresent) => None,
        Err(error) => panic!("{name}: {error}"),
    }
}
