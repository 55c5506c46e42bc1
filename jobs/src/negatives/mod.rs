//! Hard negatives: what the current model takes for right, and is not.
//!
//! [`mine`] looks for the nearest neighbours of each query of a file of pairs, leaves out what the row says is right, and writes the
//! rows with what is left as their negatives.

mod corpus;

use std::collections::HashSet;
use std::path::Path;

use crate::data::{Dataset, Identity, Item, Pair, PairWriter, Vectors};
use crate::error::JobError;
use crate::whole::failure;
pub use corpus::Corpus;

/// How many reasons of items and rows that were left out are kept.
const SHOWN_REASONS: usize = 5;

/// What finds the neighbours of a vector: a [`Corpus`], or a collection elsewhere.
pub trait Search {
    /// The nearest neighbours of each query, the nearest first: at most `count`.
    ///
    /// # Errors
    /// What keeps it from finding any.
    fn nearest(&self, queries: &[Vec<f32>], count: usize) -> Result<Vec<Vec<Neighbour>>, JobError>;

    /// The vector of an item, where it is known without encoding it.
    fn vector(&self, item: &Identity) -> Option<Vec<f32>> {
        let _ = item;
        None
    }
}

/// What was found near a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    /// What it is.
    pub item: Item,
    /// Its cosine similarity to the query.
    pub score: f32,
}

/// How negatives are chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct MineOptions {
    /// How many each row gets.
    pub negatives: usize,
    /// How many neighbours of each query are looked at: those that are left out make room for the next.
    pub depth: usize,
    /// So many of the nearest neighbours that are not known to be right are passed over: they may be right too.
    pub skip: usize,
    /// A neighbour whose score is above this share of the best positive's is left out: it may be right too, and unknown.
    pub max_positive_share: Option<f32>,
    /// Whether the negatives that a row has stay, before those that are found. Else these take their place.
    pub keep: bool,
    /// How many rows are worked on at once.
    pub rows_at_once: usize,
    /// The share of rows that may be left out because they cannot be read. With more, there is no file.
    pub max_bad_share: f64,
}

impl Default for MineOptions {
    /// Four negatives among 50 neighbours, in place of what was there; no score is too high, and one row of a hundred may be bad.
    fn default() -> Self {
        Self {
            negatives: 4,
            depth: 50,
            skip: 0,
            max_positive_share: None,
            keep: false,
            rows_at_once: 256,
            max_bad_share: 0.01,
        }
    }
}

/// What mining did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mined {
    /// Rows of the file that was written.
    pub rows: u64,
    /// Negatives that were found, in all rows.
    pub negatives: u64,
    /// Rows with fewer of them than asked for.
    pub short_rows: u64,
    /// Neighbours that were left out because the row says that they are right, or that they are the query.
    pub right: u64,
    /// Neighbours that were left out because they are among the nearest, or their score is too close to that of what is right.
    pub too_close: u64,
    /// Rows that are not in the file because they, their query or their positives cannot be read.
    pub bad_rows: u64,
    /// Why, of some of them.
    pub reasons: Vec<String>,
}

