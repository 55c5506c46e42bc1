//! What of a checkpoint is trained.

use serde::{Deserialize, Serialize};

use crate::error::JobError;

/// What of a checkpoint is trained.
#[derive(Debug, Clone, PartialEq)]
pub enum Trainable {
    /// Every weight.
    All,
    /// Small matrices beside some of the linear maps; the weights stay as they are.
    Adapter(AdapterOptions),
}

/// A low-rank adapter, in PEFT's terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdapterOptions {
    /// The inner width of an adapter: `r`.
    pub rank: usize,
    /// What an adapter adds is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// The share of an adapter's inputs that is set to zero while training.
    pub dropout: f64,
    /// The modules that get an adapter: those whose name is, or ends with a dot and, one of these.
    pub target_modules: Vec<String>,
    /// Whether the magnitude of each row of the weights is learned apart from its direction (DoRA).
    pub use_dora: bool,
    /// Where the adapter's random numbers start from.
    pub seed: u64,
}

impl AdapterOptions {
    /// What an adapter's output is multiplied by.
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }

    /// Whether `target_modules` name this module, as PEFT matches names.
    pub fn names(&self, module: &str) -> bool {
        self.target_modules.iter().any(|target| is_named(module, target))
    }

    /// Whether the numbers can be followed.
    ///
    /// # Errors
    /// [`JobError::Config`] with the first that cannot.
    pub fn check(&self) -> Result<(), JobError> {
        let wrong = |message: String| Err(JobError::Config(message));
        if self.rank == 0 {
            return wrong("`lora_rank` is 0; 8, 16 and 32 are usual".to_string());
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return wrong(format!(
                "`lora_alpha` is {}; it should be a positive number",
                self.alpha
            ));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return wrong(format!(
                "`lora_dropout` is {}; it should be at least 0 and below 1",
                self.dropout
            ));
        }
        if self.target_modules.is_empty() {
            return wrong("`lora_target_modules` is empty; name at least one, such as q_proj".to_string());
        }
        Ok(())
    }
}

/// Whether the module's name is `target`, or ends with a dot and `target`.
pub(super) fn is_named(module: &str, target: &str) -> bool {
    module
        .strip_suffix(target)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}
