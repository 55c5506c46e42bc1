//! The vector of a whole that has parts: each part is a request of its own, and their vectors are merged.
//!
//! A whole that waits for its parts holds no place that a part needs, so that the parts of one medium go on where a single
//! place is left. It asks for some of them at a time, and waits its turn among other wholes: a document of a thousand pages
//! neither fills the queue for others, nor the memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::sync::Semaphore;

use super::flight::{Outcome, Vector};
use super::options::Merge;
use super::pipeline::{Pipeline, acquire_many};
use super::request::Request;
use super::{EmbedError, ServiceOptions, metrics};
use crate::error::MediaError;
use crate::media::{Parts, Segmentation};
use crate::reference::{Fragment, MediaReference};

/// How many parts of one medium are asked for at once.
const PARTS_AT_ONCE: usize = 32;

/// How many parts of all wholes are asked for at once. Few media at a time, so that their files stay in the cache and open.
const PARTS_OF_ALL: usize = 256;

/// The most parts of one medium: a week of video. A broken file may claim any length.
const MOST_PARTS: usize = 20_160;

/// How often the log tells of parts that were left out.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// How wholes are taken apart and put together.
#[derive(Debug)]
pub(super) struct Wholes {
    segmentation: Segmentation,
    merge: Merge,
    turns: Semaphore,
    /// When the log last told of parts that were left out.
    told: Mutex<Option<Instant>>,
}

impl Wholes {
    pub(super) fn new(options: &ServiceOptions) -> Self {
        Self {
            segmentation: options.segmentation,
            merge: options.merge,
            turns: Semaphore::new(PARTS_OF_ALL),
            told: Mutex::default(),
        }
    }

    /// The parts' fragments, in order: none for what is one input.
    ///
    /// # Errors
    /// [`MediaError::TooLarge`] for more than anybody means.
    pub(super) fn fragments(
        &self,
        parts: Parts,
        reference: &MediaReference,
    ) -> Result<impl ExactSizeIterator<Item = Fragment> + Send + use<>, MediaError> {
        let count = parts.count(&self.segmentation);
        if count > MOST_PARTS {
            return Err(MediaError::TooLarge {
                name: reference.to_string(),
                message: format!("{count} parts; the limit is {MOST_PARTS}"),
            });
        }
        let fragments: Vec<Fragment> = parts.fragments(&self.segmentation).collect();
        Ok(fragments.into_iter())
    }

    /// Tells the log, once a minute, that parts of a medium were left out.
    fn tell(&self, reference: &MediaReference, failed: usize, parts: usize, first: &EmbedError) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            *told = Some(Instant::now());
            tracing::warn!(
                medium = %reference,
                failed,
                parts,
                %first,
                "parts of a medium have no vector, and were left out of its own"
            );
        }
    }
}

/// Vectors on their way to be one.
#[derive(Debug)]
struct Merged {
    merge: Merge,
    numbers: Vec<f64>,
}

impl Merged {
    fn new(merge: Merge) -> Self {
        Self {
            merge,
            numbers: Vec::new(),
        }
    }

    fn add(&mut self, vector: &[f32]) {
        if self.numbers.is_empty() {
            self.numbers.extend(vector.iter().copied().map(f64::from));
            return;
        }
        for (merged, number) in self.numbers.iter_mut().zip(vector.iter().copied().map(f64::from)) {
            *merged = match self.merge {
                Merge::Max => merged.max(number),
                // The length goes with normalising.
                Merge::Centroid => *merged + number,
            };
        }
    }

    /// Of unit length.
    fn finish(self) -> Outcome {
        let length = self.numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
        if length == 0.0 {
            return Err(EmbedError::Device(
                "the vectors of the parts cancel each other out".into(),
            ));
        }
        Ok(self.numbers.iter().map(|number| (number / length) as f32).collect())
    }
}

