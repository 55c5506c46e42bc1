//! A transformer layer, as both towers have it: attention and an MLP, each on normalised rows and added to what came in.
//!
//! Twice: by candle's operations, on any device and type, and by those on slices on a CPU in f32.

use candle_core::{Result, Tensor};

use super::activation::{quick_gelu, swiglu};
use super::attention::{Pattern, packed_attention};
use super::cpu::{self, Floats, Heads, Parallelism, Sequence, by_rows};
use super::modules::{FusedLinear, Linear, Norm};
use super::queries::{Attend, HeadSizes, Queries};
use super::rope::RotaryTable;

/// One layer.
#[derive(Debug)]
pub struct Layer {
    /// Before attention.
    pub attention_norm: Norm,
    /// How the result of `qkv` is divided.
    pub sizes: HeadSizes,
    /// To query heads, key heads and value heads, side by side.
    pub qkv: Linear,
    /// From the attended values.
    pub out: Linear,
    /// Before the MLP.
    pub mlp_norm: Norm,
    /// The MLP.
    pub mlp: Mlp,
}

/// What a layer does to each token alone.
#[derive(Debug)]
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

impl Layer {
    /// (tokens, width) -> (queries, width); `rotary` is that of all tokens.
    ///
    /// # Errors
    /// If the shapes do not go together, or the device fails.
    pub fn forward(&self, x: &Tensor, rotary: &RotaryTable, queries: &Queries) -> Result<Tensor> {
        match &queries.attend {
            Attend::Plain(pattern) => self.plain(x, rotary, queries, pattern),
            Attend::Fused { sequences, causal } => self.fused(x, rotary, queries, sequences, *causal),
        }
    }

    fn plain(&self, x: &Tensor, rotary: &RotaryTable, queries: &Queries, pattern: &Pattern) -> Result<Tensor> {
        let HeadSizes { heads, kv_heads, size } = self.sizes;
        let normed = self.attention_norm.forward(x)?;
        let part = |x: &Tensor, first: usize, count: usize| {
            self.qkv
                .columns(x, first * size, count * size)?
                .reshape(((), count, size))
        };
        let q = queries.rotary.rotate(&part(&queries.of(&normed)?, 0, heads)?)?;
        let k = rotary.rotate(&part(&normed, heads, kv_heads)?)?;
        let v = part(&normed, heads + kv_heads, kv_heads)?;
        let attended = packed_attention(&q, &k, &v, pattern)?; // (queries, heads, size)
        let x = (queries.of(x)? + self.out.forward(&attended.flatten_from(1)?)?)?;
        let normed = self.mlp_norm.forward(&x)?;
        let (inner, down) = match &self.mlp {
            Mlp::QuickGelu { up, down } => (quick_gelu(&up.forward(&normed)?)?, down),
            Mlp::Swiglu { gate, up, down } => (swiglu(&gate.forward(&normed)?, &up.forward(&normed)?)?, down),
        };
        x + down.forward(&inner)?
    }

    fn fused(
        &self,
        x: &Tensor,
        rotary: &RotaryTable,
        queries: &Queries,
        sequences: &[Sequence],
        causal: bool,
    ) -> Result<Tensor> {
        let HeadSizes { heads, kv_heads, size } = self.sizes;
        let (q_width, kv_width) = (heads * size, kv_heads * size);
        let wanted = queries.of(x)?;
        let (all, wanted) = (Floats::of(x)?, Floats::of(&wanted)?);
        // Every token's keys and values, and the queries with them if every token has one.
        let (q, kv, kv_start) = match queries.rows {
            None => (None, self.project(&all, 0, q_width + 2 * kv_width)?, q_width),
            Some(_) => (
                Some(self.project(&wanted, 0, q_width)?),
                self.project(&all, q_width, 2 * kv_width)?,
                0,
            ),
        };
        let stride = kv_start + 2 * kv_width;
        let (cos, sin) = rotary.floats()?;
        let (q_cos, q_sin) = queries.rotary.floats()?;
        let attended = cpu::Attention {
            q: match &q {
                Some(q) => Heads {
                    numbers: q,
                    start: 0,
                    stride: q_width,
                },
                None => Heads {
                    numbers: &kv,
                    start: 0,
                    stride,
                },
            },
            k: Heads {
                numbers: &kv,
                start: kv_start,
                stride,
            },
            v: Heads {
                numbers: &kv,
                start: kv_start + kv_width,
                stride,
            },
            q_rotary: cpu::Rotary {
                cos: &q_cos,
                sin: &q_sin,
            },
            k_rotary: cpu::Rotary { cos: &cos, sin: &sin },
            heads,
            kv_heads,
            size,
            causal,
            sequences,
        }
        .compute();
        drop((q, kv));
        let width = self.out.outputs();
        let finished = self.finish(&wanted, &attended)?;
        Tensor::from_vec(finished, (wanted.len() / width, width), x.device())
    }

