//! The batches of a run, with what was left out on the way to them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use sightstream_jobs::JobError;
use sightstream_jobs::data::{Loaded, Loader, LoaderOptions, Position, SkippedRow};
use sightstream_jobs::train::config::{Length, TrainConfig};
use sightstream_jobs::train::trainer::Drawn;
use sightstream_model::processor::Processor;

/// Rows of which the log tells each, once; of those after them the count alone.
const TOLD: usize = 20;

/// Batches as the loop takes them.
pub struct Batches {
    loader: Loader,
    skipped: BTreeMap<String, u64>,
    /// The messages of those that the log told.
    told: HashSet<String>,
}

impl Batches {
    /// Opens the datasets, and begins to prepare what comes after `from`.
    ///
    /// # Errors
    /// Those of [`Loader::new`].
    pub fn open(options: LoaderOptions, processor: Arc<Processor>, from: Option<&Position>) -> Result<Self, JobError> {
        let mut skipped = BTreeMap::new();
        for source in from.map(Position::sources).unwrap_or_default() {
            for (reason, count) in &source.bad {
                *skipped.entry(reason.clone()).or_default() += count;
            }
        }
        Ok(Self {
            loader: Loader::new(options, processor, from)?,
            skipped,
            told: HashSet::new(),
        })
    }

    /// How many steps the run has, counted from its start.
    ///
    /// # Errors
    /// [`JobError::Config`] for data that is less than a batch, or fewer steps than the warm-up has.
    pub fn max_steps(&self, config: &TrainConfig) -> Result<u64, JobError> {
        match config.length {
            Length::Steps(steps) => Ok(steps),
            Length::Epochs(epochs) => {
                let batches = self.loader.batches_left().unwrap_or(u64::MAX);
                let steps = batches.div_ceil(config.gradient_accumulation_steps as u64);
                match config.warmup_steps {
                    _ if steps == 0 => Err(JobError::Config(format!(
                        "{epochs} epochs are less than one batch of {}; lower batch_size, or write max_steps",
                        config.batch_size
                    ))),
                    Some(warmup) if warmup > steps => Err(JobError::Config(format!(
                        "warmup_steps: {warmup} is more than the {steps} steps of these epochs; write fewer, or leave it out for a \
                         tenth of them"
                    ))),
                    _ => Ok(steps),
                }
            }
        }
    }

    /// Rows that were left out since the run began, by reason.
    pub fn skipped(&self) -> BTreeMap<String, u64> {
        self.skipped.clone()
    }

    fn skip(&mut self, row: &SkippedRow) {
        *self.skipped.entry(row.reason.clone()).or_default() += 1;
        // A row comes again with every pass over its dataset.
        if self.told.len() > TOLD || !self.told.insert(row.message.clone()) {
            return;
        }
        if self.told.len() > TOLD {
            tracing::warn!("more rows are skipped; they are counted, and told with --log-level debug");
        } else {
            tracing::warn!(
                dataset = row.dataset,
                reason = row.reason,
                error = row.message,
                "a row is skipped"
            );
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Drawn, JobError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Loaded { batch, after, skipped } = match self.loader.next()? {
            Ok(loaded) => loaded,
            Err(error) => return Some(Err(error)),
        };
        skipped.iter().for_each(|row| self.skip(row));
        let position = serde_json::to_value(after).expect("a position has text keys only");
        Some(Ok(Drawn { batch, position }))
    }
}
