//! How far a run has come in its data: what a checkpoint keeps of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::mixture::Part;
use crate::error::JobError;

/// A point between two batches. From it on, the same rows come in the same order, as far as the same rows can be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Of the mixture.
    pub(super) seed: u64,
    /// How many sub-batches were drawn.
    pub(super) sub_batches: u64,
    /// How many epochs have ended.
    pub(super) epoch: u64,
    /// The datasets, in their order.
    pub(super) sources: Vec<SourcePosition>,
}

/// How far it has come in one dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourcePosition {
    /// The dataset's name.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// How many passes over it were begun before this one.
    pub(super) pass: u64,
    /// How many rows of the pass were drawn.
    pub(super) next: u32,
    /// Rows that come last in the pass.
    pub(super) last: Vec<u32>,
    /// Whether a pass has ended in this epoch.
    pub(super) is_exhausted: bool,
    /// How many rows were tried since the run began.
    pub tried: u64,
    /// How many of them were left out because they could not be read, by reason.
    pub bad: BTreeMap<String, u64>,
}

impl SourcePosition {
    pub(super) fn start(part: &Part) -> Self {
        Self {
            name: part.name.clone(),
            rows: part.rows as u64,
            pass: 0,
            next: 0,
            last: Vec::new(),
            is_exhausted: false,
            tried: 0,
            bad: BTreeMap::new(),
        }
    }

    /// How many rows were left out.
    pub fn bad_rows(&self) -> u64 {
        self.bad.values().sum()
    }
}

impl Position {
    /// How many epochs have ended.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The datasets, in their order, with the counts of their rows.
    pub fn sources(&self) -> &[SourcePosition] {
        &self.sources
    }

    /// Refuses to go on with other data than it was made with.
    pub(super) fn check(&self, seed: u64, parts: &[Part]) -> Result<(), JobError> {
        let changed = |what: String| {
            Err(JobError::Config(format!(
                "the run cannot go on with other data than it began with: {what}; set it back, or begin a new run"
            )))
        };
        if self.seed != seed {
            return changed(format!("seed was {} and is {seed}", self.seed));
        }
        let names = |names: Vec<&str>| names.join(", ");
        let before = names(self.sources.iter().map(|source| source.name.as_str()).collect());
        let now = names(parts.iter().map(|part| part.name.as_str()).collect());
        if before != now {
            return changed(format!("the datasets were {before} and are {now}"));
        }
        let differs = self
            .sources
            .iter()
            .zip(parts)
            .find(|(source, part)| source.rows != part.rows as u64);
        if let Some((source, part)) = differs {
            return changed(format!(
                "dataset `{}` had {} rows and has {}",
                source.name, source.rows, part.rows
            ));
        }
        Ok(())
    }
}
