//! `embed(url [, instruction])`: the unit vector of what a media reference names.
//!
//! DataFusion can call asynchronous functions, but evaluates them for every row of a `CASE`, cannot nest them, and has
//! no way to leave out a row that failed. So the function is only a name that the planner knows ([`function()`]); after
//! planning, [`extract`] moves every call into an [`EmbedNode`] below the expression that used it. The node's operator,
//! [`EmbedExec`], embeds all rows of a batch at once, adds the vectors as a column, and leaves out rows that cannot be
//! embedded, which it reports to [`crate::RowFailures`].
//!
//! What this gives, whatever stands around the call:
//! - NULL in, NULL out. A NULL instruction is the model's default for the modality.
//! - Only rows that need a vector are embedded: the conditions of `CASE`, `COALESCE`, `AND` and `OR` guard the call.
//! - A call that stands twice in a statement's expressions is made once.
//! - Filters on other columns run before it.

mod exec;
mod extract;
mod function;
mod node;
mod planner;

pub use exec::EmbedExec;
pub use extract::{extract, uses_embed};
pub use function::{NAME, function, vector_type};
pub use node::EmbedNode;
pub use planner::EmbedPlanner;
