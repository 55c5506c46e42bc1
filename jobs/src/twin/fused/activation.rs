//! The activations of both towers, there and back.

use pulp::{Arch, Simd, WithSimd};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};
pub use sightstream_model::backbone::cpu::gelu as gelu_forth;
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

/// The gradient of what the GELU by the error function is of, in the place of the result's: `Φ(x) + x φ(x)`, by the normal
/// distribution's function and density.
pub fn gelu_back(gradient: &mut [f32], x: &[f32]) {
    let mut output = x.to_vec();
    gelu_forth(&mut output);
    Arch::new().dispatch(GeluBack {
        gradient,
        x,
        output: &output,
    });
}

struct GeluBack<'a> {
    gradient: &'a mut [f32],
    x: &'a [f32],
    /// `x Φ(x)`
    output: &'a [f32],
}

impl WithSimd for GeluBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        /// `1 / sqrt(2 pi)`
        const DENSITY: f32 = 0.398_942_3;
        for (gradient, (x, output)) in self.gradient.iter_mut().zip(self.x.iter().zip(self.output)) {
            let share = if *x == 0.0 { 0.5 } else { output / x };
            *gradient *= (x * DENSITY).mul_add(exp(-0.5 * x * x), share);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Vec<f32> {
        (-400..=400).map(|i| i as f32 / 23.0).collect()
    }

    /// The slope between two points that are close, in f64.
    fn slope(f: impl Fn(f64) -> f64, x: f32) -> f64 {
        let (x, step) = (f64::from(x), 1e-5);
        (f(x + step) - f(x - step)) / (2.0 * step)
    }

    fn close(found: f32, expected: f64) -> bool {
        (f64::from(found) - expected).abs() < 2e-6 * expected.abs().max(1.0)
    }

    /// The error function by a series whose terms all have one sign.
    fn erf(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..400 {
            term *= 2.0 * x * x / f64::from(2 * n + 1);
            sum += term;
        }
        sum * 2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp()
    }

    #[test]
    fn slopes_are_those_of_the_functions() {
        let x = numbers();
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut quick = vec![1.0; x.len()];
        quick_gelu_back(&mut quick, &x);
        let mut exact = vec![1.0; x.len()];
        gelu_back(&mut exact, &x);
        let up = vec![-3.0; x.len()];
        let mut by_gate = vec![2.0; x.len()];
        let by_up = swiglu_back(&mut by_gate, &x, &up);
        for (place, &x) in x.iter().enumerate() {
            let expected = slope(|x| x * sigmoid(1.702 * x), x);
            assert!(close(quick[place], expected), "quick_gelu'({x}) = {}", quick[place]);
            let expected = slope(|x| 0.5 * x * (1.0 + erf(x / 2f64.sqrt())), x);
            assert!(close(exact[place], expected), "gelu'({x}) = {}", exact[place]);
            let expected = 2.0 * -3.0 * slope(|x| x * sigmoid(x), x);
            assert!(
                close(by_gate[place], expected),
                "swiglu by gate at {x}: {}",
                by_gate[place]
            );
            let silu = f64::from(x) * sigmoid(f64::from(x));
            assert!(close(by_up[place], 2.0 * silu), "swiglu by up at {x}: {}", by_up[place]);
        }
    }
}
