//! A transformer layer with a graph: the differentiable twin of `backbone::layer`.

use candle_core::{Result, Tensor, Var};
use sightstream_model::backbone::attention::{Pattern, Segments};
use sightstream_model::backbone::cpu::{Attention, Sequence};
use sightstream_model::backbone::queries::HeadSizes;

use super::attention::{Rotary, attend};
use super::fused;
use super::graph::tie;
use super::modules::{Linear, Norm};
use super::pass::Pass;

/// One layer.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Before attention.
    pub attention_norm: Norm,
    /// How the projections are divided.
    pub sizes: HeadSizes,
    /// To query heads, key heads and value heads.
    pub qkv: Projections,
    /// From the attended values.
    pub out: Linear,
    /// Before the MLP.
    pub mlp_norm: Norm,
    /// The MLP.
    pub mlp: Mlp,
}

/// How queries, keys and values are projected.
#[derive(Debug, Clone)]
pub enum Projections {
    /// By one map, side by side: the vision tower.
    Joined(Linear),
    /// By one each: the language model.
    Apart([Linear; 3]),
}

/// What a layer does to each token alone.
#[derive(Debug, Clone)]
pub enum Mlp {
    /// `down(quick_gelu(up(x)))`
    QuickGelu {
        /// To the inner width.
        up: Linear,
        /// And back.
        down: Linear,
    },
    /// `down(silu(gate(x)) · up(x))`
    Swiglu {
        /// To the inner width.
        gate: Linear,
        /// To the inner width as well.
        up: Linear,
        /// And back.
        down: Linear,
    },
}

/// Which tokens a layer computes, and what they attend to. Made once for a batch, and shared by all layers of a tower.
#[derive(Debug, Clone)]
pub struct Queries {
    /// `None`: every token.
    pub rows: Option<Vec<u32>>,
    /// Their angles.
    pub rotary: Rotary,
    /// The sequences' lengths in queries …
    pub lengths: Segments,
    /// … and in keys.
    pub keys: Segments,
    /// Whether none sees a later token.
    pub causal: bool,
    /// For candle's operations; `None` where layers run on slices.
    pub pattern: Option<Pattern>,
}

impl Queries {
    /// Every token of `sequences`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn all(
        sequences: &Segments,
        sizes: HeadSizes,
        causal: bool,
        rotary: &Rotary,
        like: &Tensor,
        pass: &Pass,
    ) -> Result<Self> {
        Self::new(
            None,
            sequences.clone(),
            sequences,
            sizes,
            causal,
            rotary.clone(),
            like,
            pass,
        )
    }

    /// Each sequence's last token.
    ///
    /// # Errors
    /// If the device fails.
    pub fn last(sequences: &Segments, sizes: HeadSizes, rotary: &Rotary, like: &Tensor, pass: &Pass) -> Result<Self> {
        let rows = sequences.last_rows();
        let lengths = Segments::new(vec![1; sequences.lengths().len()]);
        let rotary = rotary.select(&Tensor::new(rows.as_slice(), like.device())?)?;
        Self::new(Some(rows), lengths, sequences, sizes, true, rotary, like, pass)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of what it makes")]
    fn new(
        rows: Option<Vec<u32>>,
        lengths: Segments,
        keys: &Segments,
        sizes: HeadSizes,
        causal: bool,
        rotary: Rotary,
        like: &Tensor,
        pass: &Pass,
    ) -> Result<Self> {
        let pattern = match pass.is_fused(like) && sizes.size <= Attention::WIDEST {
            true => None,
            false => Some(Pattern::new(&lengths, keys, sizes.heads, causal, like.device())?),
        };
        Ok(Self {
            rows,
            rotary,
            lengths,
            keys: keys.clone(),
            causal,
            pattern,
        })
    }

    /// Their rows of `x` (tokens, width).
    fn of(&self, x: &Tensor) -> Result<Tensor> {
        match &self.rows {
            Some(rows) => x.index_select(&Tensor::new(rows.as_slice(), x.device())?, 0),
            None => Ok(x.clone()),
        }
    }

    /// Each sequence's place among the queries and among the keys.
    pub fn sequences(&self) -> Vec<Sequence> {
        let (mut q_start, mut k_start) = (0, 0);
        let lengths = self.lengths.lengths().iter().zip(self.keys.lengths());
        lengths
            .map(|(&q_length, &k_length)| {
                let sequence = Sequence {
                    q_start,
                    q_length,
                    k_start,
                    k_length,
                };
                q_start += q_length;
                k_start += k_length;
                sequence
            })
            .collect()
    }
}

