//! The vision tower: patches in, one row for each merged patch out, as wide as the language model.
//!
//! `Qwen2VisionTransformerPretrainedModel` of transformers: a linear patch embedding, blocks with two-dimensional rotary
//! attention inside each frame, and a merger of 2 x 2 patches.

use candle_core::{Module, Result, Tensor};
use candle_nn::{LayerNorm, Linear};

use super::activation::{gelu, quick_gelu};
use super::attention::{Pattern, Segments, packed_attention};
use super::config::VisionConfig;
use super::rope::{RotaryTable, patch_positions};
use super::weights::Scope;
use crate::error::ModelError;

/// The tower's norms use this constant, whatever config.json says for the language model.
const LAYER_NORM_EPS: f64 = 1e-6;

/// The whole tower.
#[derive(Debug)]
pub struct VisionTower {
    config: VisionConfig,
    patch_embed: Linear,
    blocks: Vec<Block>,
    merger: Merger,
}

impl VisionTower {
    /// Reads the tower's weights.
    ///
    /// # Errors
    /// Those of [`Scope::tensor`].
    pub fn new(config: &VisionConfig, weights: &Scope<'_>) -> std::result::Result<Self, ModelError> {
        let VisionConfig {
            embed_dim,
            in_channels,
            patch_size,
            temporal_patch_size,
            ..
        } = *config;
        // The convolution's stride is its kernel, so it is a product with a patch's numbers in one row.
        let kernel = weights.child("patch_embed.proj").tensor(
            "weight",
            &[embed_dim, in_channels, temporal_patch_size, patch_size, patch_size],
        )?;
        let patch_embed = Linear::new(kernel.reshape((embed_dim, config.patch_dim()))?, None);
        let blocks = (0..config.depth)
            .map(|index| Block::new(config, &weights.child("blocks").child(index)))
            .collect::<std::result::Result<_, _>>()?;
        let merger = Merger::new(config, &weights.child("merger"))?;
        Ok(Self {
            config: config.clone(),
            patch_embed,
            blocks,
            merger,
        })
    }

    /// `patches` (patches, patch_dim) of all grids one after the other; gives (patches / 4, hidden_size).
    ///
    /// # Errors
    /// If the grids do not add up to the patches, or the device fails.
    pub fn forward(&self, patches: &Tensor, grids: &[[u32; 3]]) -> Result<Tensor> {
        let merge = self.config.spatial_merge_size as u32;
        let positions: Vec<_> = grids.iter().flat_map(|&grid| patch_positions(grid, merge)).collect();
        let rotary = RotaryTable::vision(&self.config, &positions, patches.device())?;
        // Each frame is a sequence of its own.
        let frames = grids
            .iter()
            .flat_map(|&[time, height, width]| std::iter::repeat_n(height as usize * width as usize, time as usize));
        let frames = Segments::new(frames.collect());
        let pattern = Pattern::new(&frames, &frames, self.config.num_heads, false, patches.device())?;
        let mut hidden = self.patch_embed.forward(patches)?; // (patches, embed_dim)
        for block in &self.blocks {
            hidden = block.forward(&hidden, &rotary, &pattern)?;
        }
        self.merger.forward(&hidden)
    }
}

#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    attention: Attention,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl Block {
    fn new(config: &VisionConfig, weights: &Scope<'_>) -> std::result::Result<Self, ModelError> {
        Ok(Self {
            norm1: weights.layer_norm("norm1", config.embed_dim, LAYER_NORM_EPS)?,
            attention: Attention::new(config, &weights.child("attn"))?,
            norm2: weights.layer_norm("norm2", config.embed_dim, LAYER_NORM_EPS)?,
            mlp: Mlp::new(config, &weights.child("mlp"))?,
        })
    }

    /// (patches, embed_dim), unchanged in shape.
    fn forward(&self, x: &Tensor, rotary: &RotaryTable, pattern: &Pattern) -> Result<Tensor> {
        let x = (x + self.attention.forward(&self.norm1.forward(x)?, rotary, pattern)?)?;
        &x + self.mlp.forward(&self.norm2.forward(&x)?)?
    }
}

#[derive(Debug)]
struct Attention {
    heads: usize,
    qkv: Linear,
    proj: Linear,
}

impl Attention {
    fn new(config: &VisionConfig, weights: &Scope<'_>) -> std::result::Result<Self, ModelError> {
        let size = config.embed_dim;
        Ok(Self {
            heads: config.num_heads,
            qkv: weights.linear("qkv", size, 3 * size)?,
            proj: weights.linear("proj", size, size)?,
        })
    }

    /// (patches, embed_dim), unchanged in shape.
    fn forward(&self, x: &Tensor, rotary: &RotaryTable, pattern: &Pattern) -> Result<Tensor> {
        let (patches, size) = x.dims2()?;
        let qkv = self
            .qkv
            .forward(x)?
            .reshape((patches, 3, self.heads, size / self.heads))?;
        let part = |index: usize| qkv.narrow(1, index, 1)?.squeeze(1)?.contiguous(); // (patches, heads, head_dim)
        let (q, k) = (rotary.rotate(&part(0)?)?, rotary.rotate(&part(1)?)?);
        let attended = packed_attention(&q, &k, &part(2)?, pattern)?;
        self.proj.forward(&attended.reshape((patches, size))?)
    }
}

#[derive(Debug)]
struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

impl Mlp {
    fn new(config: &VisionConfig, weights: &Scope<'_>) -> std::result::Result<Self, ModelError> {
        let (size, inner) = (config.embed_dim, config.mlp_dim());
        Ok(Self {
            fc1: weights.linear("fc1", size, inner)?,
            fc2: weights.linear("fc2", inner, size)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.fc2.forward(&quick_gelu(&self.fc1.forward(x)?)?)
    }
}

/// Four neighbouring patches become one row of the language model's width.
#[derive(Debug)]
struct Merger {
    merged_size: usize,
    ln_q: LayerNorm,
    first: Linear,
    second: Linear,
}

impl Merger {
    fn new(config: &VisionConfig, weights: &Scope<'_>) -> std::result::Result<Self, ModelError> {
        let merged_size = config.embed_dim * config.merged_patches();
        Ok(Self {
            merged_size,
            ln_q: weights.layer_norm("ln_q", config.embed_dim, LAYER_NORM_EPS)?,
            first: weights.linear("mlp.0", merged_size, merged_size)?,
            second: weights.linear("mlp.2", merged_size, config.hidden_size)?,
        })
    }

    /// (patches, embed_dim) -> (patches / 4, hidden_size): the patches of a block follow each other.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let merged = self.ln_q.forward(x)?.reshape(((), self.merged_size))?;
        self.second.forward(&gelu(&self.first.forward(&merged)?)?)
    }
}
