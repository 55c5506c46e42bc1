//! Training data: datasets and their parsers, the mixture, and workers that prepare examples ahead of the device.
//!
//! ```text
//! files ── table ──▶ rows ── parser ──▶ Pair ── prepare ──▶ Example ──┐
//! seed, Position ── mixture ──▶ which row comes next ────────────────┴── loader ──▶ Batch, Position after it
//! ```
//!
//! A training run needs a [`Loader`] and nothing else. [`Dataset`] reads rows for whoever does not train, and [`Preparer`] makes
//! inputs of their items, of which [`ItemEncoder`] makes vectors. [`PairWriter`] writes files of pairs.

mod cache;
mod dataset;
mod item;
mod loader;
mod mixture;
mod order;
mod parser;
mod position;
mod prepare;
mod table;
mod value;
mod vectors;
mod write;

pub use dataset::{Dataset, DatasetOptions, read_items};
pub use item::{Identity, Item, ItemRow, ItemWords, Medium, Pair, PairRow, Root};
pub use loader::{Loaded, Loader, LoaderOptions, SkippedRow};
pub use mixture::{Draw, Mixture, MixtureOptions, Part, Stopping};
pub use parser::{Mode, ParserKind};
pub use position::{Position, SourcePosition};
pub use prepare::{PrepareError, PrepareOptions, Preparer};
pub use table::{Table, TableRow};
pub use value::Value;
pub use vectors::{ItemEncoder, Vectors};
pub use write::PairWriter;
