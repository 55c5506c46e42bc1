//! The gradients of a whole batch by one graph and candle's own operations: what GradCache has to give.

// Each file of tests uses another part of it.
#![allow(dead_code)]

use candle_core::{DType, Device, Tensor};
use sightstream_jobs::objective::{GradCache, InfoNce, seed};
use sightstream_jobs::{Embed, Example, JobError};
use sightstream_model::processor::ModelInput;

pub fn numbers(tensor: &Tensor) -> Vec<f32> {
    let numbers = tensor
        .to_dtype(DType::F32)
        .and_then(|tensor| tensor.flatten_all()?.to_vec1());
    numbers.expect("the CPU's numbers can be read")
}

/// The largest difference, relative to the largest of the expected numbers.
pub fn difference(found: &Tensor, expected: &Tensor) -> f32 {
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (numbers(found), numbers(expected));
    let largest = expected.iter().fold(0.0f32, |most, number| most.max(number.abs()));
    assert!(largest > 0.0, "nothing to compare");
    found
        .iter()
        .zip(&expected)
        .fold(0.0f32, |most, (one, other)| most.max((one - other).abs()))
        / largest
}

/// Every parameter's gradient, chunk by chunk, is what one graph over the whole batch gives, up to `bound`.
pub fn assert_same_gradients(
    model: &dyn Embed,
    batch: &[Example],
    objective: InfoNce,
    cache: GradCache,
    dropout: Option<u64>,
    bound: f32,
) -> Result<(), JobError> {
    let outcome = cache.gradients(model, batch, &objective, dropout)?;
    let loss = loss(model, batch, objective, cache, dropout)?;
    let mut expected = loss.backward()?;
    let loss = loss.to_scalar::<f32>()?;
    assert!(
        (outcome.loss - loss).abs() < bound * loss,
        "{cache:?}: a loss of {} and {loss}",
        outcome.loss
    );
    for (parameter, found) in model.parameters().iter().zip(outcome.gradients.iter()) {
        let name = &parameter.name;
        let expected = expected.remove(&parameter.var);
        let (Some(found), Some(expected)) = (found, expected) else {
            panic!("{name} has no gradient")
        };
        let off = difference(found, &expected);
        assert!(off < bound, "{cache:?}, dropout {dropout:?}: {name} is off by {off}");
    }
    Ok(())
}

/// The loss with its graph. Vectors are made in the same chunks, so that dropout draws the same masks.
fn loss(
    model: &dyn Embed,
    batch: &[Example],
    objective: InfoNce,
    cache: GradCache,
    dropout: Option<u64>,
) -> Result<Tensor, JobError> {
    let side = |inputs: Vec<&ModelInput>, size: Option<usize>, side: u64| -> Result<Tensor, JobError> {
        let size = size.unwrap_or(inputs.len());
        let mut vectors = Vec::new();
        for (index, chunk) in inputs.chunks(size).enumerate() {
            let dropout = dropout.map(|whole| seed::derive(whole, [side, (index * size) as u64]));
            vectors.push(model.embed(chunk, dropout)?);
        }
        Ok(Tensor::cat(&vectors, 0)?)
    };
    let queries = side(
        batch.iter().map(|example| &example.query).collect(),
        cache.query_chunk,
        0,
    )?;
    let targets = side(
        batch.iter().flat_map(|example| &example.targets).collect(),
        cache.target_chunk,
        1,
    )?;
    let scores = (queries.matmul(&targets.t()?)? / objective.temperature)?;
    let (count, per_query) = (batch.len(), batch[0].targets.len());
    let cross_entropy = |scores: &Tensor, right: &Tensor| {
        let own = scores.gather(&right.reshape((count, 1))?, 1)?.squeeze(1)?;
        (scores.log_sum_exp(1)? - own)?.mean_all()
    };
    let right: Vec<u32> = (0..count).map(|row| (row * per_query) as u32).collect();
    let right = Tensor::from_vec(right, count, &Device::Cpu)?;
    let loss = cross_entropy(&scores, &right)?;
    if !objective.symmetric {
        return Ok(loss);
    }
    let columns = scores.index_select(&right, 1)?.t()?.contiguous()?;
    let back = cross_entropy(&columns, &Tensor::arange(0u32, count as u32, &Device::Cpu)?)?;
    Ok(((loss + back)? / 2.0)?)
}
