//! How a run goes.

use crate::error::JobError;
use crate::objective::{GradCache, InfoNce};
use crate::optimiser::{AdamWOptions, Schedule};

/// How a run goes.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// Seeds the dropout masks: those of a step come from it, the step and the micro-batch, and so are the same in a resumed run.
    pub seed: u64,
    /// Steps of the run.
    pub max_steps: u64,
    /// The learning rate at its highest.
    pub learning_rate: f64,
    /// Its way over the run, or over a longer one of which this is the beginning.
    pub schedule: Schedule,
    /// Batches whose gradients make one step, as their mean. Negatives stay within a batch.
    pub gradient_accumulation_steps: usize,
    /// The largest norm of a step's gradient, to which a larger one is scaled down.
    pub max_grad_norm: Option<f64>,
    /// Steps from one checkpoint to the next. There is one at the end in any case.
    pub save_steps: Option<u64>,
    /// The loss.
    pub objective: InfoNce,
    /// How a batch is cut.
    pub grad_cache: GradCache,
    /// The optimiser.
    pub adamw: AdamWOptions,
}

impl TrainOptions {
    /// Whether the numbers can be followed. What belongs to the loss, the chunks and the optimiser is checked there.
    ///
    /// # Errors
    /// [`JobError::Config`] with the first that cannot.
    pub(super) fn check(&self) -> Result<(), JobError> {
        let refuse = |key: &str, value: &dyn std::fmt::Display, wanted: &str| {
            Err(JobError::Config(format!("`{key}` is {value}: it has to be {wanted}")))
        };
        let schedule = &self.schedule;
        if self.max_steps == 0 {
            return refuse("max_steps", &0, "1 or more");
        }
        if schedule.total_steps < self.max_steps {
            let wanted = format!("at least the run's steps, {}", self.max_steps);
            return refuse("lr_decay_steps", &schedule.total_steps, &wanted);
        }
        if schedule.warmup_steps > schedule.total_steps {
            let wanted = format!("at most the schedule's steps, {}", schedule.total_steps);
            return refuse("warmup_steps", &schedule.warmup_steps, &wanted);
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return refuse("learning_rate", &self.learning_rate, "a positive number");
        }
        if self.gradient_accumulation_steps == 0 {
            return refuse("gradient_accumulation_steps", &0, "1 or more");
        }
        if self.save_steps == Some(0) {
            return refuse("save_steps", &0, "1 or more, or left out");
        }
        match self.max_grad_norm {
            Some(largest) if !(largest.is_finite() && largest > 0.0) => {
                refuse("max_grad_norm", &largest, "a positive number, or left out")
            }
            _ => Ok(()),
        }
    }
}