impl Layer {
    /// (tokens, width) -> (queries, width); `rotary` is that of all tokens.
    ///
    /// With checkpoints, the graph holds the layer's input alone, and the way back computes the layer again.
    ///
    /// # Errors
    /// If the shapes do not go together, or the device fails.
    pub fn forward(&self, x: &Tensor, rotary: &Rotary, queries: &Queries, pass: &Pass) -> Result<Tensor> {
        let has_graph = pass.graph && (x.track_op() || self.tensors().any(Tensor::track_op));
        if !(pass.checkpoints && has_graph) {
            return self.compute(x, rotary, queries, pass);
        }
        let without = Pass { graph: false, ..*pass };
        let input = x.detach();
        let output = self.compute(&input, rotary, queries, &without)?;
        let (layer, rotary, queries, pass) = (self.clone(), rotary.clone(), queries.clone(), *pass);
        let inputs: Vec<&Tensor> = std::iter::once(x).chain(self.tensors()).collect();
        tie(&inputs, output, move |gradient, wanted| {
            let input = Var::from_tensor(&input)?;
            let output = layer.compute(input.as_tensor(), &rotary, &queries, &pass)?;
            let found = (output * gradient)?.sum_all()?.backward()?;
            let inputs = std::iter::once(input.as_tensor()).chain(layer.tensors());
            let found = inputs.zip(wanted).map(|(input, wanted)| match wanted {
                true => found.get(input).cloned(),
                false => None,
            });
            Ok(found.collect())
        })
    }

    fn compute(&self, x: &Tensor, rotary: &Rotary, queries: &Queries, pass: &Pass) -> Result<Tensor> {
        let Some(pattern) = &queries.pattern else {
            return fused::forward(self, x, rotary, queries, pass);
        };
        let HeadSizes { heads, kv_heads, size } = self.sizes;
        let normed = self.attention_norm.forward(x, pass)?;
        let [q, k, v] = self.project(&queries.of(&normed)?, &normed, pass)?;
        let divided = |x: Tensor, count: usize| x.reshape(((), count, size));
        let q = queries.rotary.rotate(&divided(q, heads)?)?;
        let k = rotary.rotate(&divided(k, kv_heads)?)?;
        let attended = attend(&q, &k, &divided(v, kv_heads)?, pattern)?; // (queries, heads, size)
        let x = (queries.of(x)? + self.out.forward(&attended.flatten_from(1)?, pass)?)?;
        let normed = self.mlp_norm.forward(&x, pass)?;
        let inner = match &self.mlp {
            Mlp::QuickGelu { up, down } => {
                let up = up.forward(&normed, pass)?;
                down.forward(&(&up * candle_nn::ops::sigmoid(&(&up * 1.702)?)?)?, pass)?
            }
            Mlp::Swiglu { gate, up, down } => {
                let inner = (gate.forward(&normed, pass)?.silu()? * up.forward(&normed, pass)?)?;
                down.forward(&inner, pass)?
            }
        };
        x + inner
    }

    /// Queries of `wanted`, and keys and values of `all`.
    fn project(&self, wanted: &Tensor, all: &Tensor, pass: &Pass) -> Result<[Tensor; 3]> {
        match &self.qkv {
            Projections::Apart([q, k, v]) => {
                Ok([q.forward(wanted, pass)?, k.forward(all, pass)?, v.forward(all, pass)?])
            }
            Projections::Joined(qkv) => {
                let joined = qkv.forward(all, pass)?;
                let width = self.sizes.heads * self.sizes.size;
                let part = |index: usize| joined.narrow(1, index * width, width)?.contiguous();
                Ok([part(0)?, part(1)?, part(2)?])
            }
        }
    }

    /// Its linear maps.
    pub fn linears(&self) -> impl Iterator<Item = &Linear> {
        let qkv = match &self.qkv {
            Projections::Joined(qkv) => std::slice::from_ref(qkv),
            Projections::Apart(apart) => apart.as_slice(),
        };
        let mlp = match &self.mlp {
            Mlp::QuickGelu { up, down } => [Some(up), Some(down), None],
            Mlp::Swiglu { gate, up, down } => [Some(gate), Some(up), Some(down)],
        };
        qkv.iter().chain([&self.out]).chain(mlp.into_iter().flatten())
    }

    /// Every tensor of it that may have a graph, in an order that stays the same.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let norms = self.attention_norm.tensors().chain(self.mlp_norm.tensors());
        norms.chain(self.linears().flat_map(Linear::tensors))
    }
}
