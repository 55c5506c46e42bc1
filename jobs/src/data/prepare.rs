//! From an item to what the encoder reads: fetched, decoded, resized, tokenised.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use futures::future;
use sightstream_model::error::MediaError;
use sightstream_model::fetch::{Content, FetchOptions, Fetched, Fetcher};
use sightstream_model::isolation::{DecodeError, Decoder, DecoderIsolation, FittedAnswer};
use sightstream_model::media::{DecodeLimits, Media, Parts, Question, Segmentation};
use sightstream_model::processor::{FittedMedia, ModelInput, Processor};
use sightstream_model::reference::MediaReference;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::cache::MediaCache;
use super::item::{Item, ItemWords, Medium, file_address};
use crate::error::JobError;

/// How many characters of a text stand for it in messages.
const SHOWN_CHARACTERS: usize = 60;

/// How media are read.
#[derive(Debug, Clone)]
pub struct PrepareOptions {
    /// What may be fetched, and how.
    pub fetch: FetchOptions,
    /// Where media are decoded.
    pub decoder: DecoderIsolation,
    /// What a decoded medium may hold.
    pub limits: DecodeLimits,
    /// How many frames stand for a video. One that is longer than the encoder's windows is one clip too, of frames that are
    /// further apart: rows that mean a part of it name it (`#t=30,60`).
    pub frames: u32,
    /// How finely pages are drawn, in dots per inch.
    pub page_dpi: f32,
    /// The most bytes of decoded media that are kept for the next time. 0 keeps none.
    pub cache_bytes: usize,
    /// An item of more tokens fails. `None`: what the model can take.
    pub max_tokens: Option<usize>,
}

impl Default for PrepareOptions {
    /// 8 frames, 300 dots per inch, 1 GiB of decoded media.
    fn default() -> Self {
        let Segmentation { frames, page_dpi, .. } = Segmentation::default();
        Self {
            fetch: FetchOptions::default(),
            decoder: DecoderIsolation::default(),
            limits: DecodeLimits::default(),
            frames,
            page_dpi,
            cache_bytes: 1 << 30,
            max_tokens: None,
        }
    }
}

/// Why an item is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// It cannot be.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// No item can be.
    #[error("{0}")]
    Unavailable(String),
}

/// Prepares items, on any number of threads at once. A thread that has prepared an item has to stay as long as this is used:
/// processes that decode end with the thread that started them.
#[derive(Debug)]
pub struct Preparer {
    fetcher: Fetching,
    decoder: Decoder,
    processor: Arc<Processor>,
    cache: MediaCache,
    frames: u32,
    max_tokens: Option<usize>,
}

/// A fetcher, and what it runs on.
struct Fetching {
    fetcher: Fetcher,
    /// There until it is dropped.
    runtime: Option<Runtime>,
    stopped: watch::Sender<bool>,
}

impl Drop for Fetching {
    /// A runtime that waits for its tasks may not be dropped inside of another.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Fetching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetching").finish_non_exhaustive()
    }
}

/// The bytes of a medium: those of a file, or of each of its frames.
enum Bytes {
    One(Option<MediaReference>, Fetched),
    Frames(Vec<Bytes>),
}

