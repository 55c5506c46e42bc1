//! The towers' work on a CPU in f32, on plain slices: products with what follows them folded in, and as few passes over
//! memory as that leaves.
//!
//! Rows of a batch are independent everywhere but in attention. So a layer is three steps, each of which shares the cores
//! once: normalise and project, attend, and the rest, where a core takes some rows through both products of the MLP while
//! they are in its cache. Nothing here differentiates (training
//! has kernels of its own, which start from these); other devices and types take candle's operations in the modules above.

mod activation;
mod attention;
mod heads;
mod norm;
mod product;
mod rows;
mod slices;
mod softmax;
mod tile;

pub use activation::{exp, gelu, quick_gelu, swiglu};
pub use attention::{Attention, Sequence};
pub use gemm::Parallelism;
pub use heads::{Heads, Rotary};
pub use norm::{normalise, sum};
pub use product::{Matrix, multiply};
pub use rows::by_rows;
pub use slices::{Floats, is_fused};
