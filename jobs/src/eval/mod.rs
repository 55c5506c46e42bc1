//! Ranking metrics, and their evaluation on a file of pairs.
//!
//! A [`Task`] is what a file of pairs asks: queries, the items that each should find, and those among which it looks. Whoever
//! evaluates gives a vector for each distinct item, and [`Task::rank`] tells at which places the right ones stand. [`metrics`]
//! makes numbers of places, and [`report`] tables of numbers.

pub mod metrics;
mod rank;
pub mod report;
mod task;

pub use metrics::{Judged, Measure, Metric, Scores};
pub use rank::{Detail, Evaluation, Unreadable};
pub use report::Comparison;
pub use task::{Question, Row, Task};