impl Preparer {
    /// A preparer with clients and decoders of its own.
    ///
    /// # Errors
    /// [`JobError::Model`] for options that cannot be used.
    pub fn new(options: &PrepareOptions, processor: Arc<Processor>) -> Result<Self, JobError> {
        let segmentation = Segmentation {
            frames: options.frames.max(1),
            // Every video is one input.
            longest_clip: f64::MAX,
            page_dpi: options.page_dpi,
            ..Segmentation::default()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("fetch")
            .enable_all()
            .build()
            .map_err(|error| JobError::Config(format!("a thread to fetch with: {error}")))?;
        Ok(Self {
            decoder: Decoder::new(
                options.decoder.clone(),
                options.limits,
                segmentation,
                processor.target(),
            )?,
            fetcher: Fetching {
                fetcher: Fetcher::new(options.fetch.clone())?,
                runtime: Some(runtime),
                stopped: watch::Sender::new(false),
            },
            processor,
            cache: MediaCache::new(options.cache_bytes),
            frames: segmentation.frames,
            max_tokens: options.max_tokens,
        })
    }

    /// Prepares one item. Blocks, and so is not for threads of an async runtime.
    ///
    /// # Errors
    /// [`PrepareError::Media`] for this item alone.
    pub fn prepare(&self, item: &Item) -> Result<ModelInput, PrepareError> {
        let mut inputs = self.prepare_all(&[item])?;
        Ok(inputs.pop().expect("as many inputs as items"))
    }

    /// Prepares items whose media are fetched at the same time. Blocks as [`Preparer::prepare`] does.
    ///
    /// # Errors
    /// That of the first item that has one.
    pub fn prepare_all(&self, items: &[&Item]) -> Result<Vec<ModelInput>, PrepareError> {
        let keys: Vec<Option<String>> = items.iter().map(|item| item.medium.as_ref().map(Medium::key)).collect();
        let mut media: HashMap<&str, Arc<FittedMedia<'static>>> = HashMap::new();
        let mut missing: Vec<(&str, &Medium)> = Vec::new();
        for (key, item) in keys.iter().zip(items) {
            let (Some(key), Some(medium)) = (key, &item.medium) else {
                continue;
            };
            if media.contains_key(key.as_str()) || missing.iter().any(|(other, _)| other == key) {
                continue;
            }
            match self.cache.get(key) {
                Some(cached) => _ = media.insert(key, cached),
                None => missing.push((key, medium)),
            }
        }
        let fetched = match missing.is_empty() {
            true => Vec::new(),
            false => self.fetch(missing.iter().map(|(_, medium)| *medium))?,
        };
        for ((key, medium), bytes) in missing.into_iter().zip(fetched) {
            let fitted = Arc::new(self.decode(bytes, &medium.shown())?);
            self.cache.put(key, &fitted);
            media.insert(key, fitted);
        }
        let inputs = items.iter().zip(&keys).map(|(item, key)| match (key, &item.medium) {
            (Some(key), Some(medium)) => self.pack(&media[key.as_str()], item, &medium.shown()),
            _ => {
                let nothing = self.processor.target().fit_owned(Media::Text(String::new()));
                self.pack(&nothing, item, &item.shown_text())
            }
        });
        inputs.collect()
    }

    /// Ends fetches that run, and refuses others.
    pub(super) fn stop(&self) {
        self.fetcher.stopped.send_replace(true);
    }

    fn pack(&self, media: &FittedMedia<'_>, item: &Item, name: &str) -> Result<ModelInput, PrepareError> {
        let input = self.processor.pack_words(media, item.words(), name)?;
        match self.max_tokens {
            Some(most) if input.tokens() > most => Err(PrepareError::Media(MediaError::TooLarge {
                name: name.to_owned(),
                message: format!("{} tokens; the limit is {most}", input.tokens()),
            })),
            _ => Ok(input),
        }
    }

    /// The bytes of each medium.
    fn fetch<'a>(&self, media: impl Iterator<Item = &'a Medium>) -> Result<Vec<Bytes>, PrepareError> {
        let fetches = future::try_join_all(media.map(|medium| self.bytes(medium)));
        let mut stopped = self.fetcher.stopped.subscribe();
        let runtime = self.fetcher.runtime.as_ref().expect("it is there until it is dropped");
        runtime.block_on(async {
            tokio::select! {
                fetched = fetches => Ok(fetched?),
                _ = stopped.wait_for(|stopped| *stopped) => Err(PrepareError::Unavailable("it was stopped".into())),
            }
        })
    }

    async fn bytes(&self, medium: &Medium) -> Result<Bytes, MediaError> {
        match medium {
            Medium::Url(url) => self.at(url).await,
            Medium::Bytes { bytes, .. } => Ok(Bytes::One(
                None,
                Fetched {
                    content: Content::Memory(bytes.to_vec().into()),
                    media_type: None,
                },
            )),
            Medium::Frames(folder) => {
                let chosen = frames(folder, self.frames)?;
                let frames = chosen.iter().map(|url| self.at(url));
                Ok(Bytes::Frames(future::try_join_all(frames).await?))
            }
        }
    }

    async fn at(&self, url: &str) -> Result<Bytes, MediaError> {
        let reference = self.fetcher.fetcher.parse(url)?;
        let fetched = self.fetcher.fetcher.fetch(&reference).await?;
        Ok(Bytes::One(Some(reference), fetched))
    }

