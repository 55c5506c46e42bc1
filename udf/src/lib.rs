//! The SQL functions of Sightstream, for DataFusion.
//!
//! - [`calls`]: `embed(url [, instruction])`, one unit vector a row, and `segments(url)`, the references of its parts.
//! - [`parts`]: what the reference of a part says of it.
//! - [`cosine_similarity`]: how alike two vectors are.
//! - [`vector_bytes`]: vectors as bytes, for `BYTEA` columns.
//!
//! `embed` and `segments` are planned as an operator of their own, not evaluated as expressions: see [`calls`] for why.

pub mod calls;
pub mod cosine_similarity;
pub mod embedder;
pub mod failures;
pub mod parts;
pub mod vector_bytes;

pub use embedder::{EmbedFailure, Embedder};
pub use failures::{EmbedContext, RowFailure, RowFailures};

/// The hidden column that numbers the records of an epoch (`UInt64`), so that a failure anywhere in a plan finds its
/// record.
pub const ROW_NUMBER: &str = "__sightstream_row";
