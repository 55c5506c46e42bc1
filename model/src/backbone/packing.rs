//! Inputs of any lengths and modalities as one packed batch.

use super::attention::Segments;
use super::config::Config;
use super::rope::token_positions;
use crate::error::ModelError;
use crate::processor::{ModelInput, VisionInput, VisionKind};

/// A batch as both towers read it: the inputs one after the other.
#[derive(Debug, Clone)]
pub struct Packed {
    /// Each input's tokens.
    pub sequences: Segments,
    /// All tokens.
    pub token_ids: Vec<u32>,
    /// Each token's temporal, height and width position.
    pub positions: Vec<[u32; 3]>,
    /// All pixels, row-major (patches, patch_dim), in the order of the inputs.
    pub patches: Vec<f32>,
    /// The grids that the patches fill: time, height, width.
    pub grids: Vec<[u32; 3]>,
    /// Where each token's row comes from: its own embedding if it is below the number of tokens, else the row of the vision
    /// tower's output that stands for its pad token, counted behind them.
    pub sources: Vec<u32>,
}

impl Packed {
    /// Checks everything that packing relies on, so that no input can take a row of its neighbour, and packs.
    ///
    /// # Errors
    /// [`ModelError::Input`] for an input that does not fit the checkpoint or contradicts itself.
    pub fn new(config: &Config, inputs: &[&ModelInput]) -> Result<Self, ModelError> {
        for (index, input) in inputs.iter().enumerate() {
            check(config, input).map_err(|message| ModelError::Input { index, message })?;
        }
        let sequences = Segments::new(inputs.iter().map(|input| input.tokens()).collect());
        let mut token_ids = Vec::with_capacity(sequences.total());
        let mut positions = Vec::with_capacity(sequences.total());
        for input in inputs {
            token_ids.extend_from_slice(&input.token_ids);
            let grid = input.vision.as_ref().map(|vision| vision.grid_thw);
            positions.extend(token_positions(config, &input.token_ids, grid));
        }
        let pixels: Vec<&VisionInput> = inputs.iter().filter_map(|input| input.vision.as_ref()).collect();
        let rows: usize = pixels.iter().map(|vision| vision.patch_count()).sum();
        let mut patches = Vec::with_capacity(rows * config.vision.patch_dim());
        for vision in &pixels {
            patches.extend_from_slice(&vision.patches);
        }
        let mut next_pixel = token_ids.len() as u32;
        let sources = (0..).zip(&token_ids).map(|(row, id)| {
            if !is_pad(config, *id) {
                return row;
            }
            next_pixel += 1;
            next_pixel - 1
        });
        Ok(Self {
            sources: sources.collect(),
            sequences,
            token_ids,
            positions,
            patches,
            grids: pixels.iter().map(|vision| vision.grid_thw).collect(),
        })
    }

    /// How many rows `patches` has.
    pub fn patch_count(&self) -> usize {
        self.grids
            .iter()
            .map(|grid| grid.iter().map(|&side| side as usize).product::<usize>())
            .sum()
    }
}

fn is_pad(config: &Config, id: u32) -> bool {
    id == config.image_token_id || id == config.video_token_id
}

fn check(config: &Config, input: &ModelInput) -> Result<(), String> {
    if input.token_ids.is_empty() {
        return Err("it has no tokens".to_string());
    }
    let vocab_size = config.text.vocab_size;
    if let Some(id) = input.token_ids.iter().find(|id| **id as usize >= vocab_size) {
        return Err(format!(
            "the token id {id} is beyond the checkpoint's vocabulary of {vocab_size}"
        ));
    }
    let count = |pad: u32| input.token_ids.iter().filter(|id| **id == pad).count();
    let (images, videos) = (count(config.image_token_id), count(config.video_token_id));
    let Some(vision) = &input.vision else {
        return match images + videos {
            0 => Ok(()),
            pads => Err(format!("it has {pads} pad tokens and no pixels")),
        };
    };
    let merge = config.vision.spatial_merge_size as u32;
    let [time, height, width] = vision.grid_thw;
    if time == 0 || height == 0 || width == 0 || height % merge != 0 || width % merge != 0 {
        return Err(format!(
            "the grid {:?} is not made of {merge} x {merge} blocks",
            vision.grid_thw
        ));
    }
    let expected = vision.patch_count() * config.vision.patch_dim();
    if vision.patches.len() != expected {
        return Err(format!(
            "{} pixel values do not fill the grid {:?}, which takes {expected}",
            vision.patches.len(),
            vision.grid_thw
        ));
    }
    let merged = vision.patch_count() / config.vision.merged_patches();
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
