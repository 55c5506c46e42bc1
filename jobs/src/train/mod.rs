//! A training run: its configuration, its loop, its checkpoints and its reports.

pub mod checkpoint;
mod diverged;
pub mod state;
pub mod trainer;
