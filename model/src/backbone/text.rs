//! The language model: Qwen2 with grouped-query attention and M-RoPE, without its output head.

use candle_core::{Result, Tensor};

use super::attention::Segments;
use super::config::TextConfig;
use super::layer::{Layer, Mlp};
use super::modules::Norm;
use super::queries::{HeadSizes, Queries};
use super::rope::RotaryTable;
use super::weights::Scope;
use crate::error::ModelError;

/// Which tokens' hidden states are wanted. What the last layer would compute for the others is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Every token's.
    All,
    /// Each sequence's last token's.
    Last,
}

/// Embedding, layers and final norm.
#[derive(Debug)]
pub struct TextModel {
    sizes: HeadSizes,
    embed_tokens: Tensor,
    layers: Vec<Layer>,
    norm: Norm,
}

impl TextModel {
    /// Reads the language model's weights.
    ///
    /// # Errors
    /// Those of [`Scope::tensor`].
    pub fn new(config: &TextConfig, weights: &Scope<'_>) -> std::result::Result<Self, ModelError> {
        let layers = (0..config.num_hidden_layers)
            .map(|index| layer(config, &weights.child("layers").child(index)))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self {
            sizes: head_sizes(config),
            embed_tokens: weights
                .child("embed_tokens")
                .tensor("weight", &[config.vocab_size, config.hidden_size])?,
            layers,
            norm: weights.rms_norm("norm", config.hidden_size, config.rms_norm_eps)?,
        })
    }

    /// The embeddings (tokens, hidden_size) of `token_ids` (tokens), u32.
    ///
    /// # Errors
    /// If an id is out of range, or the device fails.
    pub fn embed(&self, token_ids: &Tensor) -> Result<Tensor> {
        self.embed_tokens.index_select(token_ids, 0)
    }

    /// The hidden states after the final norm, of the tokens that `rows` asks for, from packed embeddings
    /// (tokens, hidden_size).
    ///
    /// # Errors
    /// If the shapes do not go together, or the device fails.
    pub fn forward(
        &self,
        embeddings: &Tensor,
        rotary: &RotaryTable,
        sequences: &Segments,
        rows: Rows,
    ) -> Result<Tensor> {
        let tokens = Queries::all(sequences, self.sizes, true, rotary, embeddings)?;
        let wanted = match rows {
            Rows::All => tokens.clone(),
            Rows::Last => Queries::last(sequences, self.sizes, rotary, embeddings)?,
        };
        let mut hidden = embeddings.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            let is_last = index + 1 == self.layers.len();
            hidden = layer.forward(&hidden, rotary, if is_last { &wanted } else { &tokens })?;
        }
        self.norm.forward(&hidden)
    }
}

fn head_sizes(config: &TextConfig) -> HeadSizes {
    HeadSizes {
        heads: config.num_attention_heads,
        kv_heads: config.num_key_value_heads,
        size: config.head_dim(),
    }
}

fn layer(config: &TextConfig, weights: &Scope<'_>) -> std::result::Result<Layer, ModelError> {
    let (width, inner, eps) = (config.hidden_size, config.intermediate_size, config.rms_norm_eps);
    let sizes = head_sizes(config);
    let (q_width, kv_width) = (sizes.heads * sizes.size, sizes.kv_heads * sizes.size);
    let (attention, mlp) = (weights.child("self_attn"), weights.child("mlp"));
    Ok(Layer {
        attention_norm: weights.rms_norm("input_layernorm", width, eps)?,
        sizes,
        qkv: attention.linears(
            &[("q_proj", q_width), ("k_proj", kv_width), ("v_proj", kv_width)],
            width,
        )?,
        out: attention.linear_no_bias("o_proj", q_width, width)?,
        mlp_norm: weights.rms_norm("post_attention_layernorm", width, eps)?,
        mlp: Mlp::Swiglu {
            gate: mlp.linear_no_bias("gate_proj", width, inner)?,
            up: mlp.linear_no_bias("up_proj", width, inner)?,
            down: mlp.linear_no_bias("down_proj", inner, width)?,
        },
    })
}
