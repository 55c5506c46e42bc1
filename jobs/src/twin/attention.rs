//! Packed attention and rotary embedding with a graph, by candle's operations: for devices and types that have no kernels of ours.
//!
//! Scores are not kept: the way back computes them again, a run of equal sequences and a block of queries at a time, so that
//! memory grows with the tokens and not with their square.

use candle_core::{D, DType, Result, Tensor};
use sightstream_model::backbone::attention::{Pattern, Run, packed_attention};
use sightstream_model::backbone::rope::RotaryTable;

use super::graph::tie;

/// Scaled dot-product attention of packed sequences: `q` (queries, heads, head_dim), `k` and `v` (keys, kv_heads, head_dim).
///
/// # Errors
/// If the shapes do not go together, or the device fails.
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, pattern: &Pattern) -> Result<Tensor> {
    let (plain_q, plain_k, plain_v) = (q.detach(), k.detach(), v.detach());
    let output = packed_attention(&plain_q, &plain_k, &plain_v, pattern)?;
    let pattern = pattern.clone();
    tie(&[q, k, v], output, move |gradient, _| {
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        for run in pattern.runs() {
            let found = run_backward(&plain_q, &plain_k, &plain_v, gradient, run)?;
            for (parts, found) in parts.iter_mut().zip(found) {
                parts.push(found);
            }
        }
        parts.iter().map(|parts| Tensor::cat(parts, 0).map(Some)).collect()
    })
}

/// The gradients of a run's queries, keys and values, packed as they are.
fn run_backward(q: &Tensor, k: &Tensor, v: &Tensor, gradient: &Tensor, run: &Run) -> Result<[Tensor; 3]> {
    // (count * length, heads, head_dim) <-> (count, heads, length, head_dim)
    let split = |x: &Tensor, start: usize, length: usize| {
        let (_, heads, size) = x.dims3()?;
        let x = x.narrow(0, start, run.count * length)?;
        x.reshape((run.count, length, heads, size))?
            .transpose(1, 2)?
            .contiguous()
    };
    let join = |x: &Tensor| {
        let (count, heads, length, size) = x.dims4()?;
        x.transpose(1, 2)?.reshape((count * length, heads, size))
    };
    let (q, gradient) = (
        split(q, run.q_start, run.q_length)?,
        split(gradient, run.q_start, run.q_length)?,
    );
    let (k, v) = (
        split(k, run.k_start, run.k_length)?,
        split(v, run.k_start, run.k_length)?,
    );
    let (count, heads, q_length, size) = q.dims4()?;
    let (_, kv_heads, k_length, _) = k.dims4()?;
    let (groups, dtype) = (heads / kv_heads, q.dtype());
    let scale = 1.0 / (size as f64).sqrt();
    let (keys, values) = (k.transpose(2, 3)?.contiguous()?, v.transpose(2, 3)?.contiguous()?);
    let mut found_q = Vec::new();
    let (mut found_k, mut found_v): (Option<Tensor>, Option<Tensor>) = (None, None);
    for start in (0..q_length).step_by(run.block) {
        let rows = run.block.min(q_length - start);
        // All query heads of a key-value head in one product: (count, kv_heads, groups * rows, head_dim).
        let grouped = |x: &Tensor| {
            let x = x.narrow(2, start, rows)?.contiguous()?;
            x.reshape((count, kv_heads, groups * rows, size))
        };
        let (q, gradient) = (grouped(&q)?, grouped(&gradient)?);
        let mut scores = (q.matmul(&keys)?.to_dtype(DType::F32)? * scale)?;
        if let Some(mask) = run.mask(start, rows)? {
            scores = scores
                .reshape((count, kv_heads, groups, rows, k_length))?
                .broadcast_add(&mask)?
                .reshape((count, kv_heads, groups * rows, k_length))?;
        }
        let weights = candle_nn::ops::softmax_last_dim(&scores)?;
        let by_weight = gradient.matmul(&values)?.to_dtype(DType::F32)?;
        let mean = (&weights * &by_weight)?.sum_keepdim(D::Minus1)?;
        let by_score = ((&weights * by_weight.broadcast_sub(&mean)?)? * scale)?.to_dtype(dtype)?;
        found_q.push(by_score.matmul(&k)?.reshape((count, heads, rows, size))?);
        let added = |sum: Option<Tensor>, more: Tensor| match sum {
            Some(sum) => sum + more,
            None => Ok(more),
        };
        found_k = Some(added(found_k, by_score.t()?.matmul(&q)?)?);
        found_v = Some(added(found_v, weights.to_dtype(dtype)?.t()?.matmul(&gradient)?)?);
    }
    let (Some(found_k), Some(found_v)) = (found_k, found_v) else {
        candle_core::bail!("a sequence without queries");
    };
    Ok([join(&Tensor::cat(&found_q, 2)?)?, join(&found_k)?, join(&found_v)?])
}

/// A rotary table that turns there and back.
#[derive(Debug, Clone)]
pub struct Rotary {
    forth: RotaryTable,
    back: RotaryTable,
}

impl Rotary {
    /// # Errors
    /// If the device fails.
    pub fn new(table: RotaryTable) -> Result<Self> {
        Ok(Self {
            back: table.inverse()?,
            forth: table,
        })
    }

    /// The table.
    pub fn table(&self) -> &RotaryTable {
        &self.forth
    }

    /// The table of some of the tokens.
    ///
    /// # Errors
    /// If a row is out of range, or the device fails.
    pub fn select(&self, rows: &Tensor) -> Result<Self> {
        Ok(Self {
            forth: self.forth.select(rows)?,
            back: self.back.select(rows)?,
        })
    }

    /// Turns `x` (tokens, heads, head_dim). The way back turns back.
    ///
    /// # Errors
    /// If the shapes do not go together, or the device fails.
    pub fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let output = self.forth.rotate(&x.detach())?;
        let back = self.back.clone();
        tie(&[x], output, move |gradient, _| Ok(vec![Some(back.rotate(gradient)?)]))
    }
}
