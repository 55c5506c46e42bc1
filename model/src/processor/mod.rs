//! From a medium to what the backbone reads: token ids and pixel patches.
//!
//! The numbers are those of VLM2Vec-V2 on Qwen2-VL with the slow `Qwen2VLImageProcessor` of transformers 4.57:
//! [`prompt`] writes the text, [`target`], [`resize`] and [`patches`] make the pixels, [`config`] reads the checkpoint's limits.

pub mod config;
pub mod patches;
pub mod prompt;
pub mod resize;
pub mod target;

use image::RgbImage;
use tokenizers::Tokenizer;

use crate::checkpoint::CheckpointFiles;
use crate::error::{MediaError, ModelError};
use crate::media::Media;
pub use config::{ProcessorConfig, ProcessorOverrides};
use patches::Normalisation;
pub use prompt::Words;
use prompt::{IMAGE_PAD, VIDEO_PAD};
pub use target::{FittedMedia, PixelTarget};

/// One input of the backbone: the language tokens, and the pixels that stand for its pad tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInput {
    /// Token ids, the pad token already repeated once for each merged patch: `grid_thw` product / `merge_size`².
    pub token_ids: Vec<u32>,
    /// The pixels, where there are any.
    pub vision: Option<VisionInput>,
}

impl ModelInput {
    /// How many tokens the language model sees (vision tokens included). The unit of the token budget.
    pub fn tokens(&self) -> usize {
        self.token_ids.len()
    }
}

/// What the pixels are, and so which pad token stands for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VisionKind {
    /// One image: its frame twice.
    Image,
    /// Frames of a video.
    Video,
}

/// Pixels as the vision tower reads them.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionInput {
    /// Image or video. A page is an image.
    pub kind: VisionKind,
    /// Normalised pixels, row-major `(t * h * w, patch_dim)` with `patch_dim` = 3 * 2 * 14 * 14 = 1176. Rows: time, then
    /// merged blocks row by row, inside a block its 2 x 2 patches. In a row: channel, time (2), 14, 14.
    pub patches: Vec<f32>,
    /// The grid in patches: time, height, width.
    pub grid_thw: [u32; 3],
}

impl VisionInput {
    /// How many patches the vision tower sees, before merging.
    pub fn patch_count(&self) -> usize {
        self.grid_thw.iter().map(|&side| side as usize).product()
    }
}

/// The most tokens of one input, the context of the 2B and 7B models.
const MAX_TOKENS: usize = 32_768;

/// The most bytes of text and instruction together, 32 for each token. Checked first: the tokenizer takes a text whole, and
/// two hundred times its size in memory.
const MAX_TEXT_BYTES: usize = MAX_TOKENS * 32;

/// A checkpoint's processor. It is immutable and shared by all threads.
#[derive(Debug)]
pub struct Processor {
    tokenizer: Tokenizer,
    config: ProcessorConfig,
    normalisation: Normalisation,
    image_pad: u32,
    video_pad: Option<u32>,
}

impl Processor {
    /// Reads `tokenizer.json` and `preprocessor_config.json` of a checkpoint.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`], [`ModelError::Config`], or what reading the files gives.
    pub fn load(files: &CheckpointFiles, overrides: &ProcessorOverrides) -> Result<Self, ModelError> {
        let tokenizer = files
            .read("tokenizer.json")?
            .ok_or_else(|| ModelError::Tokenizer("the checkpoint has no such file".into()))?;
        let config = files.read("preprocessor_config.json")?;
        Self::new(&tokenizer, ProcessorConfig::read(config.as_deref(), overrides)?)
    }

    /// A processor of a `tokenizer.json`'s content and a configuration.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`] for what is no tokenizer, or lacks the image token. One without the video token does for
    /// all but videos.
    pub fn new(tokenizer_json: &[u8], config: ProcessorConfig) -> Result<Self, ModelError> {
        let failed = |error: tokenizers::Error| ModelError::Tokenizer(error.to_string());
        let mut tokenizer = Tokenizer::from_bytes(tokenizer_json).map_err(failed)?;
        // The file may ask for both, for training. Here each input is whole and alone.
        tokenizer.with_truncation(None).map_err(failed)?;
        tokenizer.with_padding(None);
        let token = |pad: &str| -> Result<Option<u32>, ModelError> {
            let encoded = tokenizer.encode_fast(pad, true).map_err(failed)?;
            let id = tokenizer.token_to_id(pad);
            Ok(id.filter(|id| encoded.get_ids() == [*id]))
        };
        let image_pad =
            token(IMAGE_PAD)?.ok_or_else(|| ModelError::Tokenizer(format!("it has no token {IMAGE_PAD}")))?;
        Ok(Self {
            image_pad,
            video_pad: token(VIDEO_PAD)?,
            tokenizer,
            normalisation: Normalisation::new(&config),
            config,
        })
    }

    /// How images become patches.
    pub fn config(&self) -> &ProcessorConfig {
        &self.config
    }

    /// Makes one input out of a medium: [`PixelTarget::fit`], then [`Processor::pack`].
    ///
    /// # Errors
    /// As [`Processor::pack`].
    pub fn process(&self, media: &Media, instruction: Option<&str>, name: &str) -> Result<ModelInput, MediaError> {
        self.pack(&self.target().fit(media), instruction, name)
    }

    /// A black image of the most pixels that one may have: what the cost of encoding is measured with.
    ///
    /// # Errors
    /// As [`Processor::pack`].
    pub fn largest_image(&self) -> Result<ModelInput, MediaError> {
        let side = f64::from(self.config.max_pixels).sqrt() as u32;
        let image = Media::Image(RgbImage::new(side, side));
        self.process(&image, Some(""), "the largest image")
    }