    /// Some columns of `qkv`'s result for the rows of `x`, normalised.
    fn project(&self, x: &[f32], start: usize, count: usize) -> Result<Vec<f32>> {
        let (norm, qkv, width) = (self.attention_norm.fused()?, self.qkv.fused()?, self.out.outputs());
        let mut projected = vec![0.0; x.len() / width * count];
        by_rows(&mut projected, count, |first, output, parallelism| {
            let rows = output.len() / count;
            let mut normed = vec![0.0; rows * width];
            norm.apply(&mut normed, &x[first * width..][..rows * width]);
            qkv.columns(output, &normed, start, count, parallelism);
        });
        Ok(projected)
    }

    /// What follows attention, for the rows of `x` and what their queries attended to.
    fn finish(&self, x: &[f32], attended: &[f32]) -> Result<Vec<f32>> {
        let (out, norm, mlp) = (self.out.fused()?, self.mlp_norm.fused()?, self.mlp.fused()?);
        let (width, attended_width) = (out.outputs, self.sizes.heads * self.sizes.size);
        let mut finished = vec![0.0; x.len()];
        by_rows(&mut finished, width, |first, output, parallelism| {
            let rows = output.len() / width;
            output.copy_from_slice(&x[first * width..][..rows * width]);
            let attended = &attended[first * attended_width..][..rows * attended_width];
            out.add(output, attended, parallelism);
            let mut normed = vec![0.0; output.len()];
            norm.apply(&mut normed, output);
            mlp.add(output, &normed, parallelism);
        });
        Ok(finished)
    }
}

impl Mlp {
    fn fused(&self) -> Result<FusedMlp<'_>> {
        Ok(match self {
            Self::QuickGelu { up, down } => FusedMlp {
                gate: None,
                up: up.fused()?,
                down: down.fused()?,
            },
            Self::Swiglu { gate, up, down } => FusedMlp {
                gate: Some(gate.fused()?),
                up: up.fused()?,
                down: down.fused()?,
            },
        })
    }
}

/// A borrowed [`Mlp`] of f32 on the CPU.
struct FusedMlp<'a> {
    gate: Option<FusedLinear<'a>>,
    up: FusedLinear<'a>,
    down: FusedLinear<'a>,
}

