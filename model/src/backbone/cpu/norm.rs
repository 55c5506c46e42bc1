//! Normalised rows.

use pulp::{Arch, Simd, WithSimd};

/// So many sums are kept side by side: what a wide register holds twice.
const LANES: usize = 32;

/// Normalises each row of `x`, as long as `weight`: by mean and variance and then `bias`, or without one by the root of the
/// mean square.
pub fn normalise(output: &mut [f32], x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f64) {
    Arch::new().dispatch(Normalise {
        output,
        x,
        weight,
        bias,
        eps,
    });
}

struct Normalise<'a> {
    output: &'a mut [f32],
    x: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    eps: f64,
}

impl WithSimd for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let size = self.weight.len();
        let rows = self.x.chunks_exact(size).zip(self.output.chunks_exact_mut(size));
        for (x, output) in rows {
            match self.bias {
                Some(bias) => {
                    let mean = sum(x, |x| x) / size as f32;
                    let variance = sum(x, |x| (x - mean) * (x - mean)) / size as f32;
                    let scale = 1.0 / (variance + self.eps as f32).sqrt();
                    for (((output, x), weight), bias) in output.iter_mut().zip(x).zip(self.weight).zip(bias) {
                        *output = ((x - mean) * scale).mul_add(*weight, *bias);
                    }
                }
                None => {
                    let scale = 1.0 / (sum(x, |x| x * x) / size as f32 + self.eps as f32).sqrt();
                    for ((output, x), weight) in output.iter_mut().zip(x).zip(self.weight) {
                        *output = x * scale * weight;
                    }
                }
            }
        }
    }
}

/// The sum of a function of each number.
#[inline(always)]
pub fn sum(numbers: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let chunks = numbers.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += of(*x);
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += of(*x);
    }
    sums.iter().sum()
}
