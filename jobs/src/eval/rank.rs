//! At which places the right items stand.

use rayon::prelude::*;

use super::metrics::{Judged, Scores};
use super::task::{Question, Task};
use crate::error::JobError;

/// Queries that share a walk through the corpus.
const QUERIES_AT_ONCE: usize = 8;

/// Sums of a product that are kept apart, so that a CPU adds several at once.
const LANES: usize = 16;

/// What came of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Among all that is searched.
    pub global: Scores,
    /// Among the query's own positives and candidates; `None` if no query has candidates or negatives. Queries without are left
    /// out.
    pub local: Option<Scores>,
    /// How many items are searched, those that cannot be read left out.
    pub candidates: usize,
    /// The items without a vector, by their number in [`Task::items`].
    pub unreadable: Vec<Unreadable>,
    /// One for each of [`Task::questions`].
    pub details: Vec<Detail>,
}

/// An item without a vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its number in [`Task::items`].
    pub item: usize,
    /// Why.
    pub reason: String,
}

/// How one query went, among all that is searched.
#[derive(Debug, Clone, PartialEq)]
pub struct Detail {
    /// The query's number in [`Task::items`].
    pub query: usize,
    /// The place of its best positive, from 1; `None` if the query or all its positives cannot be read.
    pub place: Option<usize>,
    /// That positive and its cosine.
    pub positive: Option<(usize, f32)>,
    /// The item at the first place and its cosine.
    pub first: Option<(usize, f32)>,
}

impl<T> Task<T> {
    /// Ranks by cosine. `vectors` has one for each of [`Task::items`], or why there is none.
    ///
    /// Of equal scores the wrong items come first, so that a model which gives all things one vector scores nothing by it. What
    /// has no vector has no place: a query whose positive cannot be read has missed it, and a query that cannot be read has missed
    /// all.
    ///
    /// # Errors
    /// [`JobError::Config`] for vectors of several lengths, or not one for each item.
    pub fn rank(&self, vectors: Vec<Result<Vec<f32>, String>>) -> Result<Evaluation, JobError> {
        let vectors = Vectors::new(vectors, self.items().len())?;
        let searched: Vec<usize> = self
            .corpus()
            .iter()
            .copied()
            .filter(|&item| vectors.get(item).is_some())
            .collect();
        let questions = self.questions();
        let found: Vec<Found> = questions
            .par_chunks(QUERIES_AT_ONCE)
            .flat_map_iter(|questions| vectors.search(questions, &searched))
            .collect();
        let local: Vec<Judged> = questions
            .par_iter()
            .filter(|question| !question.others.is_empty())
            .map(|question| {
                let own = question.positives.iter().chain(&question.others).copied();
                let own: Vec<usize> = own.filter(|&item| vectors.get(item).is_some()).collect();
                vectors.search(std::slice::from_ref(question), &own).remove(0).judged
            })
            .collect();
        let (judged, details): (Vec<_>, Vec<_>) = found.into_iter().map(|found| (found.judged, found.detail)).unzip();
        Ok(Evaluation {
            global: Scores::mean(&judged),
            local: (!local.is_empty()).then(|| Scores::mean(&local)),
            candidates: searched.len(),
            unreadable: vectors.unreadable,
            details,
        })
    }
}

/// How one query went.
struct Found {
    judged: Judged,
    detail: Detail,
}

/// The vectors of all items.
struct Vectors {
    vectors: Vec<Option<Vec<f32>>>,
    unreadable: Vec<Unreadable>,
}

impl Vectors {
    fn new(vectors: Vec<Result<Vec<f32>, String>>, items: usize) -> Result<Self, JobError> {
        if vectors.len() != items {
            let message = format!("{} vectors for {items} items", vectors.len());
            return Err(JobError::Config(message));
        }
        let mut known = Self {
            vectors: Vec::with_capacity(items),
            unreadable: Vec::new(),
        };
        let mut length = None;
        for (item, vector) in vectors.into_iter().enumerate() {
            let vector = vector.and_then(|vector| match vector.iter().all(|number| number.is_finite()) {
                true => Ok(vector),
                false => Err("its vector is not of numbers".to_string()),
            });
            match vector {
                Ok(vector) => {
                    let first = *length.get_or_insert(vector.len());
                    if vector.len() != first {
                        let message = format!("vectors of {first} and of {} numbers cannot be compared", vector.len());
                        return Err(JobError::Config(message));
                    }
                    known.vectors.push(Some(unit(vector)));
                }
                Err(reason) => {
                    known.unreadable.push(Unreadable { item, reason });
                    known.vectors.push(None);
                }
            }
        }
        Ok(known)
    }

    fn get(&self, item: usize) -> Option<&[f32]> {
        self.vectors[item].as_deref()
    }

    /// How each question fares among `candidates`, all of which have vectors.
    fn search(&self, questions: &[Question], candidates: &[usize]) -> Vec<Found> {
        let queries: Vec<Option<&[f32]>> = questions.iter().map(|question| self.get(question.query)).collect();
        let mut scores = vec![Vec::with_capacity(candidates.len()); questions.len()];
        for &candidate in candidates {
            let candidate = self.get(candidate).expect("candidates have vectors");
            for (query, scores) in queries.iter().zip(&mut scores) {
                if let Some(query) = query {
                    scores.push(dot(query, candidate));
                }
            }
        }
        questions
            .iter()
            .zip(&scores)
            .map(|(question, scores)| judge(question, candidates, scores))
            .collect()
    }
}

/// Places by scores, one for each of `candidates`, or none at all where the query cannot be read.
fn judge(question: &Question, candidates: &[usize], scores: &[f32]) -> Found {
    let scored = || candidates.iter().copied().zip(scores.iter().copied());
    let is_positive = |item: usize| question.positives.binary_search(&item).is_ok();
    let mut positives: Vec<(usize, f32)> = scored().filter(|(item, _)| is_positive(*item)).collect();
    // The best first; equal ones in the order of their numbers.
    positives.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    // How many wrong ones stand before each.
    let mut before = vec![0; positives.len()];
    let mut wrong: Option<(usize, f32)> = None;
    for (item, score) in scored().filter(|(item, _)| !is_positive(*item)) {
        let beaten = positives.partition_point(|(_, positive)| *positive > score);
        if let Some(first) = before.get_mut(beaten) {
            *first += 1;
        }
        if wrong.is_none_or(|(_, best)| score > best) {
            wrong = Some((item, score));
        }
    }
    let mut all_before = 0;
    let places: Vec<usize> = before
        .iter()
        .zip(1..)
        .map(|(wrong, rank)| {
            all_before += wrong;
            all_before + rank
        })
        .collect();
    let positive = positives.first().copied();
    let place = places.first().copied();
    Found {
        detail: Detail {
            query: question.query,
            place,
            positive,
            first: if place == Some(1) { positive } else { wrong.or(positive) },
        },
        judged: Judged::new(places, question.positives.len()),
    }
}

/// `vector` at length one, so that products are cosines.
fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = dot(&vector, &vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|number| *number /= length);
    }
    vector
}

/// The product of two vectors. Its sums are always in one order, so that equal vectors have equal scores wherever they stand, and
/// ties are ties.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_lanes
        .remainder()
        .iter()
        .zip(b_lanes.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}
