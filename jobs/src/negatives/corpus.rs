//! What is searched through, in memory and exactly.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use candle_core::{Device, Tensor};

use super::{Neighbour, SHOWN_REASONS, Search};
use crate::data::{Dataset, Identity, Item, Vectors};
use crate::error::JobError;

/// How many items are multiplied with the queries at once.
const BLOCK: usize = 4096;

/// How many items are encoded at once.
const ENCODED_AT_ONCE: usize = 256;

/// Items with their vectors.
#[derive(Debug)]
pub struct Corpus {
    items: Vec<Item>,
    places: HashMap<Identity, usize>,
    dimension: usize,
    /// One vector behind the other.
    vectors: Vec<f32>,
    bad: u64,
    reasons: Vec<String>,
}

/// A candidate. The greatest is the worst: of a low score, and of those with the same, one that comes late.
#[derive(Debug, Clone, Copy)]
struct Scored {
    score: f32,
    place: usize,
}

impl Corpus {
    /// The items that rows of a dataset are searched for: distinct positives, negatives and candidates. Rows that cannot be read are
    /// counted.
    ///
    /// # Errors
    /// Those of [`Corpus::of`].
    pub fn of_dataset(
        dataset: &Dataset,
        vectors: &dyn Vectors,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, JobError> {
        let items = (0..dataset.rows()).flat_map(|row| match dataset.pair(row) {
            Ok(pair) => {
                let items = pair.positives.into_iter().chain(pair.negatives).chain(pair.candidates);
                items.map(Ok).collect()
            }
            Err(reason) => vec![Err(reason)],
        });
        Self::of(items, vectors, progress)
    }

    /// These items, each once, with their vectors. Those that cannot be read are counted and left out. `progress` gets the number
    /// of items that have one.
    ///
    /// # Errors
    /// [`JobError::Config`] if there is no item that can be read, and what encoding gives.
    pub fn of(
        items: impl Iterator<Item = Result<Item, String>>,
        vectors: &dyn Vectors,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, JobError> {
        let mut corpus = Self {
            items: Vec::new(),
            places: HashMap::new(),
            dimension: 0,
            vectors: Vec::new(),
            bad: 0,
            reasons: Vec::new(),
        };
        let mut seen = std::collections::HashSet::new();
        let mut waiting: Vec<(Identity, Item)> = Vec::new();
        for item in items {
            match item {
                Ok(item) => {
                    let identity = item.identity();
                    if seen.insert(identity.clone()) {
                        waiting.push((identity, item));
                    }
                }
                Err(reason) => corpus.leave_out(reason),
            }
            if waiting.len() == ENCODED_AT_ONCE {
                corpus.encode(std::mem::take(&mut waiting), vectors)?;
                progress(corpus.items.len() as u64);
            }
        }
        corpus.encode(waiting, vectors)?;
        progress(corpus.items.len() as u64);
        match corpus.items.is_empty() {
            false => Ok(corpus),
            true => Err(JobError::Config(format!(
                "the corpus has no item that can be read. Some of them: {}",
                corpus.reasons.join("; ")
            ))),
        }
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many items were left out, and why some of them were.
    pub fn left_out(&self) -> (u64, &[String]) {
        (self.bad, &self.reasons)
    }

    fn leave_out(&mut self, reason: String) {
        self.bad += 1;
        if self.reasons.len() < SHOWN_REASONS {
            self.reasons.push(reason);
        }
    }

    fn encode(&mut self, items: Vec<(Identity, Item)>, vectors: &dyn Vectors) -> Result<(), JobError> {
        if items.is_empty() {
            return Ok(());
        }
        let only: Vec<&Item> = items.iter().map(|(_, item)| item).collect();
        let encoded = vectors.vectors(&only)?;
        for ((identity, item), vector) in items.into_iter().zip(encoded) {
            match vector {
                Ok(vector) => {
                    self.dimension = vector.len();
                    self.vectors.extend(vector);
                    self.places.insert(identity, self.items.len());
                    self.items.push(item);
                }
                Err(reason) => self.leave_out(reason),
            }
        }
        Ok(())
    }
}

impl Search for Corpus {
    fn nearest(&self, queries: &[Vec<f32>], count: usize) -> Result<Vec<Vec<Neighbour>>, JobError> {
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let tensor = |vectors: &[f32]| {
            let shape = (vectors.len() / self.dimension, self.dimension);
            Tensor::from_slice(vectors, shape, &Device::Cpu)
        };
        let mut best: Vec<BinaryHeap<Scored>> = queries.iter().map(|_| BinaryHeap::with_capacity(count + 1)).collect();
        let queries = tensor(&queries.concat())?;
        for (block, vectors) in self.vectors.chunks(BLOCK * self.dimension).enumerate() {
            let scores = queries.matmul(&tensor(vectors)?.t()?)?.to_vec2::<f32>()?;
            for (best, scores) in best.iter_mut().zip(scores) {
                for (place, score) in (block * BLOCK..).zip(scores) {
                    let scored = Scored { score, place };
                    if best.len() < count || best.peek().is_some_and(|worst| scored < *worst) {
                        best.push(scored);
                    }
                    if best.len() > count {
                        best.pop();
                    }
                }
            }
        }
        let neighbours = best.into_iter().map(|best| {
            let sorted = best.into_sorted_vec().into_iter();
            let neighbours = sorted.map(|Scored { score, place }| Neighbour {
                item: self.items[place].clone(),
                score,
            });
            neighbours.collect()
        });
        Ok(neighbours.collect())
    }

    fn vector(&self, item: &Identity) -> Option<Vec<f32>> {
        let place = *self.places.get(item)?;
        Some(self.vectors[place * self.dimension..][..self.dimension].to_vec())
    }
}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.place.cmp(&other.place))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scored {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scored {}
