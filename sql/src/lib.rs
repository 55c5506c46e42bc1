//! The one-machine engine: streaming SQL on DataFusion.
//!
//! A [`Script`] is a `.sql` file, parsed; a [`Plan`] its statements, planned; a [`Job`] the plan with its tables open.
//! [`Job::run`] moves the rows: epochs of records are read, computed (several at once), written in order, and only then committed. A row that
//! cannot be read, computed or written goes to the dead letters with the record it came from.
//!
//! What needs state across epochs (windows, aggregates and joins of streams) is refused when it is planned.

pub mod arroyo;
pub mod check;
pub mod error;
pub mod job;
pub mod metrics;
pub mod plan;
pub mod progress;
pub mod script;

mod bounded;
mod column_types;
mod compute;
mod dead_letters;
mod dialect;
mod environment;
mod epoch_table;
mod failpoints;
mod lineage;
mod outputs;
mod parser;
mod pipeline;
mod planner;
mod remembering;
mod row_numbers;
mod session;
mod tokens;
mod writing;

pub use check::Finding;
pub use error::{SqlError, SqlErrors};
pub use job::{Job, JobOptions, JobSummary, Model};
pub use plan::Plan;
pub use progress::{Progress, ProgressSnapshot};
pub use script::{Script, Setting};
