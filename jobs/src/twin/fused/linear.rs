//! Linear maps with or without an adapter, there and back.

use candle_core::{Result, Tensor};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};
use sightstream_model::backbone::cpu::Floats;

use super::super::dropout;
use super::super::modules::{Linear, LowRank};
use super::super::pass::Pass;
use super::buffers::Buffer;
use super::matrix::{Matrix, MatrixMut, all_cores, multiply};
use super::sums::{ELEMENTS, column_products, column_sums};

/// A borrowed [`Linear`] of f32 on the CPU.
pub struct FusedLinear<'a> {
    weight: Floats<'a>,
    bias: Option<Floats<'a>>,
    low_rank: Option<FusedLowRank<'a>>,
    inputs: usize,
    /// How many numbers a row of the result has.
    pub outputs: usize,
    /// Of weight, bias and the adapter's tensors, whether they are trained.
    trained: Vec<bool>,
}

/// A borrowed [`LowRank`].
struct FusedLowRank<'a> {
    a: Floats<'a>,
    b: Floats<'a>,
    rank: usize,
    scale: f32,
    /// With a magnitude: it, and the weight beside it.
    magnitude: Option<(&'a LowRank, Floats<'a>, &'a Tensor)>,
    /// The seed, the module and the rate.
    dropout: Option<(u64, u64, f64)>,
}

/// Where the gradient of a map's input goes.
pub struct By<'a> {
    /// As long as the input.
    pub numbers: &'a mut [f32],
    /// Whether it is added to what is there.
    pub add: bool,
}

impl<'a> By<'a> {
    /// In the place of what is there.
    pub fn fresh(numbers: &'a mut [f32]) -> Self {
        Self { numbers, add: false }
    }

    /// Added to what is there.
    pub fn more(numbers: &'a mut [f32]) -> Self {
        Self { numbers, add: true }
    }
}

/// What the way back needs of the way there.
#[derive(Default)]
pub struct Kept {
    /// `x' · aᵀ` (rows, rank)
    low: Buffer,
    /// With a magnitude.
    whole: Option<Whole>,
}

/// What a magnitude works on.
struct Whole {
    /// `x' Wᵀ + scale · x' aᵀ bᵀ` (rows, outputs).
    numbers: Buffer,
    /// The length of each row of the weight and the adapter together …
    lengths: Vec<f32>,
    /// … and what its output is multiplied by: the magnitude over the length.
    factors: Vec<f32>,
}

impl<'a> FusedLinear<'a> {
    /// # Errors
    /// If the tensors are not contiguous f32 on the CPU.
    pub fn of(linear: &'a Linear, pass: &Pass) -> Result<Self> {
        let (outputs, inputs) = linear.weight.dims2()?;
        let low_rank = linear.low_rank.as_ref();
        Ok(Self {
            weight: Floats::of(&linear.weight)?,
            bias: linear.bias.as_ref().map(Floats::of).transpose()?,
            low_rank: low_rank
                .map(|low_rank| FusedLowRank::of(low_rank, linear, pass))
                .transpose()?,
            inputs,
            outputs,
            trained: linear.tensors().map(Tensor::track_op).collect(),
        })
    }

