//! The towers' work on a CPU in f32, on plain slices: products with what follows them folded in, and as few passes over
//! memory as that leaves.
//!
//! Rows of a batch are independent everywhere but in attention. So a layer is three steps, each of which shares the cores
//! once: normalise and project, attend, and the rest, where a core takes some rows through both products of the MLP while
//! they are in its cache. Nothing here differentiates; other devices and types take candle's operations in the modules above.

mod activation;
mod attention;
mod heads;
mod norm;
mod product;
mod rows;
mod slices;
mod softmax;
mod tile;

pub(super) use activation::{gelu, quick_gelu, swiglu};
pub(super) use attention::{Attention, Sequence};
pub(super) use gemm::Parallelism;
pub(super) use heads::{Heads, Rotary};
pub(super) use norm::normalise;
pub(super) use product::{Matrix, multiply};
pub(super) use rows::by_rows;
pub(super) use slices::{Floats, is_fused};
