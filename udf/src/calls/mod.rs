//! `embed(url [, instruction])`, the unit vector of what a media reference names, and `segments(url)`, the references of
//! its parts: calls of the embedding service.
//!
//! DataFusion can call asynchronous functions, but evaluates them for every row of a `CASE`, cannot nest them, and has
//! no way to leave out a row that failed. So such a [`Function`] is only a name that the planner knows; after planning,
//! [`extract`] moves every call into a [`CallNode`] below the expression that used it. The node's operator, [`CallExec`],
//! makes the calls of all rows of a batch at once, adds the results as columns, and leaves out rows whose call fails, which
//! it reports to [`crate::RowFailures`].
//!
//! What this gives, whatever stands around the call:
//! - NULL in, NULL out. A NULL instruction is the model's default for the modality.
//! - Only rows that need the result are asked for: the conditions of `CASE`, `COALESCE`, `AND` and `OR` guard the call.
//! - A call that stands twice in a statement's expressions is made once.
//! - Filters on other columns run before it.

mod exec;
mod extract;
mod functions;
mod node;
mod planner;
mod results;

pub use exec::CallExec;
pub use extract::{called, extract};
pub use functions::{Function, vector_type};
pub use node::CallNode;
pub use planner::CallPlanner;