    fn decode(&self, bytes: Bytes, name: &str) -> Result<FittedMedia<'static>, PrepareError> {
        let (reference, fetched) = match bytes {
            Bytes::One(reference, fetched) => (reference, fetched),
            Bytes::Frames(frames) => return self.decode_frames(frames, name),
        };
        let fragment = reference.as_ref().and_then(MediaReference::fragment);
        let answer = self.decoder.read(&fetched, fragment, Question::Input, name);
        let parts = match answer {
            Ok(FittedAnswer::Media(media)) => return Ok(media),
            Ok(FittedAnswer::Parts(parts)) => parts,
            Err(DecodeError::Media(error)) => return Err(PrepareError::Media(error)),
            Err(DecodeError::Unavailable(error)) => {
                return Err(PrepareError::Unavailable(format!("nothing can be decoded: {error}")));
            }
        };
        let message = match parts {
            Parts::Pages(pages) => format!("a document of {pages} pages is no input; name one page, as in #page=1"),
            Parts::Windows { .. } | Parts::Whole => "it has parts; name one, as in #t=0,30".to_owned(),
        };
        Err(PrepareError::Media(MediaError::Unsupported {
            name: name.to_owned(),
            message,
        }))
    }

    fn decode_frames(&self, frames: Vec<Bytes>, name: &str) -> Result<FittedMedia<'static>, PrepareError> {
        let corrupt = |message: &str| {
            PrepareError::Media(MediaError::Corrupt {
                name: name.to_owned(),
                message: message.to_owned(),
            })
        };
        let mut images = Vec::with_capacity(frames.len());
        for frame in frames {
            match self.decode(frame, name)?.into_media() {
                Media::Image(image) => images.push(image),
                Media::Text(_) | Media::Page(_) | Media::Clip(_) => return Err(corrupt("a frame of it is no image")),
            }
        }
        let clip = self.processor.target().accept(Media::Clip(images));
        clip.ok_or_else(|| corrupt("its frames are of several sizes"))
    }
}

impl Medium {
    /// Its name in messages, without secrets.
    fn shown(&self) -> String {
        match self {
            Self::Url(url) => MediaReference::parse(url).map_or_else(|_| "a medium".into(), |url| url.to_string()),
            Self::Bytes { name, .. } => name.clone(),
            Self::Frames(folder) => folder.display().to_string(),
        }
    }
}

impl Item {
    fn shown_text(&self) -> String {
        let text = match &self.words {
            ItemWords::Given { text, .. } => text.as_deref().unwrap_or_default(),
            ItemWords::Around { before, .. } => before,
        };
        let mut shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        format!("the text `{shown}`")
    }
}

/// The addresses of the frames in a folder that stand for it: `linspace(0, n - 1, frames)`, truncated, of all `n`, as for the
/// frames of a video; all of them where there are fewer.
fn frames(folder: &Path, frames: u32) -> Result<Vec<String>, MediaError> {
    let failed = |message: String| MediaError::NotFound {
        name: folder.display().to_string(),
        message,
    };
    let is_image = |name: &str| {
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"].contains(&extension.to_ascii_lowercase().as_str())
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| failed(error.to_string()))? {
        let name = entry.map_err(|error| failed(error.to_string()))?.file_name();
        names.extend(name.to_str().filter(|name| is_image(name)).map(str::to_owned));
    }
    if names.is_empty() {
        return Err(failed("there is no image in it".into()));
    }
    names.sort_by_cached_key(|name| natural(name));
    let (all, frames) = (names.len(), frames as usize);
    let chosen = (0..frames.min(all)).map(|frame| match all <= frames {
        true => frame,
        false => frame * (all - 1) / (frames - 1).max(1),
    });
    chosen
        .map(|index| file_address(&folder.join(&names[index])).map_err(failed))
        .collect()
}

/// A name's words and numbers by turns: `c1_10.jpg` comes after `c1_9.jpg`.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let word = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, after) = rest.split_at(word);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (number, after) = after.split_at(digits);
        parts.push((text.to_lowercase(), number.parse().unwrap_or(u64::MAX)));
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_in_the_order_of_their_numbers_and_spread_over_all() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 1..=21 {
            fs::write(folder.path().join(format!("c01_{number}.jpeg")), []).expect("written");
        }
        fs::write(folder.path().join("notes.txt"), []).expect("written");
        let chosen = |count| {
            let urls = frames(folder.path(), count).expect("frames");
            let number = |url: &String| {
                let number = url
                    .rsplit_once('_')
                    .and_then(|(_, end)| end.split('.').next()?.parse().ok());
                number.expect("a number")
            };
            urls.iter().map(number).collect::<Vec<u32>>()
        };
        // numpy.linspace(0, 20, 8, dtype=int)
        assert_eq!(chosen(8), [0, 2, 5, 8, 11, 14, 17, 20].map(|index| index + 1));
        assert_eq!(chosen(1), [1]);
        assert_eq!(chosen(30), (1..=21).collect::<Vec<_>>());
        let empty = tempfile::tempdir().expect("a folder");
        assert_eq!(frames(empty.path(), 8).expect_err("none").reason(), "not_found");
    }
}
