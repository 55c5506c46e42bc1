//! The way back through packed attention: scores are computed again, some queries at a time, and never leave a core's cache.

use gemm::Parallelism;
use pulp::{Arch, Simd, WithSimd};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use sightstream_model::backbone::cpu::{Attention, Heads, Rotary, Sequence, exp};

use super::buffers::Buffer;
use super::matrix::{Matrix, MatrixMut, multiply};
use super::norm::dot;

/// The most scores that a core holds at once, twice: 512 KiB.
const MOST_SCORES: usize = 1 << 16;

/// The fewest queries of a block, however many keys they see.
const FEWEST_QUERIES: usize = 16;

/// Gradients in the order of the packed rows.
pub struct Gradients {
    /// (queries, heads · size), not turned; empty where they are part of `kv`.
    pub q: Buffer,
    /// (keys, 2 · kv_heads · size): of the keys, not turned, and the values. With the queries' in front of them where every token
    /// has one.
    pub kv: Buffer,
}

/// The gradients of what `attention` read, from `gradient`, that of its result (queries, heads · size). With `joined`, queries
/// are given in the rows of the keys and values: every token then is a query.
pub fn back(attention: &Attention<'_>, gradient: &[f32], joined: bool) -> Gradients {
    let Attention {
        heads, kv_heads, size, ..
    } = *attention;
    let (q_width, kv_width) = (heads * size, 2 * kv_heads * size);
    let rows = |length: fn(&Sequence) -> usize| attention.sequences.iter().map(length).sum::<usize>();
    let (queries, keys) = (rows(|sequence| sequence.q_length), rows(|sequence| sequence.k_length));
    let width = if joined { q_width + kv_width } else { kv_width };
    let mut q = Buffer::any(if joined { 0 } else { queries * q_width });
    let mut kv = Buffer::any(keys * width);
    let mut parts = Vec::with_capacity(attention.sequences.len());
    let (mut q_rest, mut kv_rest) = (&mut *q, &mut *kv);
    for sequence in attention.sequences {
        let q_length = if joined { 0 } else { sequence.q_length * q_width };
        let (q, later) = std::mem::take(&mut q_rest).split_at_mut(q_length);
        q_rest = later;
        let (kv, later) = std::mem::take(&mut kv_rest).split_at_mut(sequence.k_length * width);
        kv_rest = later;
        parts.push((q, kv));
    }
    parts
        .into_par_iter()
        .zip(attention.sequences)
        .for_each(|((q, kv), sequence)| {
            let (q, k) = match joined {
                true => (None, q_width),
                false => (Some(q), 0),
            };
            let mut target = Target {
                q,
                kv,
                width,
                q_width,
                k,
                v: k + kv_width / 2,
            };
            for head in 0..kv_heads {
                head_back(attention, sequence, head, gradient, &mut target);
            }
        });
    Gradients { q, kv }
}

/// A sequence's rows of [`Gradients`].
struct Target<'a> {
    /// `None` where queries are part of `kv`.
    q: Option<&'a mut [f32]>,
    kv: &'a mut [f32],
    width: usize,
    q_width: usize,
    /// Where in a row keys begin …
    k: usize,
    /// … and values.
    v: usize,
}

impl Target<'_> {
    fn q(&mut self, row: usize, head: usize, size: usize) -> &mut [f32] {
        match &mut self.q {
            Some(q) => &mut q[row * self.q_width + head * size..][..size],
            None => &mut self.kv[row * self.width + head * size..][..size],
        }
    }
}

