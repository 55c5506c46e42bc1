//! From a reference to what the encoder reads: the part of the service that knows about media.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use image::RgbImage;

use super::EmbedError;
use crate::error::{MediaError, ModelError};
use crate::fetch::{FetchPlace, Fetched, Fetcher};
use crate::isolation::{DecodeError, Decoder, FittedAnswer};
use crate::kind::{Kind, may_move};
use crate::media::{Media, Parts, Question};
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

    /// Decodes and preprocesses, on a thread of the CPU pool. `instruction`: `None` means the modality's default. A whole
    /// that is too long for one input gives its parts.
    ///
    /// # Errors
    /// [`EmbedError::Media`] for this medium alone; [`EmbedError::Stopped`] ends the service.
    fn prepare(
        &self,
        reference: &MediaReference,
        fetched: Fetched,
        instruction: Option<&str>,
    ) -> Result<Prepared, EmbedError>;

    /// What parts the medium has, on a thread of the CPU pool. By default it is one input.
    ///
    /// # Errors
    /// Those of [`Prepare::prepare`].
    fn parts(&self, reference: &MediaReference, fetched: Fetched) -> Result<Parts, EmbedError> {
        let _ = (reference, fetched);
        Ok(Parts::Whole)
    }
}

/// What a medium is ready as.
#[derive(Debug, Clone, PartialEq)]
pub enum Prepared {
    /// What the encoder reads.
    Input(ModelInput),
    /// Parts, each of which is prepared alone.
    Parts(Parts),
}

/// Where media come from, and what tells what is in them.
pub(super) struct Reading {
    pub(super) fetcher: Fetcher,
    pub(super) decoder: Decoder,
}

/// The real [`Prepare`]: a [`Fetcher`], a [`Decoder`] and a checkpoint's [`Processor`].
pub(super) struct MediaPrepare {
    pub(super) reading: Reading,
    pub(super) processor: Arc<Processor>,
    /// More tokens than this are not made.
    pub(super) max_input_tokens: usize,
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
        self.reading.fetcher.parse(url)
    }

    async fn fetch(&self, reference: &MediaReference, place: &mut FetchPlace) -> Result<Fetched, MediaError> {
        self.reading.fetcher.fetch_in(reference, place).await
    }

    fn warm_up(&self) -> Result<(), ModelError> {
        self.reading.warm_up()
    }

    fn prepare(
        &self,
        reference: &MediaReference,
        fetched: Fetched,
        instruction: Option<&str>,
    ) -> Result<Prepared, EmbedError> {
        let name = reference.to_string();
        let media = match self.reading.read(reference, &fetched, Question::Input)? {
            FittedAnswer::Media(media) => media,
            FittedAnswer::Parts(parts) => return Ok(Prepared::Parts(parts)),
        };
        // The encoded bytes are not needed beside the pixels. Those of a `data:` URL stay: its reference shares them.
        drop(fetched);
        let tokens = self.pixel_cost(media.media());
        if tokens > self.max_input_tokens {
            return Err(too_many_tokens(tokens, self.max_input_tokens, name).into());
        }
        Ok(Prepared::Input(self.processor.pack(&media, instruction, &name)?))
    }

    fn parts(&self, reference: &MediaReference, fetched: Fetched) -> Result<Parts, EmbedError> {
        self.reading.parts(reference, &fetched)
    }
}

/// The [`Prepare`] of a service that lists parts, and has no model to embed with.
#[async_trait]
impl Prepare for Reading {
    fn parse(&self, url: &str) -> Result<MediaReference, MediaError> {
        self.fetcher.parse(url)
    }

    async fn fetch(&self, reference: &MediaReference, place: &mut FetchPlace) -> Result<Fetched, MediaError> {
        self.fetcher.fetch_in(reference, place).await
    }

    fn warm_up(&self) -> Result<(), ModelError> {
        Reading::warm_up(self)
    }

    fn prepare(&self, _: &MediaReference, _: Fetched, _: Option<&str>) -> Result<Prepared, EmbedError> {
        Err(EmbedError::Model("this service lists parts, and has none".into()))
    }

    fn parts(&self, reference: &MediaReference, fetched: Fetched) -> Result<Parts, EmbedError> {
        Reading::parts(self, reference, &fetched)
    }
}

/// An input that there is no memory for.
pub(super) fn too_many_tokens(tokens: usize, most: usize, name: String) -> MediaError {
    let message = format!("{tokens} tokens; the memory limit leaves room for {most}");
    MediaError::TooLarge { name, message }
}

impl Reading {
    fn warm_up(&self) -> Result<(), ModelError> {
        self.decoder
            .warm_up()
            .map_err(|unavailable| ModelError::Decoder(unavailable.to_string()))
    }

    fn parts(&self, reference: &MediaReference, fetched: &Fetched) -> Result<Parts, EmbedError> {
        let unreadable = |error: io::Error| MediaError::Unavailable {
            name: reference.to_string(),
            message: error.to_string(),
        };
        // Whether an image or a text can be read is seen when it is embedded.
        let head = fetched.content.head().map_err(unreadable)?;
        if !Kind::of(&head, fetched.media_type.as_deref()).has_parts() && !may_move(&head) {
            return Ok(Parts::Whole);
        }
        drop(head);
        Ok(match self.read(reference, fetched, Question::Parts)? {
            FittedAnswer::Parts(parts) => parts,
            FittedAnswer::Media(_) => Parts::Whole,
        })
    }

    fn read(
        &self,
        reference: &MediaReference,
        fetched: &Fetched,
        question: Question,
    ) -> Result<FittedAnswer, EmbedError> {
        let answer = self
            .decoder
            .read(fetched, reference.fragment(), question, &reference.to_string());
        answer.map_err(|error| match error {
            DecodeError::Media(error) => EmbedError::Media(error),
            DecodeError::Unavailable(error) => EmbedError::Stopped(format!("nothing can be decoded: {error}")),
        })
    }
}

impl MediaPrepare {
    /// What the pixels of a medium cost of the token budgets, before they become patches: those of a clip take much memory.
    fn pixel_cost(&self, media: &Media) -> usize {
        let (frames, first) = match media {
            Media::Text(_) => return 0,
            Media::Image(image) | Media::Page(image) => (1, Some(image)),
            Media::Clip(frames) => (frames.len(), frames.first()),
        };
        let config = self.processor.config();
        let (width, height) = first.map(RgbImage::dimensions).unwrap_or_default();
        let of_a_grid = (width / config.factor()) as usize * (height / config.factor()) as usize;
        // A token for the language model, and one for the vision tower: see `input_cost`.
        2 * of_a_grid * frames.div_ceil(config.temporal_patch_size as usize)
    }
}
