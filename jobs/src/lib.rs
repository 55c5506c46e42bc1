//! Work on the encoder that is done in batches: contrastive training, evaluation, and what both read.
//!
//! One training step, in the order in which it happens: [`data`] draws rows and prepares them as [`Example`]s, [`twin`] encodes
//! them with a graph, [`objective`] turns vectors into a loss and its gradients, [`optimiser`] moves the parameters, and [`train`]
//! repeats this, reports it, and keeps checkpoints. [`adapter`] writes what came of it, [`eval`] ranks with it. [`scenes`] draws the
//! data that the demo checkpoint learns from, [`negatives`] finds what a query should not be taken for. Files that are whole or absent
//! come of [`whole`].

pub mod adapter;
pub mod data;
pub mod embed;
pub mod error;
pub mod eval;
pub mod example;
pub mod negatives;
pub mod objective;
pub mod optimiser;
pub mod scenes;
pub mod train;
pub mod twin;
pub mod whole;

pub use embed::{Embed, Parameter};
pub use error::JobError;
pub use example::{Batch, Example};
