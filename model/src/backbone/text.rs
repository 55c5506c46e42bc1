//! The language model: Qwen2 with grouped-query attention and M-RoPE, without its output head.

use candle_core::{Module, Result, Tensor};
use candle_nn::{Linear, RmsNorm};

use super::activation::swiglu;
use super::attention::{Segments, packed_attention};
use super::config::TextConfig;
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
    embed_tokens: Tensor,
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
}

impl TextModel {
    /// Reads the language model's weights.
    ///
    /// # Errors
    /// Those of [`Scope::tensor`].
    pub fn new(config: &TextConfig, weights: &Scope<'_>) -> std::result::Result<Self, ModelError> {
        let layers = (0..config.num_hidden_layers)
            .map(|index| DecoderLayer::new(config, &weights.child("layers").child(index)))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self {
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
        let mut hidden = embeddings.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            let is_last = index + 1 == self.layers.len();
            let rows = if is_last { rows } else { Rows::All };
            hidden = layer.forward(&hidden, rotary, sequences, rows)?;
        }
        self.norm.forward(&hidden)
    }
}

#[derive(Debug)]
struct DecoderLayer {
    input_layernorm: RmsNorm,
    attention: Attention,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
}

impl DecoderLayer {
    fn new(config: &TextConfig, weights: &Scope<'_>) -> std::result::Result<Self, ModelError> {
        let (size, eps) = (config.hidden_size, config.rms_norm_eps);
        Ok(Self {
            input_layernorm: weights.rms_norm("input_layernorm", size, eps)?,
            attention: Attention::new(config, &weights.child("self_attn"))?,
            post_attention_layernorm: weights.rms_norm("post_attention_layernorm", size, eps)?,
            mlp: Mlp::new(config, &weights.child("mlp"))?,
        })
    }

    /// (tokens, hidden_size) -> (rows, hidden_size).
    fn forward(&self, x: &Tensor, rotary: &RotaryTable, sequences: &Segments, rows: Rows) -> Result<Tensor> {
        let normed = self.input_layernorm.forward(x)?;
        let (residual, attended) = match rows {
            Rows::All => (
                x.clone(),
                self.attention
                    .forward(&normed, &normed, (rotary, sequences), (rotary, sequences))?,
            ),
            Rows::Last => {
                let last = Tensor::new(sequences.last_rows(), x.device())?;
                let queries = (
                    &rotary.select(&last)?,
                    &Segments::new(vec![1; sequences.lengths().len()]),
                );
                let attended =
                    self.attention
                        .forward(&normed.index_select(&last, 0)?, &normed, queries, (rotary, sequences))?;
                (x.index_select(&last, 0)?, attended)
            }
        };
        let x = (residual + attended)?;
        &x + self.mlp.forward(&self.post_attention_layernorm.forward(&x)?)?
    }
}

#[derive(Debug)]
struct Attention {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
}

impl Attention {
    fn new(config: &TextConfig, weights: &Scope<'_>) -> std::result::Result<Self, ModelError> {
        let (size, head_dim) = (config.hidden_size, config.head_dim());
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        Ok(Self {
            heads,
            kv_heads,
            head_dim,
            q_proj: weights.linear("q_proj", size, heads * head_dim)?,
            k_proj: weights.linear("k_proj", size, kv_heads * head_dim)?,
            v_proj: weights.linear("v_proj", size, kv_heads * head_dim)?,
            o_proj: weights.linear_no_bias("o_proj", heads * head_dim, size)?,
        })
    }

    /// Queries from `x` (queries, hidden_size), keys and values from `context` (tokens, hidden_size), each with its rotary
    /// table and its sequences' lengths; gives (queries, hidden_size).
    fn forward(
        &self,
        x: &Tensor,
        context: &Tensor,
        (q_rotary, queries): (&RotaryTable, &Segments),
        (k_rotary, keys): (&RotaryTable, &Segments),
    ) -> Result<Tensor> {
        let q = q_rotary.rotate(&self.q_proj.forward(x)?.reshape(((), self.heads, self.head_dim))?)?;
        let k = k_rotary.rotate(
            &self
                .k_proj
                .forward(context)?
                .reshape(((), self.kv_heads, self.head_dim))?,
        )?;
        let v = self
            .v_proj
            .forward(context)?
            .reshape(((), self.kv_heads, self.head_dim))?;
        let attended = packed_attention(&q, &k, &v, queries, keys, true)?; // (queries, heads, head_dim)
        self.o_proj.forward(&attended.flatten_from(1)?)
    }
}

#[derive(Debug)]
struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl Mlp {
    fn new(config: &TextConfig, weights: &Scope<'_>) -> std::result::Result<Self, ModelError> {
        let (size, inner) = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            gate_proj: weights.linear_no_bias("gate_proj", size, inner)?,
            up_proj: weights.linear_no_bias("up_proj", size, inner)?,
            down_proj: weights.linear_no_bias("down_proj", inner, size)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down_proj
            .forward(&swiglu(&self.gate_proj.forward(x)?, &self.up_proj.forward(x)?)?)
    }
}
