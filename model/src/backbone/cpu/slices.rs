//! The numbers inside candle's tensors.

use std::ops::Deref;

use candle_core::{DType, Result, Storage, Tensor};
use parking_lot::RwLockReadGuard;

/// Whether tensors like this one are computed with by this module.
pub fn is_fused(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// The numbers of a contiguous f32 tensor on the CPU, row-major, borrowed.
pub struct Floats<'a> {
    storage: RwLockReadGuard<'a, Storage>,
    start: usize,
    end: usize,
}

impl<'a> Floats<'a> {
    /// # Errors
    /// If the tensor is on another device, of another type, or not contiguous.
    pub fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("a contiguous tensor is needed, not {layout:?}");
        };
        match &*storage {
            Storage::Cpu(numbers) => numbers.as_slice::<f32>()?,
            _ => candle_core::bail!("a tensor on the CPU is needed"),
        };
        Ok(Self { storage, start, end })
    }
}

impl Deref for Floats<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(numbers) => {
                &numbers.as_slice::<f32>().expect("`of` saw that they are f32")[self.start..self.end]
            }
            _ => unreachable!("`of` saw that they are on the CPU"),
        }
    }
}
