//! What training asks of an encoder.

use candle_core::{Tensor, Var};
use sightstream_model::processor::ModelInput;

use crate::error::JobError;

/// A tensor that training moves.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name in files: that of the checkpoint's tensor, or PEFT's for an adapter's.
    pub name: String,
    /// The tensor.
    pub var: Var,
}

/// An encoder whose vectors have a graph back to its parameters.
pub trait Embed {
    /// A unit vector for each input, (inputs, hidden_size), f32.
    ///
    /// `dropout` seeds the dropout masks: the same seed and inputs give the same masks, which is what lets a second pass with
    /// graph stand for a first one without. `None` leaves dropout out, as in evaluation.
    ///
    /// # Errors
    /// [`JobError`] for an input that does not fit the checkpoint, and if the device fails.
    fn embed(&self, inputs: &[&ModelInput], dropout: Option<u64>) -> Result<Tensor, JobError>;

    /// The vectors of [`Embed::embed`], to rounding, for who needs no graph. An encoder that is faster or smaller without one
    /// has its own way here.
    ///
    /// # Errors
    /// As [`Embed::embed`].
    fn embed_without_graph(&self, inputs: &[&ModelInput], dropout: Option<u64>) -> Result<Tensor, JobError> {
        Ok(self.embed(inputs, dropout)?.detach())
    }

    /// What is trained, in an order that stays the same.
    fn parameters(&self) -> &[Parameter];
}