    /// Writes the result for the rows of `x` to `output`, or with `add` adds it.
    ///
    /// # Errors
    /// If the adapter's tensors do not go together.
    pub fn forth(&self, mut output: MatrixMut<'_>, add: bool, x: &[f32]) -> Result<Kept> {
        output.begin(add, self.bias.as_deref());
        let rows = Matrix::new(x, self.inputs);
        let Some(low_rank) = &self.low_rank else {
            multiply(output, true, 1.0, rows, self.weight().t(), all_cores());
            return Ok(Kept::default());
        };
        let (x, mask) = (low_rank.dropped(x), low_rank.dropout.is_some());
        let dropped = x.as_deref().map_or(rows, |x| Matrix::new(x, self.inputs));
        let mut low = Buffer::any(rows.rows() * low_rank.rank);
        multiply(
            MatrixMut::new(&mut low, low_rank.rank),
            false,
            1.0,
            dropped,
            low_rank.a(self.inputs).t(),
            all_cores(),
        );
        let low_matrix = Matrix::new(&low, low_rank.rank);
        let b = low_rank.b().t();
        let Some((lengths, factors)) = low_rank.lengths_and_factors()? else {
            multiply(output.again(), true, 1.0, rows, self.weight().t(), all_cores());
            multiply(output, true, low_rank.scale, low_matrix, b, all_cores());
            return Ok(Kept { low, whole: None });
        };
        let mut whole = Buffer::any(rows.rows() * self.outputs);
        multiply(
            MatrixMut::new(&mut whole, self.outputs),
            false,
            1.0,
            dropped,
            self.weight().t(),
            all_cores(),
        );
        multiply(
            MatrixMut::new(&mut whole, self.outputs),
            true,
            low_rank.scale,
            low_matrix,
            b,
            all_cores(),
        );
        if mask {
            // x W + (m - 1) · x' W + m · low = x W + (m - 1) · whole + low
            multiply(output.again(), true, 1.0, rows, self.weight().t(), all_cores());
            multiply(output.again(), true, low_rank.scale, low_matrix, b, all_cores());
        }
        let less = f32::from(u8::from(mask));
        for (row, whole) in output.rows_mut().zip(whole.chunks_exact(self.outputs)) {
            for ((number, whole), factor) in row.iter_mut().zip(whole).zip(&factors) {
                *number += (factor - less) * whole;
            }
        }
        let whole = Some(Whole {
            numbers: whole,
            lengths,
            factors,
        });
        Ok(Kept { low, whole })
    }

    /// From the gradient of the result, computes that of `x` into `by_x`, where it is wanted, and gives those of weight, bias and the
    /// adapter's tensors, of each that is trained.
    pub fn back(&self, by_x: Option<By<'_>>, gradient: Matrix<'_>, x: &[f32], kept: &Kept) -> Vec<Option<Vec<f32>>> {
        let rows = Matrix::new(x, self.inputs);
        let Some(low_rank) = &self.low_rank else {
            if let Some(By { numbers, add }) = by_x {
                let by_x = MatrixMut::new(numbers, self.inputs);
                multiply(by_x, add, 1.0, gradient, self.weight(), all_cores());
            }
            let weight = self.trained[0].then(|| product(gradient.t(), rows, 1.0));
            let bias = self
                .bias
                .is_some()
                .then(|| self.trained[1].then(|| column_sums(gradient)));
            return std::iter::once(weight).chain(bias).collect();
        };
        let dropped_x = low_rank.dropped(x);
        let dropped = dropped_x.as_deref().map_or(rows, |x| Matrix::new(x, self.inputs));
        let scaled = |less: f32| {
            kept.whole.as_ref().map(|Whole { factors, .. }| {
                let mut scaled = Vec::with_capacity(gradient.rows() * self.outputs);
                for row in 0..gradient.rows() {
                    let row = gradient.row(row).iter().zip(factors);
                    scaled.extend(row.map(|(number, factor)| number * (factor - less)));
                }
                scaled
            })
        };
        // The gradient of `x' Wᵀ + scale · low · bᵀ`, or without a magnitude of its second part.
        let by_whole = scaled(0.0);
        let by_whole = by_whole
            .as_deref()
            .map_or(gradient, |numbers| Matrix::new(numbers, self.outputs));
        let low = Matrix::new(&kept.low, low_rank.rank);
        let by_low = product(by_whole, low_rank.b(), low_rank.scale);
        let by_low = Matrix::new(&by_low, low_rank.rank);
        if let Some(By { numbers: by_x, add }) = by_x {
            let a = low_rank.a(self.inputs);
            let put = |by_x: &mut [f32], add: bool, left: Matrix<'_>, right: Matrix<'_>| {
                multiply(MatrixMut::new(by_x, self.inputs), add, 1.0, left, right, all_cores());
            };
            match low_rank.mask(x.len()) {
                None => {
                    let by_product = if kept.whole.is_some() { by_whole } else { gradient };
                    put(by_x, add, by_product, self.weight());
                    put(by_x, true, by_low, a);
                }
                Some(mask) => {
                    put(by_x, add, gradient, self.weight());
                    let mut by_dropped = Buffer::any(x.len());
                    put(&mut by_dropped, false, by_low, a);
                    if let Some(scaled) = scaled(1.0) {
                        put(&mut by_dropped, true, Matrix::new(&scaled, self.outputs), self.weight());
                    }
                    for ((by_x, by_dropped), factor) in by_x.iter_mut().zip(by_dropped.iter()).zip(&mask) {
                        *by_x += by_dropped * factor;
                    }
                }
            }
        }
        let mut gradients = vec![None];
        gradients.extend(self.bias.is_some().then_some(None));
        gradients.push(Some(product(by_low.t(), dropped, 1.0)));
        gradients.push(Some(product(by_whole.t(), low, low_rank.scale)));
        if let Some(Whole { numbers, lengths, .. }) = &kept.whole {
            let mut by_magnitude = column_products(gradient, numbers);
            for (number, length) in by_magnitude.iter_mut().zip(lengths) {
                *number /= length;
            }
            gradients.push(Some(by_magnitude));
        }
        gradients
    }

