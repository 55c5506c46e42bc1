//! The contrastive loss, and its gradients in bounded memory (GradCache).
//!
//! [`InfoNce`] gives the loss of a batch and its gradients on the vectors. [`GradCache`] carries them on to the parameters, a
//! chunk of the batch at a time. [`Gradients`] is what comes of it.

mod grad_cache;
mod gradients;
mod info_nce;
pub mod seed;

pub use grad_cache::{GradCache, Outcome};
pub use gradients::Gradients;
pub(crate) use gradients::PIECE;
pub use info_nce::{Alike, InfoNce, Scored};