impl FusedMlp<'_> {
    /// Adds the result for the rows of `x`, as many as `output` has.
    fn add(&self, output: &mut [f32], x: &[f32], parallelism: Parallelism) {
        let inner = output.len() / self.down.outputs * self.up.outputs;
        let mut up = vec![0.0; inner];
        self.up.apply(&mut up, x, parallelism);
        match &self.gate {
            None => cpu::quick_gelu(&mut up),
            Some(gate) => {
                let mut gated = vec![0.0; inner];
                gate.apply(&mut gated, x, parallelism);
                cpu::swiglu(&mut gated, &up);
                up = gated;
            }
        }
        self.down.add(output, &up, parallelism);
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::super::attention::Segments;
    use super::super::config::TextConfig;
    use super::*;

    const DEVICE: &Device = &Device::Cpu;

    fn random(shape: &[usize], scale: f32) -> Tensor {
        Tensor::randn(0f32, scale, shape, DEVICE).expect("made")
    }

    fn linear(inputs: usize, outputs: usize, biased: bool) -> Linear {
        let bias = biased.then(|| random(&[outputs], 0.3));
        Linear::new(&random(&[outputs, inputs], 1.0 / (inputs as f32).sqrt()), bias).expect("made")
    }

    fn layer(sizes: HeadSizes, width: usize, inner: usize, is_text: bool) -> Layer {
        let norm = || Norm::new(random(&[width], 0.5), (!is_text).then(|| random(&[width], 0.2)), 1e-6);
        let heads = (sizes.heads + 2 * sizes.kv_heads) * sizes.size;
        let (up, down) = (linear(width, inner, !is_text), linear(inner, width, !is_text));
        Layer {
            attention_norm: norm(),
            sizes,
            qkv: linear(width, heads, true),
            out: linear(sizes.heads * sizes.size, width, !is_text),
            mlp_norm: norm(),
            mlp: match is_text {
                true => Mlp::Swiglu {
                    gate: linear(width, inner, false),
                    up,
                    down,
                },
                false => Mlp::QuickGelu { up, down },
            },
        }
    }

    fn table(tokens: usize, size: usize) -> RotaryTable {
        let config = TextConfig {
            vocab_size: 1,
            hidden_size: size,
            intermediate_size: 1,
            num_hidden_layers: 1,
            num_attention_heads: 1,
            num_key_value_heads: 1,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            mrope_section: [size / 2, 0, 0],
        };
        let positions: Vec<_> = (0..tokens as u32).map(|place| [place; 3]).collect();
        RotaryTable::text(&config, &positions, DType::F32, DEVICE).expect("made")
    }

    /// The same queries for candle's operations.
    fn plain(queries: &Queries, keys: &Segments, sizes: HeadSizes) -> Queries {
        let Attend::Fused { sequences, causal } = &queries.attend else {
            panic!("f32 on a CPU is fused")
        };
        let lengths = Segments::new(sequences.iter().map(|sequence| sequence.q_length).collect());
        let pattern = Pattern::new(&lengths, keys, sizes.heads, *causal, DEVICE).expect("made");
        Queries {
            attend: Attend::Plain(pattern),
            ..queries.clone()
        }
    }

    #[test]
    fn both_ways_through_a_layer_give_the_same() {
        // Heads narrower and wider than registers, odd numbers of them; sequences of one token, of several blocks of queries,
        // and of more keys than are multiplied at once; few rows and many.
        let shapes = [(4, 2, 16), (3, 1, 28), (2, 2, 80), (1, 1, 130)];
        for (lengths, (heads, kv_heads, size)) in [vec![3, 3, 7, 1, 33], vec![600, 64, 1], vec![1], vec![15, 16, 17]]
            .into_iter()
            .flat_map(|lengths| shapes.map(|shape| (lengths.clone(), shape)))
        {
            let sizes = HeadSizes { heads, kv_heads, size };
            let sequences = Segments::new(lengths);
            for is_text in [true, false] {
                let layer = layer(sizes, 48, 72, is_text);
                let x = random(&[sequences.total(), 48], 1.0);
                let rotary = table(sequences.total(), size);
                let all = Queries::all(&sequences, sizes, is_text, &rotary, &x).expect("made");
                let last = Queries::last(&sequences, sizes, &rotary, &x).expect("made");
                for queries in [all, last] {
                    let fused = layer.forward(&x, &rotary, &queries).expect("computed");
                    let queries = plain(&queries, &sequences, sizes);
                    let plain = layer.forward(&x, &rotary, &queries).expect("computed");
                    let difference = (fused - plain).and_then(|difference| difference.abs()?.max_all()?.to_scalar());
                    let difference: f32 = difference.expect("same shapes");
                    assert!(difference < 2e-4, "{sizes:?} {sequences:?} {is_text}: {difference}");
                }
            }
        }
    }
}
