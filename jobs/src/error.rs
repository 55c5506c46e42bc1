//! What can go wrong in a job.

use std::path::PathBuf;

use sightstream_model::error::{MediaError, ModelError};
use thiserror::Error;

/// Why a job stopped.
#[derive(Debug, Error)]
pub enum JobError {
    /// A setting that cannot be followed; the message names it and says what would do.
    #[error("{0}")]
    Config(String),
    /// A dataset that cannot be read as what it should be.
    #[error("dataset `{dataset}`: {message}")]
    Data {
        /// Its name in the mixing table.
        dataset: String,
        /// What is wrong, where, and what would do.
        message: String,
    },
    /// Training left the numbers behind.
    #[error("step {step}: {message}")]
    Diverged {
        /// The optimiser step, from 1.
        step: u64,
        /// What is not a number any more, and what came before it.
        message: String,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The checkpoint, or the device that it is on.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// One medium.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// A tensor operation.
    #[error("the device: {0}")]
    Candle(#[from] candle_core::Error),
}
