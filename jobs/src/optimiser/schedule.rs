//! How the learning rate goes over a run.

use std::f64::consts::PI;

/// How the learning rate goes on after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleKind {
    /// Down to nothing in a straight line (transformers' `get_linear_schedule_with_warmup`).
    Linear,
    /// Down to nothing along half a cosine (`get_cosine_schedule_with_warmup`).
    Cosine,
    /// Not at all (`get_constant_schedule_with_warmup`).
    Constant,
}

/// The share of the learning rate that each step takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// The way after warm-up.
    pub kind: ScheduleKind,
    /// Steps in which the share grows in a straight line. The first of them takes none of it, as in transformers: it only moves
    /// the optimiser's moments.
    pub warmup_steps: u64,
    /// Steps until nothing is left of it, those of warm-up included.
    pub total_steps: u64,
}

impl Schedule {
    /// The share for the step after so many completed ones, in 0..=1.
    pub fn share(&self, completed: u64) -> f64 {
        if completed < self.warmup_steps {
            return completed as f64 / self.warmup_steps as f64;
        }
        let decaying = self.total_steps.saturating_sub(self.warmup_steps).max(1) as f64;
        match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Linear => self.total_steps.saturating_sub(completed) as f64 / decaying,
            ScheduleKind::Cosine => {
                let progress = ((completed - self.warmup_steps) as f64 / decaying).min(1.0);
                0.5 * (1.0 + (PI * progress).cos())
            }
        }
    }
}
