//! Numbers for how well rankings hold what they should, as VLM2Vec's `RankingMetrics` defines them.
//!
//! `jobs/reference/ranking_metrics.py` holds the tests to that class. Where it gives a choice: relevance is yes or no, the gain
//! of NDCG is linear, and each query counts the same.

use std::fmt;

/// How a ranking answers one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The places of what is relevant, from 1 and in order. What the ranking leaves out has none.
    places: Vec<usize>,
    /// How much is relevant, found or not.
    relevant: usize,
}

impl Judged {
    /// `places` are those of relevant items, from 1, in any order and each once; `relevant` is how many there are, left out ones
    /// among them.
    ///
    /// # Panics
    /// If there are more places than relevant items, or a place is 0.
    pub fn new(mut places: Vec<usize>, relevant: usize) -> Self {
        places.sort_unstable();
        assert!(
            places.len() <= relevant,
            "{} of {relevant} relevant items",
            places.len()
        );
        assert!(places.first() != Some(&0), "places are counted from 1");
        Self { places, relevant }
    }

    /// Judges a ranking, the best first and each item once, by the items that are relevant.
    pub fn of<T: PartialEq>(ranking: &[T], relevant: &[T]) -> Self {
        let places = ranking.iter().zip(1..).filter(|(item, _)| relevant.contains(item));
        Self::new(places.map(|(_, place)| place).collect(), relevant.len())
    }

    /// The best place of a relevant item, from 1; `None` if the ranking has none.
    pub fn best(&self) -> Option<usize> {
        self.places.first().copied()
    }

    /// What `measure` says of this one query, from 0 to 1.
    pub fn value(&self, measure: Measure) -> f64 {
        let k = measure.k.unwrap_or(usize::MAX);
        let found = &self.places[..self.places.partition_point(|&place| place <= k)];
        let share = |part: usize, whole: usize| part as f64 / whole as f64;
        let precision = share(found.len(), k);
        // Nothing to find is found in full.
        let recall = match self.relevant {
            0 => 1.0,
            relevant => share(found.len(), relevant),
        };
        match measure.metric {
            Metric::Hit => f64::from(!found.is_empty()),
            Metric::Precision => precision,
            Metric::Recall => recall,
            Metric::F1 if precision + recall == 0.0 => 0.0,
            Metric::F1 => 2.0 * (precision * recall) / (precision + recall),
            Metric::Mrr => found.first().map_or(0.0, |&place| 1.0 / place as f64),
            Metric::Map if found.is_empty() => 0.0,
            Metric::Map => {
                let precisions = found.iter().zip(1..).map(|(&place, hits)| share(hits, place));
                precisions.sum::<f64>() / self.relevant.min(k) as f64
            }
            Metric::Ndcg if found.is_empty() => 0.0,
            Metric::Ndcg => {
                let gain = |place: usize| 1.0 / (place as f64 + 1.0).log2();
                let ideal: f64 = (1..=self.relevant.min(k)).map(gain).sum();
                found.iter().map(|&place| gain(place)).sum::<f64>() / ideal
            }
        }
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Whether something relevant is among the first k.
    Hit,
    /// The share of the first k that is relevant.
    Precision,
    /// The share of the relevant that is among the first k.
    Recall,
    /// The harmonic mean of precision and recall.
    F1,
    /// The discounted gain of the first k, as a share of the best possible.
    Ndcg,
    /// The mean of the precisions at the relevant ones among the first k.
    Map,
    /// One through the place of the first relevant one among the first k.
    Mrr,
}

/// A metric over the first k of a ranking, or over all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Measure {
    /// What is measured.
    pub metric: Metric,
    /// Among how many; `None` is all.
    pub k: Option<usize>,
}

/// What an evaluation reports, in its order.
pub const REPORTED: [Measure; 21] = [
    Measure::at(Metric::Hit, 1),
    Measure::at(Metric::Hit, 5),
    Measure::at(Metric::Hit, 10),
    Measure::whole(Metric::Mrr),
    Measure::at(Metric::Mrr, 10),
    Measure::at(Metric::Ndcg, 1),
    Measure::at(Metric::Ndcg, 5),
    Measure::at(Metric::Ndcg, 10),
    Measure::at(Metric::Recall, 1),
    Measure::at(Metric::Recall, 5),
    Measure::at(Metric::Recall, 10),
    Measure::whole(Metric::Map),
    Measure::at(Metric::Map, 1),
    Measure::at(Metric::Map, 5),
    Measure::at(Metric::Map, 10),
    Measure::at(Metric::Precision, 1),
    Measure::at(Metric::Precision, 5),
    Measure::at(Metric::Precision, 10),
    Measure::at(Metric::F1, 1),
    Measure::at(Metric::F1, 5),
    Measure::at(Metric::F1, 10),
];

impl Measure {
    /// `metric` over the first `k`, which is above 0.
    pub const fn at(metric: Metric, k: usize) -> Self {
        Self { metric, k: Some(k) }
    }

    /// `metric` over whole rankings.
    pub const fn whole(metric: Metric) -> Self {
        Self { metric, k: None }
    }
}

/// As people write it: `hit@1`, `ndcg@5`, `mrr`.
impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.metric {
            Metric::Hit => "hit",
            Metric::Precision => "precision",
            Metric::Recall => "recall",
            Metric::F1 => "f1",
            Metric::Ndcg => "ndcg",
            Metric::Map => "map",
            Metric::Mrr => "mrr",
        })?;
        match self.k {
            Some(k) => write!(f, "@{k}"),
            None => Ok(()),
        }
    }
}

/// The means over many queries.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// How many queries.
    pub queries: usize,
    /// How many of them find something relevant at all.
    pub answered: usize,
    /// Each of [`REPORTED`], in its order, from 0 to 1.
    pub values: Vec<(Measure, f64)>,
}

impl Scores {
    /// The mean of each of [`REPORTED`]; all zero without a query.
    pub fn mean(judged: &[Judged]) -> Self {
        let mean = |measure| {
            let sum: f64 = judged.iter().map(|judged| judged.value(measure)).sum();
            sum / judged.len().max(1) as f64
        };
        Self {
            queries: judged.len(),
            answered: judged.iter().filter(|judged| judged.best().is_some()).count(),
            values: REPORTED.into_iter().map(|measure| (measure, mean(measure))).collect(),
        }
    }

    /// One of [`REPORTED`].
    pub fn get(&self, measure: Measure) -> Option<f64> {
        let value = self.values.iter().find(|(reported, _)| *reported == measure);
        value.map(|(_, value)| *value)
    }
}
