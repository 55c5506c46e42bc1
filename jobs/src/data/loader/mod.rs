//! Batches, prepared ahead of the device.
//!
//! The caller walks through the mixture row by row; threads prepare the rows that it will come to if none is bad. Where one is,
//! it is counted and passed over, the dataset's next row takes its place, and what was foreseen is foreseen anew. So what is in a
//! batch depends on the mixture and on what the rows hold, and not on which thread was faster.

mod example;
mod queue;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};

use sightstream_model::processor::Processor;

use super::dataset::{Dataset, DatasetOptions};
use super::mixture::{Draw, Mixture, MixtureOptions, Part, Stopping};
use super::position::Position;
use super::prepare::{PrepareOptions, Preparer};
use crate::error::JobError;
use crate::example::Batch;
use example::Examples;
use queue::{Queue, Unavailable};

/// So many rows of a dataset are tried, or all where there are fewer, before their share of bad ones says something.
const LEAST_TRIED: u64 = 100;

/// How many reasons a run that ends of bad rows gives.
const SHOWN_REASONS: usize = 5;

/// What is loaded, and how.
#[derive(Debug, Clone)]
pub struct LoaderOptions {
    /// The mixing table.
    pub datasets: Vec<DatasetOptions>,
    /// Of every choice.
    pub seed: u64,
    /// How many examples a batch has: a multiple of `sub_batch_size`.
    pub batch_size: usize,
    /// How many examples of one dataset stand together.
    pub sub_batch_size: usize,
    /// How many hard negatives each example has. A row with more gives its first; in one with fewer, positives of other rows of
    /// the dataset stand in, drawn anew in each pass.
    pub hard_negatives: usize,
    /// When an epoch ends.
    pub stopping: Stopping,
    /// After so many epochs there is no more. A last batch that is not full is left out.
    pub epochs: Option<u64>,
    /// How many threads prepare rows.
    pub workers: usize,
    /// How many examples are prepared, or being prepared, ahead of what was asked for. `None`: a batch.
    pub ahead: Option<usize>,
    /// The most bytes of prepared examples that wait. Above it threads prepare only what is asked for.
    pub ahead_bytes: usize,
    /// The share of a dataset's rows that may be bad. It is looked at from 100 rows on, or a whole pass.
    pub max_bad_share: f64,
    /// How media are read.
    pub prepare: PrepareOptions,
    /// Set by whoever wants no more batches: one that waits for its media is given up then.
    pub stop: Arc<AtomicBool>,
}

impl LoaderOptions {
    /// These datasets in batches of so many, each of one dataset, with the defaults for the rest: a worker for each core, a batch
    /// ahead within 4 GiB, no hard negatives, one bad row of a hundred, epochs without end.
    pub fn new(datasets: Vec<DatasetOptions>, batch_size: usize) -> Self {
        Self {
            datasets,
            seed: 0,
            batch_size,
            sub_batch_size: batch_size,
            hard_negatives: 0,
            stopping: Stopping::default(),
            epochs: None,
            workers: thread::available_parallelism().map_or(1, usize::from),
            ahead: None,
            ahead_bytes: 4 << 30,
            max_bad_share: 0.01,
            prepare: PrepareOptions::default(),
            stop: Arc::default(),
        }
    }

    fn validate(&self) -> Result<(), JobError> {
        let refused = |message: String| Err(JobError::Config(message));
        for (name, value) in [("batch_size", self.batch_size), ("workers", self.workers)] {
            if value == 0 {
                return refused(format!("{name}: 0 leaves nothing; write a number above 0"));
            }
        }
        if self.sub_batch_size == 0 || !self.batch_size.is_multiple_of(self.sub_batch_size) {
            return refused(format!(
                "sub_batch_size: {} does not divide batch_size, {}",
                self.sub_batch_size, self.batch_size
            ));
        }
        if !(0.0..=1.0).contains(&self.max_bad_share) {
            return refused(format!(
                "max_bad_share: {} is no share; write 0 to 1",
                self.max_bad_share
            ));
        }
        Ok(())
    }
}

/// A batch, and where the data stand after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What to train on.
    pub batch: Batch,
    /// What a checkpoint after this batch keeps, so that the next one is the same. Its sources have the counts of bad rows.
    pub after: Position,
    /// The rows that were left out on the way to this batch.
    pub skipped: Vec<SkippedRow>,
}

