//! AdamW on weights in the CPU's memory: one pass over all numbers of a weight at once.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Storage, Tensor, Var};
use half::{bf16, f16};
use rayon::prelude::*;

use super::coefficients::Coefficients;
use crate::objective::PIECE;

/// What AdamW remembers of one tensor.
#[derive(Debug)]
pub(super) struct Moments {
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
    /// The weights as AdamW moves them, where the tensor itself holds fewer digits.
    pub(super) exact: Option<Vec<f32>>,
}

impl Moments {
    pub(super) fn new(count: usize, exact: Option<Vec<f32>>) -> Self {
        Self {
            first: vec![0.0; count],
            second: vec![0.0; count],
            exact,
        }
    }

    /// Moves a contiguous variable by its gradient. Says whether all of its weights are finite now.
    pub(super) fn step(&mut self, var: &Var, gradient: &Tensor, with: Coefficients) -> candle_core::Result<bool> {
        let gradient = gradient.contiguous()?;
        let (storage, layout) = gradient.storage_and_layout();
        let (Storage::Cpu(numbers), Some((from, to))) = (&*storage, layout.contiguous_offsets()) else {
            candle_core::bail!("the gradient is not where the weights are")
        };
        let update = Update {
            gradient: &numbers.as_slice::<f32>()?[from..to],
            with: Single::from(with),
            inner: RefCell::new((self, true)),
        };
        var.inplace_op1(&update)?;
        let (_, finite) = update.inner.into_inner();
        Ok(finite)
    }
}

/// [`Coefficients`] as f32 arithmetic takes them.
#[derive(Clone, Copy)]
struct Single {
    keep: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    rate: f32,
    root: f32,
    towards_gradient: f32,
    towards_square: f32,
}

impl From<Coefficients> for Single {
    fn from(with: Coefficients) -> Self {
        Self {
            keep: with.keep as f32,
            beta1: with.beta1 as f32,
            beta2: with.beta2 as f32,
            epsilon: with.epsilon as f32,
            rate: with.rate as f32,
            root: with.root as f32,
            towards_gradient: (1.0 - with.beta1) as f32,
            towards_square: (1.0 - with.beta2) as f32,
        }
    }
}

impl Single {
    /// The weight after the step.
    #[inline(always)]
    fn weight(self, weight: f32, gradient: f32, first: &mut f32, second: &mut f32) -> f32 {
        *first = self.beta1 * *first + self.towards_gradient * gradient;
        *second = self.beta2 * *second + self.towards_square * gradient * gradient;
        weight * self.keep - self.rate * (*first / (second.sqrt() / self.root + self.epsilon))
    }
}

/// The step as an operation in place on the variable's memory.
struct Update<'a> {
    gradient: &'a [f32],
    with: Single,
    /// What it changes beside the weights, and whether these are finite after it.
    inner: RefCell<(&'a mut Moments, bool)>,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let Some((from, to)) = layout.contiguous_offsets() else {
            candle_core::bail!("a weight that is not contiguous")
        };
        let mut inner = self.inner.borrow_mut();
        let (moments, finite) = &mut *inner;
        let Moments { first, second, exact } = &mut **moments;
        *finite = match (storage, exact) {
            (CpuStorage::F32(weights), None) => {
                move_all(&mut weights[from..to], self.gradient, first, second, self.with)
            }
            (CpuStorage::BF16(weights), Some(exact)) => {
                move_all(exact, self.gradient, first, second, self.with);
                round(&mut weights[from..to], exact, bf16::from_f32, bf16::is_finite)
            }
            (CpuStorage::F16(weights), Some(exact)) => {
                move_all(exact, self.gradient, first, second, self.with);
                round(&mut weights[from..to], exact, f16::from_f32, f16::is_finite)
            }
            _ => candle_core::bail!("weights are f32, or f16 or bf16 with an exact copy"),
        };
        Ok(())
    }
}

fn move_all(weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], with: Single) -> bool {
    weights
        .par_chunks_mut(PIECE)
        .zip(gradient.par_chunks(PIECE))
        .zip(first.par_chunks_mut(PIECE).zip(second.par_chunks_mut(PIECE)))
        .map(|((weights, gradient), (first, second))| {
            let mut finite = true;
            for ((weight, &gradient), (first, second)) in
                weights.iter_mut().zip(gradient).zip(first.iter_mut().zip(second))
            {
                *weight = with.weight(*weight, gradient, first, second);
                finite &= weight.is_finite();
            }
            finite
        })
        .reduce(|| true, |one, other| one & other)
}

fn round<T: Copy + Send>(weights: &mut [T], exact: &[f32], to: fn(f32) -> T, is_finite: fn(T) -> bool) -> bool {
    weights
        .par_chunks_mut(PIECE)
        .zip(exact.par_chunks(PIECE))
        .map(|(weights, exact)| {
            let mut finite = true;
            for (weight, &exact) in weights.iter_mut().zip(exact) {
                *weight = to(exact);
                finite &= is_finite(*weight);
            }
            finite
        })
        .reduce(|| true, |one, other| one & other)
}
