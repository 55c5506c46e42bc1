//! Vectors of items, by an encoder that does not train.

use std::sync::Arc;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use sightstream_model::encoder::Encoder;
use sightstream_model::processor::ModelInput;
use sightstream_model::service::input_cost;

use super::item::Item;
use super::prepare::{PrepareError, PrepareOptions, Preparer};
use crate::error::JobError;

/// How much goes to the device at once, as [`input_cost`] counts it.
const BATCH_COST: usize = 16_384;

/// What makes vectors of items.
pub trait Vectors {
    /// A unit vector for each item, or why it has none.
    ///
    /// # Errors
    /// What keeps all items from having one.
    fn vectors(&self, items: &[&Item]) -> Result<Vec<Result<Vec<f32>, String>>, JobError>;
}

impl<F: Fn(&[&Item]) -> Result<Vec<Result<Vec<f32>, String>>, JobError>> Vectors for F {
    fn vectors(&self, items: &[&Item]) -> Result<Vec<Result<Vec<f32>, String>>, JobError> {
        self(items)
    }
}

/// An [`Encoder`] with what prepares its inputs.
#[derive(Debug)]
pub struct ItemEncoder {
    encoder: Arc<Encoder>,
    preparer: Preparer,
    // After the preparer: decoding processes end with these threads.
    pool: ThreadPool,
}

impl ItemEncoder {
    /// An encoder whose inputs so many threads prepare.
    ///
    /// # Errors
    /// [`JobError::Model`] for options that cannot be used, [`JobError::Config`] where threads cannot be started.
    pub fn new(encoder: Arc<Encoder>, options: &PrepareOptions, threads: usize) -> Result<Self, JobError> {
        let pool = ThreadPoolBuilder::new().num_threads(threads.max(1));
        Ok(Self {
            preparer: Preparer::new(options, encoder.processor())?,
            encoder,
            pool: pool
                .build()
                .map_err(|error| JobError::Config(format!("workers: threads cannot be started: {error}")))?,
        })
    }
}

impl Vectors for ItemEncoder {
    fn vectors(&self, items: &[&Item]) -> Result<Vec<Result<Vec<f32>, String>>, JobError> {
        let mut vectors = Vec::with_capacity(items.len());
        // A few for each thread, so that pixels do not pile up.
        for some in items.chunks(4 * self.pool.current_num_threads()) {
            let prepared: Vec<Result<ModelInput, PrepareError>> = self
                .pool
                .install(|| some.par_iter().map(|item| self.preparer.prepare(item)).collect());
            let mut inputs = Vec::new();
            let mut reasons = Vec::new();
            for prepared in prepared {
                reasons.push(match prepared {
                    Ok(input) => {
                        inputs.push(input);
                        None
                    }
                    Err(PrepareError::Media(error)) => Some(error.to_string()),
                    Err(PrepareError::Unavailable(why)) => return Err(JobError::Config(why)),
                });
            }
            let mut encoded = self.encode(inputs)?.into_iter();
            vectors.extend(reasons.into_iter().map(|reason| match reason {
                None => Ok(encoded.next().expect("a vector for each input")),
                Some(reason) => Err(reason),
            }));
        }
        Ok(vectors)
    }
}

impl ItemEncoder {
    /// In batches that the device can hold.
    fn encode(&self, mut inputs: Vec<ModelInput>) -> Result<Vec<Vec<f32>>, JobError> {
        let mut vectors = Vec::with_capacity(inputs.len());
        while !inputs.is_empty() {
            let mut cost = 0;
            let fitting = inputs.iter().take_while(|input| {
                cost += input_cost(input);
                cost <= BATCH_COST
            });
            let count = fitting.count().max(1);
            let rest = inputs.split_off(count);
            vectors.extend(self.encoder.encode(&inputs)?);
            inputs = rest;
        }
        Ok(vectors)
    }
}