/// A row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedRow {
    /// The dataset.
    pub dataset: String,
    /// A word for it, as in [`sightstream_model::error::MediaError::reason`]; `row` for one that is not what its parser
    /// expects, `negatives` where none could be found to stand in.
    pub reason: String,
    /// What is wrong, and in which file and row.
    pub message: String,
}

/// Loads batches: an iterator that ends after the last epoch, when it is stopped, or with an error.
#[derive(Debug)]
pub struct Loader {
    mixture: Mixture,
    /// Where the last row is that is foreseen.
    ahead: Mixture,
    /// What is foreseen: in the queue, in this order.
    foreseen: VecDeque<Draw>,
    queue: Arc<Queue>,
    examples: Arc<Examples>,
    threads: Vec<JoinHandle<()>>,
    options: LoaderOptions,
    is_over: bool,
    /// Messages of rows that were left out, by dataset.
    reasons: BTreeMap<usize, Vec<String>>,
}

impl Loader {
    /// Opens the datasets, and begins to prepare: from the start, or from a position on.
    ///
    /// # Errors
    /// [`JobError::Config`] and [`JobError::Data`] for what cannot be followed or read, and [`JobError::Model`] for
    /// [`PrepareOptions`] that cannot be used.
    pub fn new(options: LoaderOptions, processor: Arc<Processor>, from: Option<&Position>) -> Result<Self, JobError> {
        options.validate()?;
        let datasets: Vec<Dataset> = options.datasets.iter().map(Dataset::open).collect::<Result<_, _>>()?;
        let parts = datasets.iter().map(|dataset| Part {
            name: dataset.name().to_owned(),
            weight: dataset.weight(),
            rows: dataset.rows(),
        });
        let mixture = MixtureOptions {
            seed: options.seed,
            sub_batch_size: options.sub_batch_size,
            stopping: options.stopping,
            epochs: options.epochs,
        };
        let mixture = Mixture::new(parts.collect(), mixture, from)?;
        let rows: usize = mixture.parts().map(|part| part.rows).sum();
        if rows < options.batch_size {
            tracing::warn!(
                rows,
                batch_size = options.batch_size,
                "a batch is larger than all the data: rows come in it more than once, and add nothing; lower batch_size"
            );
        }
        let sub_batches = options.batch_size / options.sub_batch_size;
        if from.is_none() && mixture.batches_left(sub_batches) == Some(0) {
            return Err(JobError::Config(format!(
                "batch_size: no batch of {} is full at the end of the last epoch; lower it, or raise num_epochs",
                options.batch_size
            )));
        }
        // Who names a dataset wants its files to be read.
        let mut prepare = options.prepare.clone();
        let folders = datasets
            .iter()
            .flat_map(Dataset::folders)
            .map(std::path::Path::to_owned);
        prepare.fetch.allow_directories.extend(folders);
        let examples = Arc::new(Examples {
            preparer: Preparer::new(&prepare, processor)?,
            datasets,
            seed: options.seed,
            hard_negatives: options.hard_negatives,
        });
        let queue = Arc::new(Queue::new(options.ahead_bytes));
        let mut loader = Self {
            ahead: mixture.clone(),
            foreseen: VecDeque::new(),
            mixture,
            queue,
            examples,
            threads: Vec::new(),
            is_over: false,
            reasons: BTreeMap::new(),
            options,
        };
        let draws = loader.look_ahead();
        loader.queue.extend(draws);
        for number in 0..loader.options.workers {
            let (queue, examples) = (Arc::clone(&loader.queue), Arc::clone(&loader.examples));
            let thread = thread::Builder::new()
                .name(format!("prepare-{number}"))
                .spawn(move || queue.work(|draw| examples.prepare(draw)))
                .map_err(|error| JobError::Config(format!("workers: a thread cannot be started: {error}")))?;
            loader.threads.push(thread);
        }
        Ok(loader)
    }

    /// How many batches there are up to the last epoch's end, if no row is bad. `None` without a number of epochs.
    pub fn batches_left(&self) -> Option<u64> {
        self.mixture
            .batches_left(self.options.batch_size / self.options.sub_batch_size)
    }

    /// Where the data stand.
    pub fn position(&self) -> Position {
        self.mixture.position()
    }

