//! The language model: Qwen2 with grouped-query attention and M-RoPE, without its output head.

use candle_core::{Module, Result, Tensor};
use candle_nn::{Linear, RmsNorm};

use super::activation::swiglu;
use super::attention::{Pattern, Segments, packed_attention};
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
    heads: usize,
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
            heads: config.num_attention_heads,
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
        let device = embeddings.device();
        let tokens = Queries {
            rows: None,
            rotary: rotary.clone(),
            pattern: Pattern::new(sequences, sequences, self.heads, true, device)?,
        };
        let wanted = match rows {
            Rows::All => tokens.clone(),
            Rows::Last => {
                let last = Tensor::new(sequences.last_rows(), device)?;
                let queries = Segments::new(vec![1; sequences.lengths().len()]);
                Queries {
                    rotary: rotary.select(&last)?,
                    rows: Some(last),
                    pattern: Pattern::new(&queries, sequences, self.heads, true, device)?,
                }
            }
        };
        let mut hidden = embeddings.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            let is_last = index + 1 == self.layers.len();
            hidden = layer.forward(&hidden, rotary, if is_last { &wanted } else { &tokens })?;
        }
        self.norm.forward(&hidden)
    }
}

/// The tokens that a layer computes, and what they attend to.
#[derive(Debug, Clone)]
struct Queries {
    /// `None`: every token.
    rows: Option<Tensor>,
    rotary: RotaryTable,
    pattern: Pattern,
}

impl Queries {
    /// Their rows of `x` (tokens, hidden_size).
    fn of(&self, x: &Tensor) -> Result<Tensor> {
        match &self.rows {
            Some(rows) => x.index_select(rows, 0),
            None => Ok(x.clone()),
        }
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

    /// (tokens, hidden_size) -> (queries, hidden_size); `rotary` is that of all tokens.
    fn forward(&self, x: &Tensor, rotary: &RotaryTable, queries: &Queries) -> Result<Tensor> {
        let normed = self.input_layernorm.forward(x)?;
        let attended = self.attention.forward(&normed, rotary, queries)?;
        let x = (queries.of(x)? + attended)?;
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

    /// Keys and values are those of all tokens of `x` (tokens, hidden_size), and `rotary` their table; gives
    /// (queries, hidden_size).
    fn forward(&self, x: &Tensor, rotary: &RotaryTable, queries: &Queries) -> Result<Tensor> {
        let q = self.q_proj.forward(&queries.of(x)?)?;
        let q = queries.rotary.rotate(&q.reshape(((), self.heads, self.head_dim))?)?;
        let k = self.k_proj.forward(x)?;
        let k = rotary.rotate(&k.reshape(((), self.kv_heads, self.head_dim))?)?;
        let v = self.v_proj.forward(x)?;
        let v = v.reshape(((), self.kv_heads, self.head_dim))?;
        let attended = packed_attention(&q, &k, &v, &queries.pattern)?; // (queries, heads, head_dim)
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