/// One head of keys and values, and the query heads that it serves.
fn head_back(
    attention: &Attention<'_>,
    sequence: &Sequence,
    kv_head: usize,
    gradient: &[f32],
    target: &mut Target<'_>,
) {
    let Attention {
        heads, kv_heads, size, ..
    } = *attention;
    let Sequence {
        q_start,
        q_length,
        k_start,
        k_length,
    } = *sequence;
    let q_width = heads * size;
    let served = heads / kv_heads;
    let scale = 1.0 / (size as f32).sqrt();
    let keys = turned(attention.k, attention.k_rotary, k_start, k_length, kv_head, size, 1.0);
    let keys = Matrix::new(&keys, size);
    let values = {
        let Heads { numbers, start, stride } = attention.v;
        let first = k_start * stride + start + kv_head * size;
        Matrix::strided(&numbers[first..], k_length, size, stride)
    };
    let (mut by_keys, mut by_values) = (Buffer::zeros(k_length * size), Buffer::zeros(k_length * size));
    let block = (MOST_SCORES / k_length)
        .clamp(FEWEST_QUERIES, MOST_SCORES)
        .min(q_length);
    let (mut weights, mut by_scores) = (Buffer::any(block * k_length), Buffer::any(block * k_length));
    for head in kv_head * served..(kv_head + 1) * served {
        let queries = turned(attention.q, attention.q_rotary, q_start, q_length, head, size, scale);
        let mut by_queries = Buffer::any(q_length * size);
        for first in (0..q_length).step_by(block) {
            let count = block.min(q_length - first);
            let seen_by = |query: usize| match attention.causal {
                true => k_length - q_length + query + 1,
                false => k_length,
            };
            let seen = seen_by(first + count - 1);
            let queries = Matrix::new(&queries[first * size..][..count * size], size);
            let row = (q_start + first) * q_width + head * size;
            let gradient = Matrix::strided(&gradient[row..], count, size, q_width);
            let (keys, values) = (keys.first_rows(seen), values.first_rows(seen));
            let (weights, by_scores) = (&mut weights[..count * seen], &mut by_scores[..count * seen]);
            let alone = Parallelism::None;
            multiply(MatrixMut::new(weights, seen), false, 1.0, queries, keys.t(), alone);
            multiply(MatrixMut::new(by_scores, seen), false, 1.0, gradient, values.t(), alone);
            Arch::new().dispatch(Scores {
                weights: &mut *weights,
                by_scores: &mut *by_scores,
                columns: seen,
                first_seen: seen_by(first),
                step: usize::from(attention.causal),
            });
            let (weights, by_scores) = (Matrix::new(weights, seen), Matrix::new(by_scores, seen));
            let by_values = MatrixMut::new(&mut by_values[..seen * size], size);
            multiply(by_values, true, 1.0, weights.t(), gradient, alone);
            let by_keys = MatrixMut::new(&mut by_keys[..seen * size], size);
            multiply(by_keys, true, 1.0, by_scores.t(), queries, alone);
            let by_queries = MatrixMut::new(&mut by_queries[first * size..][..count * size], size);
            multiply(by_queries, false, scale, by_scores, keys, alone);
        }
        for (row, by_query) in by_queries.chunks_exact(size).enumerate() {
            turn_back(target.q(row, head, size), by_query, attention.q_rotary, q_start + row);
        }
    }
    for (row, (by_key, by_value)) in by_keys.chunks_exact(size).zip(by_values.chunks_exact(size)).enumerate() {
        let numbers = &mut target.kv[row * target.width..][..target.width];
        turn_back(
            &mut numbers[target.k + kv_head * size..][..size],
            by_key,
            attention.k_rotary,
            k_start + row,
        );
        numbers[target.v + kv_head * size..][..size].copy_from_slice(by_value);
    }
}

/// A head of some rows, turned by the rows' angles, times `scale`.
fn turned(
    heads: Heads<'_>,
    rotary: Rotary<'_>,
    first: usize,
    rows: usize,
    head: usize,
    size: usize,
    scale: f32,
) -> Buffer {
    let mut turned = Buffer::any(rows * size);
    for (row, turned) in turned.chunks_exact_mut(size).enumerate() {
        let row = first + row;
        let numbers = &heads.numbers[row * heads.stride + heads.start + head * size..][..size];
        turn(turned, numbers, rotary, row, |real, imaginary, cos, sin| {
            (
                (real * cos - imaginary * sin) * scale,
                (imaginary * cos + real * sin) * scale,
            )
        });
    }
    turned
}

/// Undoes what [`turned`] does to a row, but for the scale.
fn turn_back(output: &mut [f32], turned: &[f32], rotary: Rotary<'_>, row: usize) {
    turn(output, turned, rotary, row, |real, imaginary, cos, sin| {
        (real * cos + imaginary * sin, imaginary * cos - real * sin)
    });
}

/// Applies `step` to each frequency of a head: its real part, in the first half, its imaginary part, in the second, and the
/// cosine and sine of its angle.
#[inline(always)]
fn turn(
    output: &mut [f32],
    head: &[f32],
    rotary: Rotary<'_>,
    row: usize,
    step: impl Fn(f32, f32, f32, f32) -> (f32, f32),
) {
    let half = head.len() / 2;
    let angles = rotary.cos[row * half..][..half]
        .iter()
        .zip(&rotary.sin[row * half..][..half]);
    let (real, imaginary) = head.split_at(half);
    let (output_real, output_imaginary) = output.split_at_mut(half);
    let outputs = output_real.iter_mut().zip(output_imaginary);
    for ((outputs, (real, imaginary)), (cos, sin)) in outputs.zip(real.iter().zip(imaginary)).zip(angles) {
        (*outputs.0, *outputs.1) = step(*real, *imaginary, *cos, *sin);
    }
}

/// Rows of scores become weights, and the weights' gradients beside them those of the scores.
struct Scores<'a> {
    weights: &'a mut [f32],
    by_scores: &'a mut [f32],
    columns: usize,
    /// How many keys the first row's query sees …
    first_seen: usize,
    /// … and how many more each next one.
    step: usize,
}

impl WithSimd for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self
            .weights
            .chunks_exact_mut(self.columns)
            .zip(self.by_scores.chunks_exact_mut(self.columns));
        for (row, (weights, by_scores)) in rows.enumerate() {
            let seen = self.first_seen + row * self.step;
            let (weights, hidden) = weights.split_at_mut(seen);
            let (by_scores, by_hidden) = by_scores.split_at_mut(seen);
            hidden.fill(0.0);
            by_hidden.fill(0.0);
            let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for weight in weights.iter_mut() {
                *weight = exp(*weight - largest);
            }
            let share = 1.0 / sightstream_model::backbone::cpu::sum(weights, |x| x);
            for weight in weights.iter_mut() {
                *weight *= share;
            }
            let mean = dot(weights, by_scores);
            for (by_score, weight) in by_scores.iter_mut().zip(weights.iter()) {
                *by_score = weight * (*by_score - mean);
            }
        }
    }
}
