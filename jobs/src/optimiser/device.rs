//! AdamW by tensor operations: for weights on an accelerator.

use candle_core::{DType, Tensor, Var};

use super::coefficients::Coefficients;

/// What AdamW remembers of one tensor, f32.
#[derive(Debug)]
pub(super) struct Moments {
    pub(super) first: Tensor,
    pub(super) second: Tensor,
    /// The weights as AdamW moves them, where the tensor itself holds fewer digits.
    pub(super) exact: Option<Tensor>,
}

impl Moments {
    pub(super) fn new(var: &Var, exact: Option<Tensor>) -> candle_core::Result<Self> {
        let zeros = || Tensor::zeros(var.shape(), DType::F32, var.device());
        Ok(Self {
            first: zeros()?,
            second: zeros()?,
            exact,
        })
    }

    /// Moves a variable by its gradient. Gives the sum of its weights times zero: zero, or not a number if
    /// one of them is not finite. It stays on the device, so that nobody waits for it yet.
    pub(super) fn step(&mut self, var: &Var, gradient: &Tensor, with: Coefficients) -> candle_core::Result<Tensor> {
        self.first = ((&self.first * with.beta1)? + (gradient * (1.0 - with.beta1))?)?;
        self.second = ((&self.second * with.beta2)? + (gradient.sqr()? * (1.0 - with.beta2))?)?;
        let scale = ((self.second.sqrt()? / with.root)? + with.epsilon)?;
        let before = self.exact.clone().unwrap_or_else(|| var.as_detached_tensor());
        let after = ((before * with.keep)? - ((&self.first / scale)? * with.rate)?)?;
        let weights = after.to_dtype(var.dtype())?;
        var.set(&weights)?;
        if self.exact.is_some() {
            self.exact = Some(after);
        }
        (&weights * 0.0)?.to_dtype(DType::F32)?.sum_all()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::optimiser::AdamWOptions;
    use crate::optimiser::host;

    /// What runs on an accelerator, held against the CPU's own way on the same numbers.
    #[test]
    fn tensor_operations_move_weights_as_the_pass_over_slices_does() -> candle_core::Result<()> {
        let options = AdamWOptions {
            weight_decay: 0.1,
            ..AdamWOptions::default()
        };
        for dtype in [DType::F32, DType::BF16] {
            let start = Tensor::new(&[[0.5f32, -1.0, 2.0], [0.25, -0.125, 1.5]], &Device::Cpu)?.to_dtype(dtype)?;
            let (on_device, on_host) = (Var::from_tensor(&start)?, Var::from_tensor(&start.copy()?)?);
            let exact = (dtype != DType::F32).then(|| start.to_dtype(DType::F32)).transpose()?;
            let exact_numbers = exact
                .as_ref()
                .map(|exact| exact.flatten_all()?.to_vec1::<f32>())
                .transpose()?;
            let mut by_operations = Moments::new(&on_device, exact)?;
            let mut by_slices = host::Moments::new(6, exact_numbers);
            for step in 1..=5u64 {
                let slope = step as f32 - 2.5;
                let gradient = Tensor::new(&[[slope, 0.1, -slope], [0.0, 0.3 * slope, 1e-4]], &Device::Cpu)?;
                let with = Coefficients::new(&options, 0.05, step, true);
                let check = by_operations.step(&on_device, &gradient, with)?;
                assert_eq!(check.to_scalar::<f32>()?, 0.0);
                assert!(by_slices.step(&on_host, &gradient, with)?);
            }
            let numbers = |var: &Var| var.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
            let (one, other) = (numbers(&on_device)?, numbers(&on_host)?);
            assert_ne!(one, start.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
            for (one, other) in one.iter().zip(&other) {
                assert!((one - other).abs() <= 1e-6 * one.abs().max(1.0), "{one} and {other}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_weight_that_is_no_number_shows_in_the_check() -> candle_core::Result<()> {
        let var = Var::new(&[1.0f32, 2.0], &Device::Cpu)?;
        let mut moments = Moments::new(&var, None)?;
        let gradient = Tensor::new(&[0.0f32, f32::INFINITY], &Device::Cpu)?;
        let with = Coefficients::new(&AdamWOptions::default(), 0.1, 1, false);
        assert!(moments.step(&var, &gradient, with)?.to_scalar::<f32>()?.is_nan());
        Ok(())
    }
}
