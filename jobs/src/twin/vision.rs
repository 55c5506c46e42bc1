//! The vision tower with a graph: the differentiable twin of `backbone::vision`.

use candle_core::Tensor;
use sightstream_model::backbone::attention::Segments;
use sightstream_model::backbone::config::VisionConfig;
use sightstream_model::backbone::queries::HeadSizes;
use sightstream_model::backbone::rope::{RotaryTable, patch_positions};
use sightstream_model::backbone::vision::LAYER_NORM_EPS;

use super::attention::Rotary;
use super::builder::Builder;
use super::fused;
use super::layer::{Layer, Mlp, Projections, Queries};
use super::modules::{Linear, Norm};
use super::names::Tower;
use super::pass::Pass;
use crate::error::JobError;

/// The whole tower.
#[derive(Debug)]
pub struct VisionTower {
    config: VisionConfig,
    patch_embed: Linear,
    blocks: Vec<Layer>,
    ln_q: Norm,
    merger: [Linear; 2],
}

impl VisionTower {
    /// # Errors
    /// Those of the checkpoint's tensors.
    pub fn new(config: &VisionConfig, builder: &mut Builder<'_>) -> Result<Self, JobError> {
        const TOWER: Tower = Tower::Vision;
        let (width, side) = (config.embed_dim, config.patch_size);
        let patch = [config.in_channels, config.temporal_patch_size, side, side];
        let patch_embed = builder.shaped_linear(TOWER, "patch_embed.proj", &patch, width, false)?;
        let mut blocks = Vec::with_capacity(config.depth);
        for index in 0..config.depth {
            let inner = config.mlp_dim();
            let mut norm =
                |name: &str| builder.norm(TOWER, &format!("blocks.{index}.{name}"), width, true, LAYER_NORM_EPS);
            let (attention_norm, mlp_norm) = (norm("norm1")?, norm("norm2")?);
            let mut linear = |name: &str, inputs: usize, outputs: usize| {
                builder.linear(TOWER, &format!("blocks.{index}.{name}"), inputs, outputs, true)
            };
            blocks.push(Layer {
                attention_norm,
                sizes: head_sizes(config),
                qkv: Projections::Joined(linear("attn.qkv", width, 3 * width)?),
                out: linear("attn.proj", width, width)?,
                mlp_norm,
                mlp: Mlp::QuickGelu {
                    up: linear("mlp.fc1", width, inner)?,
                    down: linear("mlp.fc2", inner, width)?,
                },
            });
        }
        let merged = width * config.merged_patches();
        Ok(Self {
            config: config.clone(),
            patch_embed,
            blocks,
            ln_q: builder.norm(TOWER, "merger.ln_q", width, true, LAYER_NORM_EPS)?,
            merger: [
                builder.linear(TOWER, "merger.mlp.0", merged, merged, true)?,
                builder.linear(TOWER, "merger.mlp.2", merged, config.hidden_size, true)?,
            ],
        })
    }

    /// `patches` (patches, patch_dim) of all grids one after the other; gives (patches / 4, hidden_size).
    ///
    /// # Errors
    /// If the grids do not add up to the patches, or the device fails.
    pub fn forward(&self, patches: &Tensor, grids: &[[u32; 3]], pass: &Pass) -> Result<Tensor, JobError> {
        let merge = self.config.spatial_merge_size as u32;
        let positions: Vec<_> = grids.iter().flat_map(|&grid| patch_positions(grid, merge)).collect();
        let rotary = Rotary::new(RotaryTable::vision(&self.config, &positions, patches.device())?)?;
        // Each frame is a sequence of its own.
        let frames = grids
            .iter()
            .flat_map(|&[time, height, width]| std::iter::repeat_n(height as usize * width as usize, time as usize));
        let frames = Segments::new(frames.collect());
        let queries = Queries::all(&frames, head_sizes(&self.config), false, &rotary, patches, pass)?;
        let mut hidden = self.patch_embed.forward(patches, pass)?; // (patches, embed_dim)
        for block in &self.blocks {
            hidden = block.forward(&hidden, &rotary, &queries, pass)?;
        }
        let merged = self.config.embed_dim * self.config.merged_patches();
        let [first, second] = &self.merger;
        // The patches of a block follow each other.
        let merged = self.ln_q.forward(&hidden, pass)?.reshape(((), merged))?;
        let inner = first.forward(&merged, pass)?;
        let inner = match pass.is_fused(&inner) {
            true => fused::gelu(&inner)?,
            false => inner.gelu_erf()?,
        };
        Ok(second.forward(&inner, pass)?)
    }
}

fn head_sizes(config: &VisionConfig) -> HeadSizes {
    HeadSizes {
        heads: config.num_heads,
        kv_heads: config.num_heads,
        size: config.head_dim(),
    }
}
