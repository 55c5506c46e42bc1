//! Qwen2-VL on candle, for encoding: packed batches of any lengths and modalities, no padding, no output head.
//!
//! The reference is transformers 4.57's `Qwen2VLModel`; `model/tests/fixtures` holds its outputs for small checkpoints.

mod activation;
pub mod attention;
pub mod config;
mod cpu;
pub mod layer;
pub mod modules;
pub mod queries;
mod raw_config;
pub mod rope;
pub mod text;
pub mod vision;
pub mod weights;

use candle_core::{DType, Device, Tensor};

use crate::checkpoint::CheckpointFiles;
use crate::error::ModelError;
use crate::processor::{ModelInput, VisionInput, VisionKind};
use attention::Segments;
pub use config::Config;
use rope::{RotaryTable, token_positions};
pub use text::Rows;
use text::TextModel;
use vision::VisionTower;
use weights::Weights;

/// Both towers of one checkpoint on one device.
#[derive(Debug)]
pub struct Backbone {
    config: Config,
    vision: VisionTower,
    text: TextModel,
    device: Device,
    dtype: DType,
}

impl Backbone {
    /// Copies the weights to `device` as `dtype`, with the adapter that the files have merged into them.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`] and [`ModelError::Misshapen`] for weights that do not fit the configuration,
    /// [`ModelError::Config`] for a tensor that is not of floats, [`ModelError::Candle`] if the device fails.
    pub fn load(files: &CheckpointFiles, config: Config, dtype: DType, device: &Device) -> Result<Self, ModelError> {
        Self::with_weights(&Weights::new(files, dtype, device), config)
    }

    /// Whether the weights fit `config`. None is copied.
    ///
    /// # Errors
    /// Those of [`Backbone::load`].
    pub fn fits(files: &CheckpointFiles, config: Config, dtype: DType) -> Result<(), ModelError> {
        Self::with_weights(&Weights::stand_ins(files, dtype), config).map(drop)
    }

    fn with_weights(weights: &Weights<'_>, config: Config) -> Result<Self, ModelError> {
        Ok(Self {
            vision: VisionTower::new(&config.vision, &weights.vision())?,
            text: TextModel::new(&config.text, &weights.text())?,
            config,
            device: weights.device().clone(),
            dtype: weights.dtype(),
        })
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The checkpoint's sizes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The vision tower's output for all pixels of a batch in their order, (merged patches, hidden_size); `None` if it has
    /// none.
    ///
    /// # Errors
    /// [`ModelError::Input`] for pixels that do not fit their grid, [`ModelError::Candle`] if the device fails.
    pub fn vision_states(&self, inputs: &[&ModelInput]) -> Result<Option<Tensor>, ModelError> {
        self.check(inputs)?;
        let pixels: Vec<&VisionInput> = inputs.iter().filter_map(|input| input.vision.as_ref()).collect();
        if pixels.is_empty() {
            return Ok(None);
        }
        let grids: Vec<_> = pixels.iter().map(|vision| vision.grid_thw).collect();
        let rows: usize = pixels.iter().map(|vision| vision.patch_count()).sum();
        let mut patches = Vec::with_capacity(rows * self.config.vision.patch_dim());
        for vision in &pixels {
            patches.extend_from_slice(&vision.patches);
        }
        let patches = Tensor::from_vec(patches, (rows, self.config.vision.patch_dim()), &self.device)?;
        Ok(Some(self.vision.forward(&patches.to_dtype(self.dtype)?, &grids)?))
    }

    /// The last hidden states of a batch after the final norm: (all tokens of all inputs, hidden_size), or with
    /// [`Rows::Last`] (inputs, hidden_size).
    ///
    /// # Errors
    /// [`ModelError::Input`] for an input that does not fit the checkpoint or contradicts itself, [`ModelError::Candle`] if
    /// the device fails.
    pub fn hidden_states(&self, inputs: &[&ModelInput], rows: Rows) -> Result<Tensor, ModelError> {
        let vision = self.vision_states(inputs)?;
        let sequences = Segments::new(inputs.iter().map(|input| input.tokens()).collect());
        let mut token_ids = Vec::with_capacity(sequences.total());
        let mut positions = Vec::with_capacity(sequences.total());
        for input in inputs {
            token_ids.extend_from_slice(&input.token_ids);
            let grid = input.vision.as_ref().map(|vision| vision.grid_thw);
            positions.extend(token_positions(&self.config, &input.token_ids, grid));
        }
        let mut embeddings = self.text.embed(&Tensor::new(token_ids.as_slice(), &self.device)?)?;
        if let Some(vision) = vision {
            // Row i of the embeddings, or the next row of the vision tower's output behind them.
            let mut next_pixel = token_ids.len() as u32;
            let sources: Vec<u32> = (0..)
                .zip(&token_ids)
                .map(|(row, id)| {
                    if !self.is_pad(*id) {
                        return row;
                    }
                    next_pixel += 1;
                    next_pixel - 1
                })
                .collect();
            embeddings =
                Tensor::cat(&[embeddings, vision], 0)?.index_select(&Tensor::new(sources, &self.device)?, 0)?;
        }
        let rotary = RotaryTable::text(&self.config.text, &positions, self.dtype, &self.device)?;
        Ok(self.text.forward(&embeddings, &rotary, &sequences, rows)?)
    }

    fn is_pad(&self, id: u32) -> bool {
        id == self.config.image_token_id || id == self.config.video_token_id
    }

    /// Everything that packing relies on, so that no input can take a row of its neighbour.
    fn check(&self, inputs: &[&ModelInput]) -> Result<(), ModelError> {
        for (index, input) in inputs.iter().enumerate() {
            self.check_one(input)
                .map_err(|message| ModelError::Input { index, message })?;
        }
        Ok(())
    }

    fn check_one(&self, input: &ModelInput) -> Result<(), String> {
        if input.token_ids.is_empty() {
            return Err("it has no tokens".to_string());
        }
        let vocab_size = self.config.text.vocab_size;
        if let Some(id) = input.token_ids.iter().find(|id| **id as usize >= vocab_size) {
            return Err(format!(
                "the token id {id} is beyond the checkpoint's vocabulary of {vocab_size}"
            ));
        }
        let count = |pad: u32| input.token_ids.iter().filter(|id| **id == pad).count();
        let (images, videos) = (count(self.config.image_token_id), count(self.config.video_token_id));
        let Some(vision) = &input.vision else {
            return match images + videos {
                0 => Ok(()),
                pads => Err(format!("it has {pads} pad tokens and no pixels")),
            };
        };
        let merge = self.config.vision.spatial_merge_size as u32;
        let [time, height, width] = vision.grid_thw;
        if time == 0 || height == 0 || width == 0 || height % merge != 0 || width % merge != 0 {
            return Err(format!(
                "the grid {:?} is not made of {merge} x {merge} blocks",
                vision.grid_thw
            ));
        }
        let expected = vision.patch_count() * self.config.vision.patch_dim();
        if vision.patches.len() != expected {
            return Err(format!(
                "{} pixel values do not fill the grid {:?}, which takes {expected}",
                vision.patches.len(),
                vision.grid_thw
            ));
        }
        let merged = vision.patch_count() / self.config.vision.merged_patches();
        let (pads, others) = match vision.kind {
            VisionKind::Image => (images, videos),
            VisionKind::Video => (videos, images),
        };
        if pads != merged || others != 0 {
            return Err(format!(
                "{pads} pad tokens (and {others} of the other kind) stand for {merged} merged patches"
            ));
        }
        Ok(())
    }
}
