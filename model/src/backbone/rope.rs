//! Rotary position embeddings: which angle each frequency of a token turns by.
//!
//! The vision tower turns half of the frequencies by a patch's row and half by its column. The language model (M-RoPE) turns
//! its frequencies in three sections, by a token's temporal, height and width position. The tables are computed on the CPU in
//! f32, as the reference does, and shared by all layers.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::rotary_emb::rope_thd;

use super::config::{Config, TextConfig, VisionConfig};
use super::cpu::Floats;

/// The base of the vision tower's frequencies.
const VISION_THETA: f32 = 10_000.0;

/// Cosines and sines of a packed batch, (tokens, head_dim / 2) each.
#[derive(Debug, Clone)]
pub struct RotaryTable {
    cos: Tensor,
    sin: Tensor,
}

impl RotaryTable {
    /// The language model's table; `positions` has each token's temporal, height and width position.
    ///
    /// # Errors
    /// If the device fails.
    pub fn text(config: &TextConfig, positions: &[[u32; 3]], dtype: DType, device: &Device) -> Result<Self> {
        let frequencies = frequencies(config.rope_theta as f32, config.head_dim());
        let [temporal, height, _] = config.mrope_section;
        let axes: Vec<usize> = (0..frequencies.len())
            .map(|i| {
                if i < temporal {
                    0
                } else {
                    usize::from(i >= temporal + height) + 1
                }
            })
            .collect();
        let angles = positions.iter().flat_map(|position| {
            frequencies
                .iter()
                .zip(&axes)
                .map(|(frequency, &axis)| position[axis] as f32 * frequency)
        });
        Self::new(angles, (positions.len(), frequencies.len()), dtype, device)
    }

    /// The vision tower's table; `positions` has each patch's row and column.
    ///
    /// # Errors
    /// If the device fails.
    pub fn vision(config: &VisionConfig, positions: &[[u32; 2]], device: &Device) -> Result<Self> {
        let frequencies = frequencies(VISION_THETA, config.head_dim() / 2);
        let angles = positions.iter().flat_map(|position| {
            position
                .iter()
                .flat_map(|&place| frequencies.iter().map(move |frequency| place as f32 * frequency))
        });
        Self::new(angles, (positions.len(), 2 * frequencies.len()), DType::F32, device)
    }

    fn new(angles: impl Iterator<Item = f32>, shape: (usize, usize), dtype: DType, device: &Device) -> Result<Self> {
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
        Ok(Self {
            cos: Tensor::from_vec(cos, shape, device)?.to_dtype(dtype)?,
            sin: Tensor::from_vec(sin, shape, device)?.to_dtype(dtype)?,
        })
    }

    /// Turns `x` (tokens, heads, head_dim): the first half of a head is the frequencies' real part, the second the imaginary.
    ///
    /// # Errors
    /// If the shapes do not go together, or the device fails.
    pub fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = self.cos.dtype();
        let rotated = rope_thd(&x.to_dtype(dtype)?.contiguous()?.unsqueeze(0)?, &self.cos, &self.sin)?.squeeze(0)?;
        rotated.to_dtype(x.dtype())
    }

    /// Cosines and sines as numbers, a row for each token.
    ///
    /// # Errors
    /// If they are not f32 on the CPU.
    pub fn floats(&self) -> Result<(Floats<'_>, Floats<'_>)> {
        Ok((Floats::of(&self.cos)?, Floats::of(&self.sin)?))
    }

    /// The table that turns back what this one turns.
    ///
    /// # Errors
    /// If the device fails.
    pub fn inverse(&self) -> Result<Self> {
        Ok(Self {
            cos: self.cos.clone(),
            sin: self.sin.neg()?,
        })
    }

    /// The table of some of the tokens.
    ///
    /// # Errors
    /// If a row is out of range, or the device fails.
    pub fn select(&self, rows: &Tensor) -> Result<Self> {
        Ok(Self {
            cos: self.cos.index_select(rows, 0)?,
            sin: self.sin.index_select(rows, 0)?,
        })
    }
}

/// `size / 2` frequencies, falling from 1: `theta^(-2i / size)`.
fn frequencies(theta: f32, size: usize) -> Vec<f32> {
    (0..size)
        .step_by(2)
        .map(|i| 1.0 / theta.powf(i as f32 / size as f32))
        .collect()
}

/// Row and column of each patch of a grid, in the order of the patches: time, then merged blocks row by row, inside a block
/// its patches row by row.
pub fn patch_positions(grid_thw: [u32; 3], merge: u32) -> Vec<[u32; 2]> {
    let [time, height, width] = grid_thw;
    let mut positions = Vec::with_capacity((time * height * width) as usize);
    for _ in 0..time {
        for block_row in (0..height).step_by(merge as usize) {
            for block_column in (0..width).step_by(merge as usize) {
                for row in block_row..block_row + merge {
                    positions.extend((block_column..block_column + merge).map(|column| [row, column]));
                }
            }
        }
    }
    positions
}

/// Temporal, height and width position of each token of one sequence.
///
/// Text counts up on all three axes. Pixels do the same in VLM2Vec-V2's prompts, which hold no `<|vision_start|>`; after one,
/// they get their place in the merged grid on each axis, and the text after them goes on from the largest position plus 1.
pub fn token_positions(config: &Config, token_ids: &[u32], grid_thw: Option<[u32; 3]>) -> Vec<[u32; 3]> {
    let is_pad = |&id: &u32| id == config.image_token_id || id == config.video_token_id;
    let pixels_start = token_ids
        .windows(2)
        .position(|pair| pair[0] == config.vision_start_token_id && is_pad(&pair[1]))
        .and_then(|_| token_ids.iter().position(is_pad));
    let (Some(start), Some([time, height, width])) = (pixels_start, grid_thw) else {
        return (0..token_ids.len() as u32).map(|place| [place; 3]).collect();
    };
    let merge = config.vision.spatial_merge_size as u32;
    let (height, width) = (height / merge, width / merge);
    let before = start as u32;
    let mut positions: Vec<[u32; 3]> = (0..before).map(|place| [place; 3]).collect();
    for t in 0..time {
        for h in 0..height {
            positions.extend((0..width).map(|w| [before + t, before + h, before + w]));
        }
    }
    let next = before + time.max(height).max(width);
    let after = token_ids.len().saturating_sub(positions.len()) as u32;
    positions.extend((0..after).map(|place| [next + place; 3]));
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_ordered_by_merged_blocks_and_repeat_with_time() {
        let frame = [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]];
        assert_eq!(patch_positions([1, 2, 4], 2), frame);
        assert_eq!(patch_positions([2, 2, 4], 2), [frame, frame].concat());
    }

    #[test]
    fn frequencies_fall_from_one() {
        assert_eq!(frequencies(10_000.0, 4), [1.0, 0.01]);
    }
}
