//! The parts that layers are made of: linear maps and norms.

use candle_core::{DType, Device, Result, Tensor};

use super::cpu::{Floats, Matrix, Parallelism, by_rows, is_fused, multiply, normalise};

/// `x · weight + bias`.
#[derive(Debug, Clone)]
pub struct Linear {
    /// (inputs, outputs). Contiguous where products are fused; else a view of the (outputs, inputs) that files hold.
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// From a weight (outputs, inputs), as files hold it, and a bias (outputs).
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(weight: &Tensor, bias: Option<Tensor>) -> Result<Self> {
        let weight = weight.t()?;
        Ok(Self {
            weight: if is_fused(&weight) {
                weight.contiguous()?
            } else {
                weight
            },
            bias,
        })
    }

    /// One that has a single zero for all its numbers: of a checkpoint that is only looked at.
    ///
    /// # Errors
    /// If the device fails.
    pub fn stand_in(inputs: usize, outputs: usize, dtype: DType, device: &Device) -> Result<Self> {
        Ok(Self {
            weight: Tensor::zeros((), dtype, device)?.broadcast_as((inputs, outputs))?,
            bias: None,
        })
    }

    /// How many numbers a row of the result has.
    pub fn outputs(&self) -> usize {
        self.weight.dims()[1]
    }

    /// `x` (rows, inputs) to (rows, outputs), by candle's operations.
    ///
    /// # Errors
    /// If the shapes do not go together, or the device fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.columns(x, 0, self.outputs())
    }

    /// Only some columns of the result of [`Linear::forward`].
    ///
    /// # Errors
    /// If the shapes do not go together, or the device fails.
    pub fn columns(&self, x: &Tensor, start: usize, count: usize) -> Result<Tensor> {
        let product = x.matmul(&self.weight.narrow(1, start, count)?)?;
        match &self.bias {
            Some(bias) => product.broadcast_add(&bias.narrow(0, start, count)?),
            None => Ok(product),
        }
    }

    /// The numbers, for products on slices. Only where they are fused.
    ///
    /// # Errors
    /// If the weights are not f32 on the CPU.
    pub fn fused(&self) -> Result<FusedLinear<'_>> {
        let (inputs, outputs) = self.weight.dims2()?;
        let bias = self.bias.as_ref().map(Floats::of).transpose()?;
        Ok(FusedLinear {
            weight: Floats::of(&self.weight)?,
            bias,
            inputs,
            outputs,
        })
    }
}

/// A borrowed [`Linear`] of f32 on the CPU.
pub struct FusedLinear<'a> {
    weight: Floats<'a>,
    bias: Option<Floats<'a>>,
    inputs: usize,
    /// How many numbers a row of the result has.
    pub outputs: usize,
}

impl FusedLinear<'_> {
    /// All columns of the result for the rows of `x`.
    pub fn apply(&self, output: &mut [f32], x: &[f32], parallelism: Parallelism) {
        self.columns(output, x, 0, self.outputs, parallelism);
    }

    /// Some columns of the result for the rows of `x`.
    pub fn columns(&self, output: &mut [f32], x: &[f32], start: usize, count: usize, parallelism: Parallelism) {
        if let Some(bias) = &self.bias {
            for row in output.chunks_exact_mut(count) {
                row.copy_from_slice(&bias[start..start + count]);
            }
        }
        self.product(output, self.bias.is_none(), x, start, count, parallelism);
    }

    /// Adds the result for the rows of `x` to `output`.
    pub fn add(&self, output: &mut [f32], x: &[f32], parallelism: Parallelism) {
        if let Some(bias) = &self.bias {
            for row in output.chunks_exact_mut(self.outputs) {
                for (number, bias) in row.iter_mut().zip(bias.iter()) {
                    *number += bias;
                }
            }
        }
        self.product(output, false, x, 0, self.outputs, parallelism);
    }

    fn product(
        &self,
        output: &mut [f32],
        fresh: bool,
        x: &[f32],
        start: usize,
        count: usize,
        parallelism: Parallelism,
    ) {
        let x = Matrix::new(x, x.len() / self.inputs, self.inputs, self.inputs);
        let weight = Matrix::new(&self.weight[start..], self.inputs, count, self.outputs);
        multiply(output, fresh, x, weight, parallelism);
    }
}

/// LayerNorm, or without a bias RMSNorm.
#[derive(Debug, Clone)]
pub struct Norm {
    weight: Tensor,
    bias: Option<Tensor>,
    eps: f64,
}

impl Norm {
    /// Normalises rows as long as `weight`: by mean and variance if there is a bias, else by the root of the mean square.
    pub fn new(weight: Tensor, bias: Option<Tensor>, eps: f64) -> Self {
        Self { weight, bias, eps }
    }

    /// Every row of `x` normalised.
    ///
    /// # Errors
    /// If the shapes do not go together, or the device fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if is_fused(x) {
            let (norm, numbers) = (self.fused()?, Floats::of(x)?);
            let mut normed = vec![0.0; numbers.len()];
            let width = norm.weight.len();
            by_rows(&mut normed, width, |first, rows, _| {
                norm.apply(rows, &numbers[first * width..][..rows.len()]);
            });
            return Tensor::from_vec(normed, x.shape(), x.device());
        }
        match &self.bias {
            Some(bias) => candle_nn::ops::layer_norm(x, &self.weight, bias, self.eps as f32),
            None => candle_nn::ops::rms_norm(x, &self.weight, self.eps as f32),
        }
    }

    /// The numbers, for work on slices. Only where that is done.
    ///
    /// # Errors
    /// If the weights are not f32 on the CPU.
    pub fn fused(&self) -> Result<FusedNorm<'_>> {
        let bias = self.bias.as_ref().map(Floats::of).transpose()?;
        Ok(FusedNorm {
            weight: Floats::of(&self.weight)?,
            bias,
            eps: self.eps,
        })
    }
}

/// A borrowed [`Norm`] of f32 on the CPU.
pub struct FusedNorm<'a> {
    weight: Floats<'a>,
    bias: Option<Floats<'a>>,
    eps: f64,
}

impl FusedNorm<'_> {
    /// The rows of `x`, normalised.
    pub fn apply(&self, output: &mut [f32], x: &[f32]) {
        normalise(output, x, &self.weight, self.bias.as_deref(), self.eps);
    }
}
