//! Sources and sinks that acknowledge.
//!
//! A [`Source`] hands over [`Epoch`]s: a few hundred records as one record batch, with the position after them. A
//! [`Sink`] takes record batches and says when they are durable. Only then is the epoch's position committed, so a
//! crash at any moment replays rows and never loses one. This crate knows no model and no SQL: the tables it opens
//! come to it as a [`TableDefinition`].

pub mod dead_letter;
pub mod error;
pub mod files;
pub mod format;
pub mod kafka;
pub mod metrics;
pub mod options;
pub mod probe;
pub mod qdrant;
pub mod registry;
pub mod sink;
pub mod source;
pub mod stdout;
pub mod table;
pub mod waiting;

pub use error::ConnectorError;
pub use options::{OptionProblem, Options, ProblemKind};
pub use registry::{Deleting, Role, SinkContext, SourceContext, deletes, deleting, open_sink, open_source, validate};
pub use sink::{Deletion, Rejection, Rejections, Sink, VectorSpace};
pub use source::{
    Admission, Epoch, EpochLimits, Origin, OriginKind, Position, RejectedRecord, Source, SourceRecord, Tombstone,
};
pub use table::{MetadataColumn, TableDefinition};
pub use waiting::{Waiting, Waits};
