//! The language model with a graph: the differentiable twin of `backbone::text`.

use candle_core::Tensor;
use sightstream_model::backbone::config::TextConfig;
use sightstream_model::backbone::packing::Packed;
use sightstream_model::backbone::queries::HeadSizes;
use sightstream_model::backbone::rope::RotaryTable;

use super::attention::Rotary;
use super::builder::Builder;
use super::graph::tie;
use super::layer::{Layer, Mlp, Projections, Queries};
use super::modules::Norm;
use super::names::Tower;
use super::pass::Pass;
use crate::error::JobError;

/// Embedding, layers and final norm.
#[derive(Debug)]
pub struct TextModel {
    config: TextConfig,
    sizes: HeadSizes,
    embed_tokens: Tensor,
    layers: Vec<Layer>,
    norm: Norm,
}

impl TextModel {
    /// # Errors
    /// Those of the checkpoint's tensors.
    pub fn new(config: &TextConfig, builder: &mut Builder<'_>) -> Result<Self, JobError> {
        const TOWER: Tower = Tower::Text;
        let (width, inner, eps) = (config.hidden_size, config.intermediate_size, config.rms_norm_eps);
        let sizes = HeadSizes {
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            size: config.head_dim(),
        };
        let (q_width, kv_width) = (sizes.heads * sizes.size, sizes.kv_heads * sizes.size);
        let embed_tokens = builder.embedding(TOWER, "embed_tokens", config.vocab_size, width)?;
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for index in 0..config.num_hidden_layers {
            let mut norm = |name: &str| builder.norm(TOWER, &format!("layers.{index}.{name}"), width, false, eps);
            let (attention_norm, mlp_norm) = (norm("input_layernorm")?, norm("post_attention_layernorm")?);
            let mut linear = |name: &str, inputs: usize, outputs: usize, biased: bool| {
                builder.linear(TOWER, &format!("layers.{index}.{name}"), inputs, outputs, biased)
            };
            layers.push(Layer {
                attention_norm,
                sizes,
                qkv: Projections::Apart([
                    linear("self_attn.q_proj", width, q_width, true)?,
                    linear("self_attn.k_proj", width, kv_width, true)?,
                    linear("self_attn.v_proj", width, kv_width, true)?,
                ]),
                out: linear("self_attn.o_proj", q_width, width, false)?,
                mlp_norm,
                mlp: Mlp::Swiglu {
                    gate: linear("mlp.gate_proj", width, inner, false)?,
                    up: linear("mlp.up_proj", width, inner, false)?,
                    down: linear("mlp.down_proj", inner, width, false)?,
                },
            });
        }
        Ok(Self {
            config: config.clone(),
            sizes,
            embed_tokens,
            layers,
            norm: builder.norm(TOWER, "norm", width, false, eps)?,
        })
    }

    /// The last tokens' hidden states after the final norm, (inputs, hidden_size). `vision` is the vision tower's output for all
    /// pixels of the batch.
    ///
    /// # Errors
    /// If the shapes do not go together, or the device fails.
    pub fn forward(&self, batch: &Packed, vision: Option<&Tensor>, pass: &Pass) -> Result<Tensor, JobError> {
        let mut hidden = self.embed(batch, vision, pass)?;
        let table = RotaryTable::text(&self.config, &batch.positions, hidden.dtype(), hidden.device())?;
        let rotary = Rotary::new(table)?;
        let all = Queries::all(&batch.sequences, self.sizes, true, &rotary, &hidden, pass)?;
        let last = Queries::last(&batch.sequences, self.sizes, &rotary, &hidden, pass)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let is_last = index + 1 == self.layers.len();
            hidden = layer.forward(&hidden, &rotary, if is_last { &last } else { &all }, pass)?;
        }
        Ok(self.norm.forward(&hidden, pass)?)
    }

    /// Each token's embedding, or the row of `vision` that stands in its place.
    fn embed(&self, batch: &Packed, vision: Option<&Tensor>, pass: &Pass) -> Result<Tensor, JobError> {
        let device = self.embed_tokens.device();
        let ids = Tensor::new(batch.token_ids.as_slice(), device)?;
        let embeddings = pass.of(&self.embed_tokens).index_select(&ids, 0)?;
        let Some(vision) = vision else { return Ok(embeddings) };
        let tokens = batch.token_ids.len() as u32;
        let sources = Tensor::new(batch.sources.as_slice(), device)?;
        let output = Tensor::cat(&[embeddings.detach(), vision.detach()], 0)?.index_select(&sources, 0)?;
        let is_pad = |source: &u32| *source >= tokens;
        let pads: Vec<u32> = (0..)
            .zip(&batch.sources)
            .filter(|(_, source)| is_pad(source))
            .map(|(row, _)| row)
            .collect();
        let pads = Tensor::new(pads, device)?;
        let own: Vec<f32> = batch.sources.iter().map(|source| f32::from(!is_pad(source))).collect();
        let own = Tensor::new(own, device)?.to_dtype(output.dtype())?.unsqueeze(1)?;
        Ok(tie(&[&embeddings, vision], output, move |gradient, wanted| {
            Ok(vec![
                wanted[0].then(|| gradient.broadcast_mul(&own)).transpose()?,
                wanted[1].then(|| gradient.index_select(&pads, 0)).transpose()?,
            ])
        })?)
    }
}