    fn weight(&self) -> Matrix<'_> {
        Matrix::new(&self.weight, self.inputs)
    }
}

impl<'a> FusedLowRank<'a> {
    fn of(low_rank: &'a LowRank, linear: &'a Linear, pass: &Pass) -> Result<Self> {
        Ok(Self {
            a: Floats::of(&low_rank.a)?,
            b: Floats::of(&low_rank.b)?,
            rank: low_rank.a.dims()[0],
            scale: low_rank.scale as f32,
            magnitude: match &low_rank.magnitude {
                Some(magnitude) => Some((low_rank, Floats::of(magnitude)?, &linear.weight)),
                None => None,
            },
            dropout: match pass.dropout {
                Some(seed) if low_rank.dropout > 0.0 => Some((seed, low_rank.module, low_rank.dropout)),
                _ => None,
            },
        })
    }

    /// With a magnitude: how long each row of weight and adapter is, and what its output is multiplied by.
    fn lengths_and_factors(&self) -> Result<Option<(Vec<f32>, Vec<f32>)>> {
        let Some((low_rank, magnitude, weight)) = &self.magnitude else {
            return Ok(None);
        };
        let lengths: Vec<f32> = low_rank.lengths(weight)?.to_vec1()?;
        let factors = magnitude
            .iter()
            .zip(&lengths)
            .map(|(magnitude, length)| magnitude / length);
        let factors = factors.collect();
        Ok(Some((lengths, factors)))
    }

    /// (rank, inputs)
    fn a(&self, inputs: usize) -> Matrix<'_> {
        Matrix::new(&self.a, inputs)
    }

    /// (outputs, rank)
    fn b(&self) -> Matrix<'_> {
        Matrix::new(&self.b, self.rank)
    }

    fn mask(&self, count: usize) -> Option<Vec<f32>> {
        self.dropout
            .map(|(seed, module, rate)| dropout::mask(seed, module, rate, count))
    }

    /// The rows of `x` after dropout, if there is any.
    fn dropped(&self, x: &[f32]) -> Option<Vec<f32>> {
        let mut mask = self.mask(x.len())?;
        mask.par_chunks_mut(ELEMENTS)
            .zip(x.par_chunks(ELEMENTS))
            .for_each(|(mask, x)| {
                for (factor, number) in mask.iter_mut().zip(x) {
                    *factor *= number;
                }
            });
        Some(mask)
    }
}

/// `scale · left · right`
fn product(left: Matrix<'_>, right: Matrix<'_>, scale: f32) -> Vec<f32> {
    let mut output = vec![0.0; left.rows() * right.columns()];
    multiply(
        MatrixMut::new(&mut output, right.columns()),
        false,
        scale,
        left,
        right,
        all_cores(),
    );
    output
}
