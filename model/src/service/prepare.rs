//! From a reference to what the encoder reads: the part of the service that knows about media.

use std::sync::Arc;

use async_trait::async_trait;

use super::EmbedError;
use crate::error::{MediaError, ModelError};
use crate::fetch::{FetchPlace, Fetched, Fetcher};
use crate::isolation::{DecodeError, Decoder, FittedAnswer};
use crate::media::Question;
use crate::processor::{ModelInput, Processor};
use crate::reference::MediaReference;

/// What happens to a reference before the device: its bytes are fetched, then decoded and preprocessed.
///
/// The service runs the first on its async runtime and the second on its CPU pool, both many at once, and catches panics
/// in either.
#[async_trait]
pub trait Prepare: Send + Sync + 'static {
    /// Reads a reference, and refuses what is too large to be read.
    fn parse(&self, url: &str) -> Result<MediaReference, MediaError> {
        MediaReference::parse(url)
    }

    /// Fetches the bytes, with `place` taken while it reads and when it returns them. May be dropped at any await point,
    /// when all callers went away.
    async fn fetch(&self, reference: &MediaReference, place: &mut FetchPlace) -> Result<Fetched, MediaError>;

    /// Gets ready for the first medium, on a thread of the CPU pool.
    ///
    /// # Errors
    /// What keeps every medium from being prepared.
    fn warm_up(&self) -> Result<(), ModelError> {
        Ok(())
    }

    /// Decodes and preprocesses, on a thread of the CPU pool. `instruction`: `None` means the modality's default.
    ///
    /// # Errors
    /// [`EmbedError::Media`] for this medium alone; [`EmbedError::Stopped`] ends the service.
    fn prepare(
        &self,
        reference: &MediaReference,
        fetched: Fetched,
        instruction: Option<&str>,
    ) -> Result<ModelInput, EmbedError>;
}

/// The real [`Prepare`]: a [`Fetcher`], a [`Decoder`] and a checkpoint's [`Processor`].
pub(super) struct MediaPrepare {
    pub(super) fetcher: Fetcher,
    pub(super) decoder: Decoder,
    pub(super) processor: Arc<Processor>,
}

/// What an input costs of the token budgets: its language tokens (those that stand for pixels included), and one for each
/// four patches of the vision tower.
///
/// Patches count besides the language tokens they become, because they pass through the vision tower first, and because
/// their pixels are what an input holds in memory.
pub fn input_cost(input: &ModelInput) -> usize {
    input.tokens()
        + input
            .vision
            .as_ref()
            .map_or(0, |vision| vision.patch_count().div_ceil(4))
}

#[async_trait]
impl Prepare for MediaPrepare {
    fn parse(&self, url: &str) -> Result<MediaReference, MediaError> {
        self.fetcher.parse(url)
    }

    async fn fetch(&self, reference: &MediaReference, place: &mut FetchPlace) -> Result<Fetched, MediaError> {
        self.fetcher.fetch_in(reference, place).await
    }

    fn warm_up(&self) -> Result<(), ModelError> {
        self.decoder
            .warm_up()
            .map_err(|unavailable| ModelError::Decoder(unavailable.to_string()))
    }

    fn prepare(
        &self,
        reference: &MediaReference,
        fetched: Fetched,
        instruction: Option<&str>,
    ) -> Result<ModelInput, EmbedError> {
        let name = reference.to_string();
        let answer = self
            .decoder
            .read(&fetched, reference.fragment(), Question::Input, &name);
        let answer = answer.map_err(|error| match error {
            DecodeError::Media(error) => EmbedError::Media(error),
            DecodeError::Unavailable(error) => EmbedError::Stopped(format!("nothing can be decoded: {error}")),
        })?;
        // The encoded bytes are not needed beside the pixels. Those of a `data:` URL stay: its reference shares them.
        drop(fetched);
        match answer {
            FittedAnswer::Media(media) => Ok(self.processor.pack(&media, instruction, &name)?),
            FittedAnswer::Parts(_) => Err(EmbedError::Media(MediaError::Unsupported {
                name,
                message: "it has several parts; name one of them".into(),
            })),
        }
    }
}
