//! Scores to weights.

use pulp::Simd;

use super::activation::exp;
use super::tile::{DEPTH, Row};

/// A query's scores lie in every `step`th of `rows`, [`DEPTH`] in each. The first `seen` become `e^(score - largest)`, and
/// those behind them up to `end` zero. Gives the sum.
#[inline(always)]
pub fn exponentiate<S: Simd>(simd: S, rows: &mut [Row], step: usize, seen: usize, end: usize) -> f32 {
    let within = |count: usize, part: usize| count.saturating_sub(part * DEPTH).min(DEPTH);
    let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
    for (part, row) in rows.iter().step_by(step).enumerate().take(seen.div_ceil(DEPTH)) {
        let (scores, rest) = S::as_simd_f32s(&row[..within(seen, part)]);
        for scores in scores {
            largest = simd.max_f32s(largest, *scores);
        }
        for score in rest {
            largest = simd.max_f32s(largest, simd.splat_f32s(*score));
        }
    }
    let largest = simd.reduce_max_f32s(largest);
    let mut sums = simd.splat_f32s(0.0);
    let mut sum = 0.0;
    for (part, row) in rows.iter_mut().step_by(step).enumerate().take(end.div_ceil(DEPTH)) {
        let (visible, hidden) = row[..within(end, part)].split_at_mut(within(seen, part));
        hidden.fill(0.0);
        for score in visible.iter_mut() {
            *score = exp(*score - largest);
        }
        let (weights, rest) = S::as_simd_f32s(visible);
        for weights in weights {
            sums = simd.add_f32s(sums, *weights);
        }
        sum += rest.iter().sum::<f32>();
    }
    sum + simd.reduce_sum_f32s(sums)
}
