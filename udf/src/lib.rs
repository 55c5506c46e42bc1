//! The SQL functions of Sightstream, for DataFusion.
//!
//! - [`embed`](mod@embed): `embed(url [, instruction])`, one unit vector a row.
//! - [`cosine_similarity`]: how alike two vectors are.
//! - [`vector_bytes`]: vectors as bytes, for `BYTEA` columns.
//!
//! `embed` is planned as an operator of its own, not evaluated as an expression: see [`embed`](mod@embed) for why.

pub mod cosine_similarity;
pub mod embed;
pub mod embedder;
pub mod failures;
pub mod vector_bytes;

pub use embedder::{EmbedFailure, Embedder};
pub use failures::{EmbedContext, RowFailure, RowFailures};

/// The hidden column that numbers the records of an epoch (`UInt64`), so that a failure anywhere in a plan finds its
/// record.
pub const ROW_NUMBER: &str = "__sightstream_row";
