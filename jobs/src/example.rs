//! What a training step works on.

use sightstream_model::processor::ModelInput;

/// A query and its targets, prepared for the encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// A number of the row that it was made of. Two examples of a batch that have the same one are one row that comes twice, and
    /// no negatives of each other.
    pub row: u64,
    /// What is searched with.
    pub query: ModelInput,
    /// What is searched for: the positive first, then hard negatives. As many in every example of a batch.
    pub targets: Vec<ModelInput>,
}

/// The examples of one optimiser step.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Sub-batches one after the other, each from one dataset.
    pub examples: Vec<Example>,
    /// The dataset of each sub-batch, and how many examples it has.
    pub sources: Vec<(String, usize)>,
}
