//! What is said when numbers are none any more.

use std::fmt::Write;
use std::path::Path;

use super::state::TrainerState;
use crate::error::JobError;

/// What the step was about that went wrong.
pub(super) struct Circumstances<'a> {
    /// Which one, from 1.
    pub(super) step: u64,
    /// What it would have taken.
    pub(super) learning_rate: f64,
    /// The datasets of its batches, and how many examples each gave.
    pub(super) sources: &'a [(String, usize)],
    /// The run up to the step before.
    pub(super) before: &'a TrainerState,
    /// The last checkpoint of the run, which knows nothing of this step.
    pub(super) checkpoint: Option<&'a Path>,
}

impl Circumstances<'_> {
    /// The error that tells them. `what` is a sentence's beginning: "the loss is NaN".
    pub(super) fn error(&self, what: &str) -> JobError {
        let mut message = what.to_owned();
        let sources: Vec<_> = self
            .sources
            .iter()
            .map(|(name, count)| format!("`{name}` ({count})"))
            .collect();
        // Writing to a String cannot fail.
        let _ = write!(
            message,
            ". Learning rate {:.3e}; the batch was of {}.",
            self.learning_rate,
            if sources.is_empty() {
                "no dataset".to_owned()
            } else {
                sources.join(", ")
            }
        );
        if !self.before.recent.is_empty() {
            message.push_str(" Before it:");
        }
        for (index, step) in self.before.recent.iter().enumerate() {
            let _ = write!(
                message,
                "{} step {} with loss {:.4}, gradient norm {:.3e}, learning rate {:.3e}",
                if index == 0 { "" } else { ";" },
                step.step,
                step.loss,
                step.gradient_norm,
                step.learning_rate
            );
        }
        if !self.before.recent.is_empty() {
            message.push('.');
        }
        let _ = match self.checkpoint {
            Some(path) => write!(message, " The last checkpoint is from before it: {}.", path.display()),
            None => write!(message, " There is no checkpoint yet."),
        };
        message.push_str(" A lower `learning_rate`, more `warmup_steps` or a smaller `max_grad_norm` may help");
        JobError::Diverged {
            step: self.step,
            message,
        }
    }
}
