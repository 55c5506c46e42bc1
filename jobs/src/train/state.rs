//! What a run remembers of itself between processes, beside weights and moments.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::JobError;

/// Of the layout of [`TrainerState`], and of what is computed of a configuration: a run of another version would go on to other losses.
const VERSION: u32 = 2;

/// How many steps [`TrainerState::recent`] goes back.
const RECENT: usize = 10;

/// The state of a run after a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    version: u32,
    /// Optimiser steps done.
    pub step: u64,
    /// Examples that they saw.
    pub samples: u64,
    /// Where the data goes on, in the words of whoever draws it.
    pub position: Value,
    /// Every setting that changes what is computed, by its key. A run goes on under the same ones.
    pub settings: Map<String, Value>,
    /// The last steps, the latest last: what a report of divergence tells.
    pub recent: VecDeque<RecentStep>,
}

/// One of the last steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RecentStep {
    /// Which one, from 1.
    pub step: u64,
    /// The mean loss of its micro-batches.
    pub loss: f32,
    /// The gradient's norm before clipping.
    pub gradient_norm: f64,
    /// The learning rate that it took.
    pub learning_rate: f64,
}

impl TrainerState {
    /// That of a run which has not begun.
    pub fn new(settings: Map<String, Value>) -> Self {
        Self {
            version: VERSION,
            step: 0,
            samples: 0,
            position: Value::Null,
            settings,
            recent: VecDeque::new(),
        }
    }

    /// Remembers a step, and forgets one that is long past.
    pub fn remember(&mut self, step: RecentStep) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(step);
    }

    /// Checks that a run with `settings` would go on as this one did.
    ///
    /// # Errors
    /// [`JobError::Config`] that names every key with another value, and both values.
    pub fn check_settings(&self, settings: &Map<String, Value>) -> Result<(), JobError> {
        // Both as they read in a file, since a number may lose its last digit there.
        let settings = read_back(settings);
        let saved = read_back(&self.settings);
        let of = |settings: &Map<String, Value>, key: &String| settings.get(key).cloned().unwrap_or(Value::Null);
        let mut keys: Vec<_> = saved.keys().chain(settings.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let changed: Vec<_> = keys
            .into_iter()
            .filter(|key| of(&saved, key) != of(&settings, key))
            .map(|key| format!("`{key}` was {} and is {}", of(&saved, key), of(&settings, key)))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        Err(JobError::Config(format!(
            "a resumed run goes on as it began, but its configuration changed: {}. Set them back, or start a new run in another \
             `output_dir`",
            changed.join("; ")
        )))
    }

    /// As the text of a file.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a state has text keys only")
    }

    /// From the text of a file.
    pub(super) fn from_json(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if version != VERSION {
            return Err(format!(
                "its version is {version}, and this program knows {VERSION}: end the run with the program that began it, or begin anew in \
                 another output_dir"
            ));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

fn read_back(settings: &Map<String, Value>) -> Map<String, Value> {
    let text = serde_json::to_string(settings).expect("settings have text keys only");
    serde_json::from_str(&text).expect("this is what was written")
}
