//! Which row comes next: a mixture of datasets, drawn by weight in sub-batches of one dataset each.
//!
//! A sub-batch takes its dataset with the probability weight / sum of weights, and its rows from the dataset's current *pass*:
//! a permutation of its rows. When a pass ends the next one begins, in the middle of a sub-batch where that is so; rows that this
//! sub-batch holds already come last in it: a row that is there twice would add nothing. In another sub-batch of the same batch it may
//! come again, as it must where a dataset is small; the objective knows it by its [number](Draw::number).
//!
//! An *epoch* ends after the sub-batch in which the last dataset came to the end of a pass ([`Stopping::AllExhausted`]; smaller
//! ones repeat), or the first one ([`Stopping::FirstExhausted`]), as Hugging Face's `interleave_datasets` stops. Then all datasets
//! begin a new pass, but for one that has just begun one.
//!
//! Every choice is made of the seed and of what is in a [`Position`]: nothing else, and no time.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::order;
use super::position::{Position, SourcePosition};
use crate::error::JobError;

/// When an epoch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stopping {
    /// When every row of every dataset has been drawn.
    #[default]
    AllExhausted,
    /// When every row of one dataset has been drawn.
    FirstExhausted,
}

impl FromStr for Stopping {
    type Err = JobError;

    fn from_str(text: &str) -> Result<Self, JobError> {
        match text {
            "all_exhausted" => Ok(Self::AllExhausted),
            "first_exhausted" => Ok(Self::FirstExhausted),
            _ => Err(JobError::Config(format!(
                "`{text}` is no stopping strategy; write all_exhausted or first_exhausted"
            ))),
        }
    }
}

impl fmt::Display for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllExhausted => "all_exhausted",
            Self::FirstExhausted => "first_exhausted",
        })
    }
}

/// What a mixture knows of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its name, which no other has.
    pub name: String,
    /// How often it is drawn, beside the others' weights.
    pub weight: f64,
    /// How many rows it has.
    pub rows: usize,
}

/// How a mixture is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct MixtureOptions {
    /// Of every choice.
    pub seed: u64,
    /// How many rows of one dataset come one after the other.
    pub sub_batch_size: usize,
    /// When an epoch ends.
    pub stopping: Stopping,
    /// After so many epochs there is no more.
    pub epochs: Option<u64>,
}

/// A row that was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Draw {
    /// The dataset, by its place among the parts.
    pub part: usize,
    /// The row, from 0.
    pub row: u32,
    /// The pass over the dataset that it was drawn in.
    pub pass: u64,
}

impl Draw {
    /// A number that no other row of the mixture has, whatever the pass.
    pub fn number(self) -> u64 {
        // There are not 2^32 datasets.
        ((self.part as u64) << 32) | u64::from(self.row)
    }
}

/// A mixture at some point of it. Clones go on alike.
#[derive(Debug, Clone)]
pub struct Mixture {
    options: Arc<MixtureOptions>,
    sources: Vec<Source>,
    sub_batches: u64,
    epoch: u64,
    open: Option<SubBatch>,
}

#[derive(Debug, Clone)]
struct Source {
    part: Arc<Part>,
    rows: u32,
    position: SourcePosition,
    /// Of the current pass; made when it is first asked for.
    order: Option<Arc<[u32]>>,
}

/// The sub-batch that is being filled.
#[derive(Debug, Clone)]
struct SubBatch {
    source: usize,
    /// The rows that it took.
    rows: Vec<u32>,
    /// How many rows were drawn for it.
    draws: usize,
    /// Whether a new pass began in it.
    is_in_next_pass: bool,
}

impl Mixture {
    /// A mixture from its beginning, or from a position on.
    ///
    /// # Errors
    /// [`JobError::Config`] for datasets that cannot be mixed (none, two of one name, a weight that is none, fewer rows than a
    /// sub-batch has), and for a position that belongs to others.
    pub fn new(parts: Vec<Part>, options: MixtureOptions, from: Option<&Position>) -> Result<Self, JobError> {
        let refused = |message: String| Err(JobError::Config(message));
        if parts.is_empty() {
            return refused("datasets: there is none; name one or more".into());
        }
        if options.sub_batch_size == 0 {
            return refused("sub_batch_size: 0 leaves nothing; write a number above 0".into());
        }
        for (index, Part { name, weight, rows }) in parts.iter().enumerate() {
            if parts[..index].iter().any(|part| part.name == *name) {
                return refused(format!("datasets: two have the name `{name}`; give each its own"));
            }
            if !(weight.is_finite() && *weight > 0.0) {
                return refused(format!("dataset `{name}`: weight: {weight} is no number above 0"));
            }
            if *rows < options.sub_batch_size {
                return refused(format!(
                    "dataset `{name}` has {rows} rows, fewer than a sub-batch of {}, which has no row twice; lower \
                     sub_batch_size, or leave the dataset out",
                    options.sub_batch_size
                ));
            }
        }
        if let Some(position) = from {
            position.check(options.seed, &parts)?;
        }
        let sources = parts.into_iter().enumerate().map(|(index, part)| {
            let rows = u32::try_from(part.rows)
                .map_err(|_| JobError::Config(format!("dataset `{}`: {} rows are too many", part.name, part.rows)))?;
            let position = match from {
                Some(position) => position.sources[index].clone(),
                None => SourcePosition::start(&part),
            };
            Ok(Source {
                part: Arc::new(part),
                rows,
                position,
                order: None,
            })
        });
        Ok(Self {
            sources: sources.collect::<Result<_, JobError>>()?,
            options: Arc::new(options),
            sub_batches: from.map_or(0, |position| position.sub_batches),
            epoch: from.map_or(0, |position| position.epoch),
            open: None,
        })
    }