    /// The datasets.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.mixture.parts()
    }

    fn load(&mut self) -> Result<Option<Loaded>, JobError> {
        let mut examples = Vec::with_capacity(self.options.batch_size);
        let (mut sources, mut skipped) = (Vec::new(), Vec::new());
        while examples.len() < self.options.batch_size {
            let Some(draw) = self
                .mixture
                .draw()
                .map_err(|error| with_reasons(error, &self.reasons))?
            else {
                if !examples.is_empty() {
                    tracing::info!(examples = examples.len(), "the last batch is not full, and left out");
                }
                return Ok(None);
            };
            let taken = self.queue.take(draw, &self.options.stop);
            let Some(prepared) = taken.map_err(|Unavailable(why)| JobError::Config(why))? else {
                return Ok(None);
            };
            let foreseen = self.foreseen.pop_front();
            debug_assert_eq!(foreseen, Some(draw), "what is foreseen is what comes");
            self.mixture.counts(draw.part).tried += 1;
            match prepared {
                Ok(example) => {
                    examples.push(example);
                    if self.mixture.accept(draw) {
                        let name = self.examples.datasets[draw.part].name();
                        sources.push((name.to_owned(), self.options.sub_batch_size));
                    }
                    let draws = self.look_ahead();
                    self.queue.extend(draws);
                }
                Err(skip) => {
                    self.leave_out(draw, &skip)?;
                    skipped.push(skip);
                    self.ahead = self.mixture.clone();
                    self.foreseen.clear();
                    self.look_ahead();
                    self.queue.replace(self.foreseen.iter().copied());
                }
            }
        }
        Ok(Some(Loaded {
            batch: Batch { examples, sources },
            after: self.mixture.position(),
            skipped,
        }))
    }

    /// Foresees the next rows, up to as many as are to be. Those that were added.
    fn look_ahead(&mut self) -> Vec<Draw> {
        let most = self.options.ahead.unwrap_or(self.options.batch_size).max(1);
        let before = self.foreseen.len();
        while self.foreseen.len() < most {
            // What is wrong is said when it is reached.
            let Ok(Some(draw)) = self.ahead.draw() else { break };
            self.ahead.accept(draw);
            self.foreseen.push_back(draw);
        }
        self.foreseen.range(before..).copied().collect()
    }

    /// Counts a bad row, and ends the run where there are too many.
    fn leave_out(&mut self, draw: Draw, skip: &SkippedRow) -> Result<(), JobError> {
        tracing::debug!(
            dataset = skip.dataset,
            reason = skip.reason,
            message = skip.message,
            "a row is left out"
        );
        let reasons = self.reasons.entry(draw.part).or_default();
        let is_new = !reasons.contains(&skip.message);
        if reasons.len() < SHOWN_REASONS && is_new {
            reasons.push(skip.message.clone());
        }
        let counts = self.mixture.counts(draw.part);
        *counts.bad.entry(skip.reason.clone()).or_default() += 1;
        let (tried, bad) = (counts.tried, counts.bad_rows());
        let is_enough = tried >= LEAST_TRIED.min(counts.rows);
        if !is_enough || bad as f64 <= self.options.max_bad_share * tried as f64 {
            return Ok(());
        }
        Err(JobError::Data {
            dataset: skip.dataset.clone(),
            message: format!(
                "{bad} of {tried} rows could not be read, more than max_bad_share ({}) allows. Some of them: {}",
                self.options.max_bad_share,
                reasons.join("; ")
            ),
        })
    }
}

/// What went wrong with a dataset, and why some of its rows were left out.
fn with_reasons(error: JobError, reasons: &BTreeMap<usize, Vec<String>>) -> JobError {
    let reasons: Vec<&str> = reasons.values().flatten().map(String::as_str).collect();
    match error {
        JobError::Data { dataset, message } if !reasons.is_empty() => JobError::Data {
            dataset,
            message: format!("{message}. Some that could not: {}", reasons.join("; ")),
        },
        other => other,
    }
}

impl Iterator for Loader {
    type Item = Result<Loaded, JobError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let loaded = self.load().transpose();
        self.is_over = !matches!(loaded, Some(Ok(_)));
        loaded
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.queue.close();
        self.examples.preparer.stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that prepares rows panicked");
            }
        }
    }
}
