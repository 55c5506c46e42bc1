//! The activations of both towers.

use candle_core::{Result, Tensor};

/// `x · sigmoid(1.702 x)`: the vision tower's MLP.
pub(super) fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    x * candle_nn::ops::sigmoid(&(x * 1.702)?)?
}

/// The exact GELU, by the error function: the vision tower's merger.
pub(super) fn gelu(x: &Tensor) -> Result<Tensor> {
    x.gelu_erf()
}

/// `silu(gate) · up`: the language model's MLP.
pub(super) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.silu()? * up
}
