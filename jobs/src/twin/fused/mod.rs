//! Layers on a CPU in f32, on plain slices: a layer is one operation of the graph, and its way back is written by hand.
//!
//! What candle's own graph costs on a CPU is memory: every small operation keeps its result and gets a gradient of zeros to add
//! to. Here a layer keeps what its products need, computes the rest again, and sums up gradients in place. Attention goes back with the
//! scores of some queries at a time. Work is cut into pieces whose size does not depend on the number of cores, so that sums come
//! out the same to the bit each time.

mod activation;
mod attention;
mod buffers;
mod layer;
mod layer_back;
mod linear;
mod matrix;
mod norm;
mod sums;
mod tower;

pub use layer::forward;
pub use tower::{gelu, linear};
