//! Who turns a media reference into a vector, or into those of its parts.

use std::sync::Arc;

use async_trait::async_trait;
use sightstream_model::service::{EmbedError, EmbeddingService};

/// Turns media references into vectors and parts; many calls run at the same time. [`EmbeddingService`] is the real one.
#[async_trait]
pub trait Embedder: Send + Sync {
    /// The unit vector of what `url` names. `instruction` is the model's default for the modality if `None`.
    async fn embed(&self, url: &str, instruction: Option<&str>) -> Result<Arc<[f32]>, EmbedFailure>;

    /// The references of the parts of what `url` names, in order; `url` alone where it is no whole with parts.
    async fn segments(&self, url: &str) -> Result<Arc<[String]>, EmbedFailure>;
}

/// Why there is no vector, or nothing is known of parts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EmbedFailure {
    /// A short label, the same for all failures of a kind: `not_found`, `corrupt`.
    pub code: String,
    /// What failed, in a sentence that names the reference.
    pub message: String,
    /// Whether no other row can succeed either, so that the job must stop instead of passing this row by.
    pub fatal: bool,
}

#[async_trait]
impl Embedder for EmbeddingService {
    async fn embed(&self, url: &str, instruction: Option<&str>) -> Result<Arc<[f32]>, EmbedFailure> {
        Ok(EmbeddingService::embed(self, url, instruction).await?)
    }

    async fn segments(&self, url: &str) -> Result<Arc<[String]>, EmbedFailure> {
        Ok(EmbeddingService::segments(self, url).await?.into())
    }
}

impl From<EmbedError> for EmbedFailure {
    fn from(error: EmbedError) -> Self {
        Self {
            code: error.reason().to_string(),
            message: error.to_string(),
            fatal: matches!(error, EmbedError::Stopped(_) | EmbedError::Model(_)),
        }
    }
}