    /// A black clip of so many frames of the most pixels: what a video may cost.
    ///
    /// # Errors
    /// As [`Processor::pack`]: it is [`MediaError::TooLarge`] where not every video can be encoded.
    pub fn largest_clip(&self, frames: u32) -> Result<ModelInput, MediaError> {
        let side = f64::from(self.config.max_pixels).sqrt() as u32;
        let frames = (0..frames.max(1)).map(|_| RgbImage::new(side, side));
        let media = self.target().fit_owned(Media::Clip(frames.collect()));
        self.pack(&media, Some(""), "the largest clip")
    }

    /// The size that images are brought to before they are packed.
    pub fn target(&self) -> PixelTarget {
        PixelTarget {
            factor: self.config.factor(),
            min_pixels: self.config.min_pixels,
            max_pixels: self.config.max_pixels,
        }
    }

    /// As [`Processor::pack_words`], with an instruction alone.
    ///
    /// # Errors
    /// Those of [`Processor::pack_words`].
    pub fn pack(&self, media: &FittedMedia, instruction: Option<&str>, name: &str) -> Result<ModelInput, MediaError> {
        self.pack_words(media, Words::instruction(instruction), name)
    }

    /// Makes one input out of a medium that was brought to this processor's [`Processor::target`], and words. See
    /// [`prompt::prompt`] for what these do, and what the absence of an instruction. `name` is the redacted reference, for
    /// errors.
    ///
    /// # Errors
    /// [`MediaError::Text`] for text without a token, or with one that stands for pixels; [`MediaError::TooLarge`] for more
    /// than 32,768 tokens, or 1 MiB of text and instruction: text is not cut, as what is cut would be lost silently;
    /// [`MediaError::Corrupt`] for a clip without frames or with frames of several sizes; [`MediaError::Unsupported`] for a
    /// clip where the tokenizer knows no video.
    pub fn pack_words(&self, media: &FittedMedia, words: Words<'_>, name: &str) -> Result<ModelInput, MediaError> {
        let media = media.media();
        let text = match media {
            Media::Text(text) => text.as_str(),
            Media::Image(_) | Media::Page(_) | Media::Clip(_) => "",
        };
        let [first, second] = words.texts();
        let bytes = text.len() + first.len() + second.len();
        if bytes > MAX_TEXT_BYTES {
            return Err(MediaError::TooLarge {
                name: name.to_owned(),
                message: format!("{bytes} bytes of text; the limit is {MAX_TEXT_BYTES}"),
            });
        }
        for given in [text, first, second] {
            if let Some(pad) = [IMAGE_PAD, VIDEO_PAD].into_iter().find(|pad| given.contains(pad)) {
                let message = format!("it holds {pad}, which stands for pixels");
                return Err(MediaError::Text {
                    name: name.to_owned(),
                    message,
                });
            }
        }
        let pixels = match media {
            Media::Text(_) => None,
            Media::Image(image) | Media::Page(image) => {
                Some((self.image_pad, VisionKind::Image, std::slice::from_ref(image)))
            }
            Media::Clip(frames) => Some((self.check_clip(frames, name)?, VisionKind::Video, frames.as_slice())),
        };
        // The tokens first: they tell whether there are too many of them, and the patches take the memory.
        let pads = pixels.map(|(pad, _, frames)| {
            let [time, height, width] = patches::grid(frames, &self.config).map(|side| side as usize);
            (pad, time * height * width / (self.config.merge_size as usize).pow(2))
        });
        let token_ids = self.tokens(media, words, pads, name)?;
        let vision =
            pixels.map(|(_, kind, frames)| patches::frame_patches(frames, kind, &self.config, &self.normalisation));
        Ok(ModelInput { token_ids, vision })
    }

    /// The token of videos, if these frames can be one.
    fn check_clip(&self, frames: &[RgbImage], name: &str) -> Result<u32, MediaError> {
        let name = || name.to_owned();
        let wrong = match frames {
            [] => Some("it has no frames"),
            _ => (!target::of_one_size(frames)).then_some("its frames are of several sizes"),
        };
        if let Some(message) = wrong {
            return Err(MediaError::Corrupt {
                name: name(),
                message: message.into(),
            });
        }
        self.video_pad.ok_or_else(|| MediaError::Unsupported {
            name: name(),
            message: format!("it is a video, and the checkpoint's tokenizer has no token {VIDEO_PAD}"),
        })
    }

    /// The prompt's tokens, the pad token of the pixels so many times.
    fn tokens(
        &self,
        media: &Media,
        words: Words<'_>,
        pads: Option<(u32, usize)>,
        name: &str,
    ) -> Result<Vec<u32>, MediaError> {
        let encoded = self
            .tokenizer
            .encode_fast(prompt::prompt(media, words), true)
            .map_err(|error| MediaError::Text {
                name: name.to_owned(),
                message: error.to_string(),
            })?;
        let mut token_ids = encoded.get_ids().to_vec();
        if let Some((pad, count)) = pads {
            let at = token_ids
                .iter()
                .position(|&token| token == pad)
                .expect("the prompt of pixels holds their token, which `new` saw to be one token");
            token_ids.splice(at..=at, std::iter::repeat_n(pad, count));
        }
        if token_ids.is_empty() {
            return Err(MediaError::Text {
                name: name.to_owned(),
                message: "it is empty".into(),
            });
        }
        if token_ids.len() > MAX_TOKENS {
            let message = format!("{} tokens; the limit is {MAX_TOKENS}", token_ids.len());
            return Err(MediaError::TooLarge {
                name: name.to_owned(),
                message,
            });
        }
        Ok(token_ids)
    }
}
