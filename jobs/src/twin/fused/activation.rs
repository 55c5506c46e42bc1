//! The activations of both towers, there and back.

use pulp::{Arch, Simd, WithSimd};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};
use sightstream_model::backbone::cpu::{exp, quick_gelu, swiglu};

use super::buffers::Buffer;
use super::sums::ELEMENTS;

/// `x · sigmoid(1.702 x)`
pub fn quick_gelu_forth(x: &[f32]) -> Buffer {
    let mut output = Buffer::any(x.len());
    output
        .par_chunks_mut(ELEMENTS)
        .zip(x.par_chunks(ELEMENTS))
        .for_each(|(output, x)| {
            output.copy_from_slice(x);
            quick_gelu(output);
        });
    output
}

/// The gradient of `x`, in the place of the result's.
pub fn quick_gelu_back(gradient: &mut [f32], x: &[f32]) {
    gradient
        .par_chunks_mut(ELEMENTS)
        .zip(x.par_chunks(ELEMENTS))
        .for_each(|(gradient, x)| Arch::new().dispatch(QuickGeluBack { gradient, x }));
}

/// `silu(gate) · up`
pub fn swiglu_forth(gate: &[f32], up: &[f32]) -> Buffer {
    let mut output = Buffer::any(gate.len());
    output
        .par_chunks_mut(ELEMENTS)
        .zip(gate.par_chunks(ELEMENTS).zip(up.par_chunks(ELEMENTS)))
        .for_each(|(output, (gate, up))| {
            output.copy_from_slice(gate);
            swiglu(output, up);
        });
    output
}

/// The gradient of `gate`, in the place of the result's, and that of `up`.
pub fn swiglu_back(gradient: &mut [f32], gate: &[f32], up: &[f32]) -> Buffer {
    let mut by_up = Buffer::any(up.len());
    gradient
        .par_chunks_mut(ELEMENTS)
        .zip(by_up.par_chunks_mut(ELEMENTS))
        .zip(gate.par_chunks(ELEMENTS).zip(up.par_chunks(ELEMENTS)))
        .for_each(|((gradient, by_up), (gate, up))| {
            Arch::new().dispatch(SwigluBack {
                gradient,
                by_up,
                gate,
                up,
            });
        });
    by_up
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp((-x).min(88.0)))
}

struct QuickGeluBack<'a> {
    gradient: &'a mut [f32],
    x: &'a [f32],
}

impl WithSimd for QuickGeluBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (gradient, x) in self.gradient.iter_mut().zip(self.x) {
            let share = sigmoid(1.702 * x);
            *gradient *= share * (1.702 * x).mul_add(1.0 - share, 1.0);
        }
    }
}

struct SwigluBack<'a> {
    gradient: &'a mut [f32],
    by_up: &'a mut [f32],
    gate: &'a [f32],
    up: &'a [f32],
}

impl WithSimd for SwigluBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let results = self.gradient.iter_mut().zip(self.by_up);
        for ((gradient, by_up), (gate, up)) in results.zip(self.gate.iter().zip(self.up)) {
            let share = sigmoid(*gate);
            *by_up = *gradient * gate * share;
            *gradient *= up * share * gate.mul_add(1.0 - share, 1.0);
        }
    }
}
