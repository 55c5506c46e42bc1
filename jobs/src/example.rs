//! What a training step works on.

use sightstream_model::processor::ModelInput;

/// A query and its targets, prepared for the encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// For each target a number of the row that it comes from: the example's own, but for a target that stands in from another row.
    /// In a batch with that row, or with one row twice, it is no negative there.
    pub rows: Vec<u64>,
    /// What is searched with.
    pub query: ModelInput,
    /// What is searched for: the positive first, then hard negatives. As many in every example of a batch.
    pub targets: Vec<ModelInput>,
}

impl Example {
    /// An example whose targets are all of its own row, which has this number.
    pub fn new(row: u64, query: ModelInput, targets: Vec<ModelInput>) -> Self {
        Self {
            rows: vec![row; targets.len()],
            query,
            targets,
        }
    }
}

/// The examples of one optimiser step.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Sub-batches one after the other, each from one dataset.
    pub examples: Vec<Example>,
    /// The dataset of each sub-batch, and how many examples it has.
    pub sources: Vec<(String, usize)>,
}