/// Writes the rows of a dataset with mined negatives to `output`, which is whole or absent. `progress` gets the number of rows that
/// are done.
///
/// # Errors
/// [`JobError::Config`] for options that cannot be followed; [`JobError::Data`] where too many rows are bad, or are none that a file
/// of pairs can hold; what encoding, searching and writing give.
pub fn mine(
    dataset: &Dataset,
    vectors: &dyn Vectors,
    search: &dyn Search,
    output: &Path,
    options: &MineOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Mined, JobError> {
    options.validate()?;
    let absolute = std::path::absolute(output).map_err(failure(output))?;
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let mut writer = PairWriter::create(output)?;
    let mut mined = Mined::default();
    for start in (0..dataset.rows()).step_by(options.rows_at_once) {
        let rows = start..(start + options.rows_at_once).min(dataset.rows());
        let mut pairs = Vec::with_capacity(rows.len());
        for row in rows.clone() {
            match dataset.pair(row) {
                Ok(pair) => pairs.push(pair),
                Err(reason) => mined.leave_out(reason),
            }
        }
        for pair in options.mined(pairs, vectors, search, &mut mined)? {
            let row = pair.to_row(folder).ok_or_else(|| JobError::Data {
                dataset: dataset.name().to_owned(),
                message:
                    "its rows hold pixels, or words around them, which a file of pairs cannot; mine a dataset of pairs"
                        .into(),
            })?;
            writer.write(&row)?;
            mined.rows += 1;
        }
        progress(rows.end as u64);
    }
    if mined.bad_rows as f64 > options.max_bad_share * dataset.rows() as f64 || mined.rows == 0 {
        return Err(JobError::Data {
            dataset: dataset.name().to_owned(),
            message: format!(
                "{} of {} rows could not be read, more than max_bad_share ({}) allows. Some of them: {}",
                mined.bad_rows,
                dataset.rows(),
                options.max_bad_share,
                mined.reasons.join("; ")
            ),
        });
    }
    writer.finish()?;
    Ok(mined)
}

impl Mined {
    fn leave_out(&mut self, reason: String) {
        self.bad_rows += 1;
        if self.reasons.len() < SHOWN_REASONS {
            self.reasons.push(reason);
        }
    }
}

impl MineOptions {
    fn validate(&self) -> Result<(), JobError> {
        let refused = |message: String| Err(JobError::Config(message));
        if self.negatives == 0 || self.rows_at_once == 0 {
            return refused("negatives: 0 leaves nothing to do; write a number above 0".into());
        }
        if self.depth < self.skip + self.negatives {
            return refused(format!(
                "depth: {} neighbours cannot give {} negatives after {} that are passed over; raise it",
                self.depth, self.negatives, self.skip
            ));
        }
        if self
            .max_positive_share
            .is_some_and(|share| share.is_nan() || share <= 0.0)
        {
            return refused("max_positive_share: write a share above 0, such as 0.95, or leave it out".into());
        }
        Ok(())
    }

    /// The pairs that can be read, with their negatives.
    fn mined(
        &self,
        pairs: Vec<Pair>,
        vectors: &dyn Vectors,
        search: &dyn Search,
        mined: &mut Mined,
    ) -> Result<Vec<Pair>, JobError> {
        let mut queries = Vec::with_capacity(pairs.len());
        let mut readable = Vec::with_capacity(pairs.len());
        let items: Vec<&Item> = pairs.iter().map(|pair| &pair.query).collect();
        let encoded = vectors.vectors(&items)?;
        for (pair, vector) in pairs.into_iter().zip(encoded) {
            match vector {
                Ok(vector) => {
                    readable.push(pair);
                    queries.push(vector);
                }
                Err(reason) => mined.leave_out(reason),
            }
        }
        let limits = self.limits(&readable, &queries, vectors, search)?;
        let found = search.nearest(&queries, self.depth)?;
        let mut done = Vec::with_capacity(readable.len());
        for ((mut pair, limit), neighbours) in readable.into_iter().zip(limits).zip(found) {
            match limit {
                Ok(limit) => {
                    self.choose(&mut pair, limit, neighbours, mined);
                    done.push(pair);
                }
                Err(reason) => mined.leave_out(reason),
            }
        }
        Ok(done)
    }

    /// The score above which a neighbour of each query is left out; or why the row is, where a positive of it cannot be read. What the
    /// search knows was read before.
    fn limits(
        &self,
        pairs: &[Pair],
        queries: &[Vec<f32>],
        vectors: &dyn Vectors,
        search: &dyn Search,
    ) -> Result<Vec<Result<f32, String>>, JobError> {
        let positives: Vec<&Item> = pairs.iter().flat_map(|pair| &pair.positives).collect();
        let mut known: Vec<Option<Vec<f32>>> = positives.iter().map(|item| search.vector(&item.identity())).collect();
        let unknown: Vec<&Item> = positives
            .iter()
            .zip(&known)
            .filter_map(|(item, known)| known.is_none().then_some(*item))
            .collect();
        let mut encoded = match unknown.is_empty() {
            true => Vec::new(),
            false => vectors.vectors(&unknown)?,
        }
        .into_iter();
        let mut all = known.iter_mut().map(|known| match known.take() {
            Some(vector) => Ok(vector),
            None => encoded.next().expect("a vector for each item"),
        });
        let limits = pairs.iter().zip(queries).map(|(pair, query)| {
            let own: Vec<Result<Vec<f32>, String>> = all.by_ref().take(pair.positives.len()).collect();
            let mut best = f32::NEG_INFINITY;
            for vector in own {
                best = best.max(query.iter().zip(vector?).map(|(a, b)| a * b).sum());
            }
            Ok(self.max_positive_share.map_or(f32::INFINITY, |share| share * best))
        });
        Ok(limits.collect())
    }

    /// Gives a pair its negatives.
    fn choose(&self, pair: &mut Pair, limit: f32, neighbours: Vec<Neighbour>, mined: &mut Mined) {
        if !self.keep {
            pair.negatives.clear();
        }
        let right = [&pair.query].into_iter().chain(&pair.positives).map(Item::identity);
        let right: HashSet<Identity> = right.collect();
        let mut there: HashSet<Identity> = pair.negatives.iter().map(Item::identity).collect();
        let (mut found, mut passed) = (0, 0);
        for Neighbour { item, score } in neighbours {
            if found == self.negatives {
                break;
            }
            let identity = item.identity();
            if right.contains(&identity) {
                mined.right += 1;
            } else if passed < self.skip {
                passed += 1;
                mined.too_close += 1;
            } else if score > limit {
                mined.too_close += 1;
            } else if there.insert(identity) {
                pair.negatives.push(item);
                found += 1;
            }
        }
        mined.negatives += found as u64;
        mined.short_rows += u64::from(found < self.negatives);
    }
}