impl Pipeline {
    /// The vector of the medium that `request` names as a whole.
    pub(super) async fn whole(
        self: &Arc<Self>,
        request: &Request,
        reference: &MediaReference,
        parts: Parts,
    ) -> Outcome {
        let fragments = self.wholes.fragments(parts, reference)?;
        let count = fragments.len();
        if count == 0 {
            return Err(EmbedError::Media(MediaError::Corrupt {
                name: reference.to_string(),
                message: "it is empty".into(),
            }));
        }
        let _turn = acquire_many(&self.wholes.turns, count.min(PARTS_AT_ONCE)).await;
        let vectors = fragments.map(|part| self.part(request.of_part(part), reference.with_fragment(part)));
        let mut vectors = futures::stream::iter(vectors).buffered(PARTS_AT_ONCE);
        let mut merged = Merged::new(self.wholes.merge);
        let (mut failed, mut first) = (0, None);
        while let Some(outcome) = vectors.next().await {
            match outcome {
                Ok(vector) => merged.add(&vector),
                Err(EmbedError::Media(error)) if is_of_the_content(&error) => {
                    metrics::part_failed(error.reason());
                    failed += 1;
                    let first = &*first.get_or_insert(error);
                    if failed * 2 > count {
                        return Err(EmbedError::Parts {
                            failed,
                            parts: count,
                            first: Box::new(first.clone()),
                        });
                    }
                }
                Err(other) => return Err(other),
            }
        }
        if let Some(first) = first {
            self.wholes.tell(reference, failed, count, &first.into());
        }
        merged.finish()
    }

    /// The vector of a part, shared with whoever else asks for it. Dropping this gives the part up.
    async fn part(self: &Arc<Self>, request: Request, reference: MediaReference) -> Result<Vector, EmbedError> {
        let (seat, flight) = self.flights.join(request, Some(reference))?;
        match flight {
            Some(flight) => {
                tokio::spawn(Arc::clone(self).launch(flight));
            }
            None => metrics::part_vector_shared(),
        }
        seat.outcome().await
    }
}

/// Whether an error is about what a part holds, so that the other parts may well have vectors.
fn is_of_the_content(error: &MediaError) -> bool {
    match error {
        MediaError::TooLarge { .. }
        | MediaError::Unsupported { .. }
        | MediaError::Corrupt { .. }
        | MediaError::Panicked { .. }
        | MediaError::Crashed { .. }
        | MediaError::DecodeTimeout { .. }
        | MediaError::DecodeMemory { .. } => true,
        MediaError::InvalidReference { .. }
        | MediaError::NotFound { .. }
        | MediaError::Denied { .. }
        | MediaError::NotAllowed { .. }
        | MediaError::Tls { .. }
        | MediaError::Timeout { .. }
        | MediaError::Unavailable { .. }
        | MediaError::Http { .. }
        | MediaError::Text { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(merge: Merge, vectors: &[[f32; 3]]) -> Vector {
        let mut merged = Merged::new(merge);
        for vector in vectors {
            merged.add(vector);
        }
        merged.finish().expect("they have a direction")
    }

    #[test]
    fn vectors_merge_by_their_largest_numbers_or_their_sum_and_have_unit_length() {
        let vectors = [[0.6, 0.0, -0.8], [0.0, 0.8, -0.6], [0.0, 0.6, -0.8]];
        // 0.6, 0.8 and -0.6: their squares make 1.36.
        let length = 1.36_f32.sqrt();
        for (number, expected) in merged(Merge::Max, &vectors).iter().zip([0.6, 0.8, -0.6]) {
            assert!((number - expected / length).abs() < 1e-6, "{number}");
        }
        // 0.6, 1.4 and -2.2.
        let length = (0.36_f32 + 1.96 + 4.84).sqrt();
        for (number, expected) in merged(Merge::Centroid, &vectors).iter().zip([0.6, 1.4, -2.2]) {
            assert!((number - expected / length).abs() < 1e-6, "{number}");
        }
        let mut opposite = Merged::new(Merge::Centroid);
        opposite.add(&[1.0, 0.0]);
        opposite.add(&[-1.0, 0.0]);
        assert_eq!(opposite.finish().expect_err("no direction").reason(), "device");
    }
}
