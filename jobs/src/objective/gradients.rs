//! Gradients of parameters, and sums of them.

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Storage, Tensor};
use rayon::prelude::*;

use crate::embed::Parameter;
use crate::error::JobError;

/// A gradient for each parameter that has one, in the order of [`crate::Embed::parameters`]; f32 whatever the parameter's dtype,
/// so that sums of many small ones keep their digits.
///
/// A parameter that the batch did not use has none: the vision tower's, in a batch of text.
#[derive(Debug)]
pub struct Gradients(Vec<Option<Tensor>>);

impl Gradients {
    /// No gradient yet, for so many parameters.
    pub fn none(parameters: usize) -> Self {
        Self(vec![None; parameters])
    }

    /// Each parameter's gradient.
    pub fn iter(&self) -> impl Iterator<Item = Option<&Tensor>> {
        self.0.iter().map(Option::as_ref)
    }

    /// Whether no parameter has one.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Adds what a backward pass found for `parameters`.
    ///
    /// # Errors
    /// [`JobError::Candle`] if the device fails.
    pub fn collect(&mut self, mut found: GradStore, parameters: &[Parameter]) -> Result<(), JobError> {
        for (sum, parameter) in self.0.iter_mut().zip(parameters) {
            if let Some(gradient) = found.remove(parameter.var.as_tensor()) {
                // A variable's gradient is a result of operations on the nodes of the graph and would keep all of it alive.
                add(sum, gradient.detach().to_dtype(DType::F32)?)?;
            }
        }
        Ok(())
    }

    /// Adds those of another batch.
    ///
    /// # Errors
    /// [`JobError::Candle`] if the device fails.
    pub fn add(&mut self, other: Self) -> Result<(), JobError> {
        for (sum, term) in self.0.iter_mut().zip(other.0) {
            if let Some(term) = term {
                add(sum, term)?;
            }
        }
        Ok(())
    }

    /// Multiplies all by a factor.
    ///
    /// # Errors
    /// [`JobError::Candle`] if the device fails.
    pub fn scale(&mut self, factor: f64) -> Result<(), JobError> {
        for gradient in self.0.iter_mut().flatten() {
            *gradient = gradient.affine(factor, 0.0)?;
        }
        Ok(())
    }

    /// The Euclidean norm over all parameters together.
    ///
    /// # Errors
    /// [`JobError::Candle`] if the device fails.
    pub fn norm(&self) -> Result<f64, JobError> {
        let mut squares = Vec::new();
        let mut on_device = Vec::new();
        for gradient in self.0.iter().flatten() {
            if matches!(gradient.device(), Device::Cpu) {
                let (storage, layout) = gradient.storage_and_layout();
                if let (Storage::Cpu(numbers), Some((from, to))) = (&*storage, layout.contiguous_offsets()) {
                    squares.push(sum_of_squares(&numbers.as_slice::<f32>()?[from..to]));
                    continue;
                }
            }
            on_device.push(gradient.sqr()?.sum_all()?);
        }
        if !on_device.is_empty() {
            // One transfer for all: each would wait for the device.
            squares.extend(
                Tensor::stack(&on_device, 0)?
                    .to_vec1::<f32>()?
                    .into_iter()
                    .map(f64::from),
            );
        }
        Ok(squares.iter().sum::<f64>().sqrt())
    }

    /// Scales all down so that their norm together is at most `largest`, as PyTorch's `clip_grad_norm_` does. Gives the norm
    /// before.
    ///
    /// # Errors
    /// [`JobError::Candle`] if the device fails.
    pub fn clip(&mut self, largest: f64) -> Result<f64, JobError> {
        let norm = self.norm()?;
        let factor = largest / (norm + 1e-6);
        if factor < 1.0 {
            self.scale(factor)?;
        }
        Ok(norm)
    }
}

/// Adds a term to a sum that may be empty yet, in the sum's own memory where that is the CPU's.
fn add(sum: &mut Option<Tensor>, term: Tensor) -> Result<(), JobError> {
    match sum {
        None => *sum = Some(term),
        Some(sum) => {
            let plain = |tensor: &Tensor| matches!(tensor.device(), Device::Cpu) && tensor.is_contiguous();
            if plain(sum) && plain(&term) {
                sum.inplace_op2(&term, &AddAssign)?;
            } else {
                *sum = (&*sum + term)?;
            }
        }
    }
    Ok(())
}

/// `destination += source`, for contiguous f32 on the CPU.
struct AddAssign;

impl InplaceOp2 for AddAssign {
    fn name(&self) -> &'static str {
        "add-assign"
    }

    fn cpu_fwd(
        &self,
        destination: &mut CpuStorage,
        destination_layout: &Layout,
        source: &CpuStorage,
        source_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (Some((to, to_end)), Some((from, from_end)), CpuStorage::F32(destination)) = (
            destination_layout.contiguous_offsets(),
            source_layout.contiguous_offsets(),
            destination,
        ) else {
            candle_core::bail!("sums in place are for contiguous f32")
        };
        let (sums, terms) = (&mut destination[to..to_end], &source.as_slice::<f32>()?[from..from_end]);
        sums.par_chunks_mut(PIECE)
            .zip(terms.par_chunks(PIECE))
            .for_each(|(sums, terms)| {
                sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            });
        Ok(())
    }
}

/// How many numbers a thread takes at a time: a few cache pages, enough that handing them out costs little.
pub(crate) const PIECE: usize = 1 << 15;

fn sum_of_squares(numbers: &[f32]) -> f64 {
    // Pieces are summed in their order, so that the number of threads does not change the result.
    let of_pieces: Vec<f64> = numbers
        .par_chunks(PIECE)
        .map(|piece| piece.iter().map(|&number| f64::from(number) * f64::from(number)).sum())
        .collect();
    of_pieces.iter().sum()
}
