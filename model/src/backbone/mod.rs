//! Qwen2-VL on candle, for encoding: packed batches of any lengths and modalities, no padding, no output head.
//!
//! The reference is transformers 4.57's `Qwen2VLModel`; `model/tests/fixtures` holds its outputs for small checkpoints.

mod activation;
pub mod attention;
pub mod config;
pub mod cpu;
pub mod layer;
pub mod modules;
pub mod packing;
pub mod queries;
mod raw_config;
pub mod rope;
pub mod text;
pub mod vision;
pub mod weights;

use candle_core::{DType, Device, Tensor};

use crate::checkpoint::CheckpointFiles;
use crate::error::ModelError;
use crate::processor::ModelInput;
pub use config::Config;
use packing::Packed;
use rope::RotaryTable;
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
        self.see(&mut Packed::new(&self.config, inputs)?)
    }

    fn see(&self, batch: &mut Packed) -> Result<Option<Tensor>, ModelError> {
        if batch.grids.is_empty() {
            return Ok(None);
        }
        let shape = (batch.patch_count(), self.config.vision.patch_dim());
        let patches = Tensor::from_vec(std::mem::take(&mut batch.patches), shape, &self.device)?;
        Ok(Some(self.vision.forward(&patches.to_dtype(self.dtype)?, &batch.grids)?))
    }

    /// The last hidden states of a batch after the final norm: (all tokens of all inputs, hidden_size), or with
    /// [`Rows::Last`] (inputs, hidden_size).
    ///
    /// # Errors
    /// [`ModelError::Input`] for an input that does not fit the checkpoint or contradicts itself, [`ModelError::Candle`] if
    /// the device fails.
    pub fn hidden_states(&self, inputs: &[&ModelInput], rows: Rows) -> Result<Tensor, ModelError> {
        let mut batch = Packed::new(&self.config, inputs)?;
        let vision = self.see(&mut batch)?;
        let mut embeddings = self
            .text
            .embed(&Tensor::new(batch.token_ids.as_slice(), &self.device)?)?;
        if let Some(vision) = vision {
            let sources = Tensor::new(batch.sources.as_slice(), &self.device)?;
            embeddings = Tensor::cat(&[embeddings, vision], 0)?.index_select(&sources, 0)?;
        }
        let rotary = RotaryTable::text(&self.config.text, &batch.positions, self.dtype, &self.device)?;
        Ok(self.text.forward(&embeddings, &rotary, &batch.sequences, rows)?)
    }
}