    /// The datasets, in their order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.sources.iter().map(|source| &*source.part)
    }

    /// How many epochs have ended.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Draws a row, which is to be [accepted](Mixture::accept) before the next is drawn, or else has been passed over. `None`
    /// after the last epoch.
    ///
    /// # Errors
    /// [`JobError::Data`] where a dataset has too few rows that are accepted for a sub-batch.
    pub fn draw(&mut self) -> Result<Option<Draw>, JobError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None if self.options.epochs.is_some_and(|epochs| self.epoch >= epochs) => return Ok(None),
            None => self.begin(),
        };
        let source = &mut self.sources[open.source];
        let draw = loop {
            // Two whole passes, and the rest of the one in which it began.
            if open.draws > 3 * source.part.rows {
                return Err(JobError::Data {
                    dataset: source.part.name.clone(),
                    message: format!(
                        "only {} of its {} rows can be read, and a sub-batch takes {}",
                        open.rows.len(),
                        source.rows,
                        self.options.sub_batch_size
                    ),
                });
            }
            open.draws += 1;
            let row = source.next(self.options.seed, &mut open);
            if !(open.is_in_next_pass && open.rows.contains(&row)) {
                break Draw {
                    part: open.source,
                    row,
                    pass: source.position.pass,
                };
            }
        };
        self.open = Some(open);
        Ok(Some(draw))
    }

    /// Takes the row that was drawn last into its sub-batch. Whether that is full now.
    pub fn accept(&mut self, draw: Draw) -> bool {
        let Some(open) = &mut self.open else { return false };
        open.rows.push(draw.row);
        if open.rows.len() < self.options.sub_batch_size {
            return false;
        }
        let continues = open.is_in_next_pass.then_some(open.source);
        self.open = None;
        let mut exhausted = self.sources.iter().map(|source| source.position.is_exhausted);
        let is_over = match self.options.stopping {
            Stopping::AllExhausted => exhausted.all(|exhausted| exhausted),
            Stopping::FirstExhausted => exhausted.any(|exhausted| exhausted),
        };
        if is_over {
            self.epoch += 1;
            for (index, source) in self.sources.iter_mut().enumerate() {
                source.position.is_exhausted = false;
                if continues != Some(index) && source.position.next > 0 {
                    source.begin_pass(Vec::new());
                }
            }
        }
        true
    }

    /// Where it is. Meant for between two sub-batches: one that is being filled is not part of it.
    pub fn position(&self) -> Position {
        Position {
            seed: self.options.seed,
            sub_batches: self.sub_batches,
            epoch: self.epoch,
            sources: self.sources.iter().map(|source| source.position.clone()).collect(),
        }
    }

    /// How many full batches of so many sub-batches there are in the epochs that are left, if no row is passed over. `None`
    /// where epochs are without number.
    pub fn batches_left(&self, sub_batches: usize) -> Option<u64> {
        self.options.epochs?;
        let (mut ahead, mut full) = (self.clone(), 0);
        while let Ok(Some(draw)) = ahead.draw() {
            full += u64::from(ahead.accept(draw));
        }
        Some(full / sub_batches.max(1) as u64)
    }

    /// The counts of a dataset, to add to.
    pub(super) fn counts(&mut self, part: usize) -> &mut SourcePosition {
        &mut self.sources[part].position
    }

    /// Begins a sub-batch: chooses its dataset.
    fn begin(&mut self) -> SubBatch {
        let sum: f64 = self.sources.iter().map(|source| source.part.weight).sum();
        let mut random = order::stream(self.options.seed, "sub-batch", "", [self.sub_batches, 0]);
        let mut at = order::unit(&mut random) * sum;
        self.sub_batches += 1;
        let chosen = self.sources.iter().position(|source| {
            at -= source.part.weight;
            at < 0.0
        });
        SubBatch {
            // By rounding the number may be past the last.
            source: chosen.unwrap_or(self.sources.len() - 1),
            rows: Vec::with_capacity(self.options.sub_batch_size),
            draws: 0,
            is_in_next_pass: false,
        }
    }
}

impl Source {
    /// The next row of the pass, or of the next pass.
    fn next(&mut self, seed: u64, open: &mut SubBatch) -> u32 {
        if self.position.next == self.rows {
            self.begin_pass(open.rows.clone());
            open.is_in_next_pass = true;
        }
        let order = match &self.order {
            Some(order) => order,
            None => {
                let order = self.ordered(seed);
                self.order.insert(order)
            }
        };
        let row = order[self.position.next as usize];
        self.position.next += 1;
        self.position.is_exhausted |= self.position.next == self.rows;
        row
    }

    fn begin_pass(&mut self, last: Vec<u32>) {
        self.position.pass += 1;
        self.position.next = 0;
        self.position.last = last;
        self.order = None;
    }

    fn ordered(&self, seed: u64) -> Arc<[u32]> {
        let mut random = order::stream(seed, "pass", &self.part.name, [self.position.pass, 0]);
        let order = order::permutation(&mut random, self.rows);
        if self.position.last.is_empty() {
            return order.into();
        }
        let is_last = |row: &u32| self.position.last.contains(row);
        let (last, mut first): (Vec<u32>, Vec<u32>) = order.into_iter().partition(is_last);
        first.extend(last);
        first.into()
    }
}
