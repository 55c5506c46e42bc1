//! The vision tower: patches in, one row for each merged patch out, as wide as the language model.
//!
//! `Qwen2VisionTransformerPretrainedModel` of transformers: a linear patch embedding, blocks with two-dimensional rotary
//! attention inside each frame, and a merger of 2 x 2 patches.

use candle_core::{Result, Tensor};

use super::activation::gelu;
use super::attention::Segments;
use super::config::VisionConfig;
use super::cpu::{self, Floats, by_rows};
use super::layer::{Layer, Mlp};
use super::modules::{Linear, Norm};
use super::queries::{HeadSizes, Queries};
use super::rope::{RotaryTable, patch_positions};
use super::weights::Scope;
use crate::error::ModelError;

/// The tower's norms use this constant, whatever config.json says for the language model.
pub const LAYER_NORM_EPS: f64 = 1e-6;

/// The whole tower.
#[derive(Debug)]
pub struct VisionTower {
    config: VisionConfig,
    patch_embed: Linear,
    blocks: Vec<Layer>,
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
        let patch_embed = Linear::new(&kernel.reshape((embed_dim, config.patch_dim()))?, None)?;
        let blocks = (0..config.depth)
            .map(|index| block(config, &weights.child("blocks").child(index)))
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
        let queries = Queries::all(&frames, head_sizes(&self.config), false, &rotary, patches)?;
        let mut hidden = self.patch_embed.forward(patches)?; // (patches, embed_dim)
        for block in &self.blocks {
            hidden = block.forward(&hidden, &rotary, &queries)?;
        }
        self.merger.forward(&hidden)
    }
}

fn head_sizes(config: &VisionConfig) -> HeadSizes {
    HeadSizes {
        heads: config.num_heads,
        kv_heads: config.num_heads,
        size: config.head_dim(),
    }
}

fn block(config: &VisionConfig, weights: &Scope<'_>) -> std::result::Result<Layer, ModelError> {
    let (width, inner) = (config.embed_dim, config.mlp_dim());
    let (attention, mlp) = (weights.child("attn"), weights.child("mlp"));
    Ok(Layer {
        attention_norm: weights.layer_norm("norm1", width, LAYER_NORM_EPS)?,
        sizes: head_sizes(config),
        qkv: attention.linear("qkv", width, 3 * width)?,
        out: attention.linear("proj", width, width)?,
        mlp_norm: weights.layer_norm("norm2", width, LAYER_NORM_EPS)?,
        mlp: Mlp::QuickGelu {
            up: mlp.linear("fc1", width, inner)?,
            down: mlp.linear("fc2", inner, width)?,
        },
    })
}

/// Four neighbouring patches become one row of the language model's width.
#[derive(Debug)]
struct Merger {
    merged_size: usize,
    ln_q: Norm,
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
        if cpu::is_fused(x) {
            return self.fused(x);
        }
        let merged = self.ln_q.forward(x)?.reshape(((), self.merged_size))?;
        self.second.forward(&gelu(&self.first.forward(&merged)?)?)
    }

    fn fused(&self, x: &Tensor) -> Result<Tensor> {
        let (norm, first, second) = (self.ln_q.fused()?, self.first.fused()?, self.second.fused()?);
        let (x, size, device) = (Floats::of(x)?, self.merged_size, x.device());
        let rows = x.len() / size;
        let mut output = vec![0.0; rows * second.outputs];
        by_rows(&mut output, second.outputs, |start, output, parallelism| {
            let numbers = output.len() / second.outputs * size;
            let mut merged = vec![0.0; numbers];
            norm.apply(&mut merged, &x[start * size..][..numbers]);
            let mut inner = vec![0.0; numbers];
            first.apply(&mut inner, &merged, parallelism);
            cpu::gelu(&mut inner);
            second.apply(output, &inner, parallelism);
        });
        Tensor::from_vec(output, (rows, second.outputs), device)
    }
}
