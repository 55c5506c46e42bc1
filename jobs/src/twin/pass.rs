//! How one pass through the twin is made.

use candle_core::{DType, Tensor};

/// How one pass is made.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    /// Seeds the dropout masks; `None` leaves dropout out.
    pub dropout: Option<u64>,
    /// Whether the vectors get a graph back to the parameters.
    pub graph: bool,
    /// Whether candle's operations are taken even where those on slices would do.
    pub plain: bool,
    /// Whether a layer keeps its inputs alone, and computes the rest again on the way back.
    pub checkpoints: bool,
}

impl Pass {
    /// A parameter as this pass sees it.
    pub fn of(&self, parameter: &Tensor) -> Tensor {
        if self.graph {
            parameter.clone()
        } else {
            parameter.detach()
        }
    }

    /// Whether a layer on numbers like these runs on slices.
    pub fn is_fused(&self, x: &Tensor) -> bool {
        !self.plain && x.device().is_cpu() && x.dtype() == DType::F32
    }
}
