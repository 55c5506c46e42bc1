//! LayerNorm and RMSNorm, there and back.

use candle_core::Result;
use pulp::{Arch, Simd, WithSimd};
use sightstream_model::backbone::cpu::{Floats, normalise, sum};

use super::super::modules::Norm;
use super::buffers::Buffer;
use super::sums::by_pieces;

/// A borrowed [`Norm`] of f32 on the CPU.
pub struct FusedNorm<'a> {
    weight: Floats<'a>,
    bias: Option<Floats<'a>>,
    eps: f64,
}

/// What the way back through a norm gives.
pub struct NormGradients {
    /// Of the weight.
    pub weight: Vec<f32>,
    /// Of the bias, of zeros where there is none.
    pub bias: Vec<f32>,
}

impl<'a> FusedNorm<'a> {
    /// # Errors
    /// If the weights are not f32 on the CPU.
    pub fn of(norm: &'a Norm) -> Result<Self> {
        Ok(Self {
            weight: Floats::of(&norm.weight)?,
            bias: norm.bias.as_ref().map(Floats::of).transpose()?,
            eps: norm.eps,
        })
    }

    /// The rows of `x`, normalised.
    pub fn forth(&self, x: &[f32]) -> Buffer {
        let width = self.weight.len();
        let mut output = Buffer::any(x.len());
        by_pieces(&mut output, width, 0, |first, rows, _| {
            let x = &x[first * width..][..rows.len()];
            normalise(rows, x, &self.weight, self.bias.as_deref(), self.eps);
        });
        output
    }

    /// Adds to `output` the gradient of `x`, from that of the result.
    pub fn back(&self, output: &mut [f32], gradient: &[f32], x: &[f32]) -> NormGradients {
        let width = self.weight.len();
        let mut sums = by_pieces(output, width, 2 * width, |first, rows, partial| {
            Arch::new().dispatch(Back {
                gradient: &gradient[first * width..][..rows.len()],
                x: &x[first * width..][..rows.len()],
                output: rows,
                weight: &self.weight,
                is_centred: self.bias.is_some(),
                eps: self.eps as f32,
                partial,
            });
        });
        let bias = sums.split_off(width);
        NormGradients { weight: sums, bias }
    }
}

struct Back<'a> {
    output: &'a mut [f32],
    gradient: &'a [f32],
    x: &'a [f32],
    weight: &'a [f32],
    is_centred: bool,
    eps: f32,
    partial: &'a mut [f32],
}

impl WithSimd for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.weight.len();
        let size = width as f32;
        let (by_weight, by_bias) = self.partial.split_at_mut(width);
        // What a row's gradient is before its mean is taken out, and the row itself normalised.
        let (mut weighted, mut normed) = (vec![0.0; width], vec![0.0; width]);
        let rows = self.x.chunks_exact(width).zip(self.gradient.chunks_exact(width));
        for (output, (x, gradient)) in self.output.chunks_exact_mut(width).zip(rows) {
            let mean = if self.is_centred { sum(x, |x| x) / size } else { 0.0 };
            let scale = 1.0 / (sum(x, |x| (x - mean) * (x - mean)) / size + self.eps).sqrt();
            for (((weighted, normed), (x, gradient)), weight) in weighted
                .iter_mut()
                .zip(&mut normed)
                .zip(x.iter().zip(gradient))
                .zip(self.weight)
            {
                *normed = (x - mean) * scale;
                *weighted = gradient * weight;
            }
            for ((by_weight, by_bias), (normed, gradient)) in by_weight
                .iter_mut()
                .zip(by_bias.iter_mut())
                .zip(normed.iter().zip(gradient))
            {
                *by_weight = gradient.mul_add(*normed, *by_weight);
                *by_bias += gradient;
            }
            let shift = if self.is_centred {
                sum(&weighted, |x| x) / size
            } else {
                0.0
            };
            let along = dot(&weighted, &normed) / size;
            for ((output, weighted), normed) in output.iter_mut().zip(&weighted).zip(&normed) {
                *output += (weighted - shift - normed * along) * scale;
            }
        }
    }
}

/// So many sums are kept side by side: what a wide register holds twice.
const LANES: usize = 32;

/// The sum of the products of two rows.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = whole_a.remainder().iter().zip(whole_b.remainder());
    for (sum, (a, b)) in sums.iter_mut().zip(rest) {
        *sum = a * b;
    }
    for (a, b) in whole_a.zip(whole_b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum = a.mul_add(*b, *sum);
        }
    }
    sums.iter().sum()
}
