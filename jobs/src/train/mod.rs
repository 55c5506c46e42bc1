//! A training run: its configuration, its loop, its checkpoints and its reports.

pub mod checkpoint;
pub mod config;
mod diverged;
pub mod model;
mod options;
pub mod report;
pub mod state;
pub mod trainer;
