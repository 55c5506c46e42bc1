//! The numbers of one step that are the same for every weight of a tensor.

use super::adamw::AdamWOptions;

/// What one AdamW step multiplies with, for a tensor in its `step`-th step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coefficients {
    /// What decay leaves of a weight.
    pub(super) keep: f64,
    pub(super) beta1: f64,
    pub(super) beta2: f64,
    pub(super) epsilon: f64,
    /// The learning rate over the first moment's bias correction.
    pub(super) rate: f64,
    /// The root of the second moment's bias correction.
    pub(super) root: f64,
}

impl Coefficients {
    /// `step` counts from 1; `decays` says whether this tensor's weights do.
    pub(super) fn new(options: &AdamWOptions, learning_rate: f64, step: u64, decays: bool) -> Self {
        let power = |beta: f64| 1.0 - beta.powf(step as f64);
        Self {
            keep: if decays {
                1.0 - learning_rate * options.weight_decay
            } else {
                1.0
            },
            beta1: options.beta1,
            beta2: options.beta2,
            epsilon: options.epsilon,
            rate: learning_rate / power(options.beta1),
            root: power(options.beta2).sqrt(),
        }
    }
}
