//! AdamW and its learning-rate schedules. Gradients are clipped where they are summed: [`crate::objective::Gradients::clip`].

mod adamw;
mod coefficients;
mod device;
mod host;
mod schedule;

pub use adamw::{AdamW, AdamWOptions};
pub use schedule::{Schedule, ScheduleKind};
