//! A layer on slices, there and back.

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor};
use sightstream_model::backbone::cpu::{Attention, Floats, Heads, Rotary as Angles, Sequence};
use sightstream_model::backbone::queries::HeadSizes;

use super::super::attention::Rotary;
use super::super::graph::{Output, tie};
use super::super::layer::{Layer, Mlp, Projections, Queries};
use super::super::modules::Linear;
use super::super::pass::Pass;
use super::activation::{quick_gelu_forth, swiglu_forth};
use super::buffers::Buffer;
use super::linear::{FusedLinear, Kept};
use super::matrix::MatrixMut;
use super::norm::FusedNorm;

/// (tokens, width) -> (queries, width), with a graph if the pass asks for one.
///
/// # Errors
/// If the tensors are not f32 on the CPU, or their shapes do not go together.
pub fn forward(layer: &Layer, x: &Tensor, rotary: &Rotary, queries: &Queries, pass: &Pass) -> Result<Tensor> {
    let plain = x.detach().contiguous()?;
    let work = Work {
        layer: layer.clone(),
        rotary: rotary.clone(),
        queries: queries.clone(),
        sequences: queries.sequences(),
        pass: *pass,
    };
    let (output, state) = work.forth(&plain)?;
    let shape = Shape::from((output.len() / x.dim(1)?, x.dim(1)?));
    if !pass.graph {
        return Tensor::from_vec(output, shape, x.device());
    }
    let inputs: Vec<&Tensor> = std::iter::once(x).chain(layer.tensors()).collect();
    let work = Arc::new(work);
    tie(&inputs, Output::Numbers(output, shape), move |gradient, wanted| {
        let gradients = work.back(&plain, &state, &Floats::of(gradient)?, wanted)?;
        let tensors = std::iter::once(&plain).chain(work.layer.tensors());
        let shaped = tensors.zip(gradients).zip(wanted).map(|((tensor, gradient), wanted)| {
            let gradient = gradient.filter(|_| *wanted);
            gradient
                .map(|numbers| Tensor::from_vec(numbers, tensor.shape(), tensor.device()))
                .transpose()
        });
        shaped.collect()
    })
}

/// One layer on one batch.
pub struct Work {
    pub layer: Layer,
    pub rotary: Rotary,
    pub queries: Queries,
    sequences: Vec<Sequence>,
    pass: Pass,
}

/// What the way back needs of the way there.
pub struct State {
    /// The queries, where only some tokens have one.
    pub q: Option<Buffer>,
    /// Keys and values, with the queries in front of them where every token has one.
    pub kv: Buffer,
    pub attended: Buffer,
    /// What goes into the second norm.
    pub middle: Buffer,
    pub gate: Buffer,
    pub up: Buffer,
    pub qkv_kept: Vec<Kept>,
    pub out_kept: Kept,
    pub mlp_kept: Vec<Kept>,
}

impl Work {
    pub fn widths(&self) -> (usize, usize) {
        let HeadSizes { heads, kv_heads, size } = self.layer.sizes;
        (heads * size, kv_heads * size)
    }

    pub fn linear<'a>(&self, linear: &'a Linear) -> Result<FusedLinear<'a>> {
        FusedLinear::of(linear, &self.pass)
    }

    /// Some rows of `x`, or all.
    pub fn wanted(&self, x: &[f32], width: usize) -> Option<Buffer> {
        let rows = self.queries.rows.as_ref()?;
        let mut wanted = Buffer::any(rows.len() * width);
        for (row, numbers) in rows.iter().zip(wanted.chunks_exact_mut(width)) {
            numbers.copy_from_slice(&x[*row as usize * width..][..width]);
        }
        Some(wanted)
    }

    fn forth(&self, x: &Tensor) -> Result<(Vec<f32>, State)> {
        let width = x.dim(1)?;
        let x = Floats::of(x)?;
        let normed = FusedNorm::of(&self.layer.attention_norm)?.forth(&x);
        let (q, kv, qkv_kept) = self.project(&normed, width)?;
        drop(normed);
        let attended: Buffer = {
            let (cos, sin) = self.rotary.table().floats()?;
            let (q_cos, q_sin) = self.queries.rotary.table().floats()?;
            self.attention(
                q.as_deref(),
                &kv,
                Angles {
                    cos: &q_cos,
                    sin: &q_sin,
                },
                Angles { cos: &cos, sin: &sin },
            )
            .compute()
            .into()
        };
        let out = self.linear(&self.layer.out)?;
        let mut middle = match self.wanted(&x, width) {
            Some(wanted) => wanted,
            None => Buffer::copy(&x),
        };
        let out_kept = out.forth(MatrixMut::new(&mut middle, width), true, &attended)?;
        let normed = FusedNorm::of(&self.layer.mlp_norm)?.forth(&middle);
        let rows = middle.len() / width;
        let apply = |linear: &Linear, x: &[f32]| -> Result<(Buffer, Kept)> {
            let linear = self.linear(linear)?;
            let mut output = Buffer::any(rows * linear.outputs);
            let kept = linear.forth(MatrixMut::new(&mut output, linear.outputs), false, x)?;
            Ok((output, kept))
        };
        let (gate, up, inner, down, mut mlp_kept) = match &self.layer.mlp {
            Mlp::QuickGelu { up, down } => {
                let (up, kept) = apply(up, &normed)?;
                let inner = quick_gelu_forth(&up);
                (Buffer::default(), up, inner, down, vec![kept])
            }
            Mlp::Swiglu { gate, up, down } => {
                let ((gate, gate_kept), (up, up_kept)) = (apply(gate, &normed)?, apply(up, &normed)?);
                let inner = swiglu_forth(&gate, &up);
                (gate, up, inner, down, vec![gate_kept, up_kept])
            }
        };
        let mut output = middle.to_vec();
        mlp_kept.push(
            self.linear(down)?
                .forth(MatrixMut::new(&mut output, width), true, &inner)?,
        );
        let state = State {
            q,
            kv,
            attended,
            middle,
            gate,
            up,
            qkv_kept,
            out_kept,
            mlp_kept,
        };
        Ok((output, state))
    }

    /// Queries where only some tokens have one; keys and values, with the queries in front of them where every token has one.
    fn project(&self, normed: &[f32], width: usize) -> Result<(Option<Buffer>, Buffer, Vec<Kept>)> {
        let (q_width, kv_width) = self.widths();
        let rows = normed.len() / width;
        let apart = match &self.layer.qkv {
            Projections::Joined(joined) => {
                let mut kv = Buffer::any(rows * (q_width + 2 * kv_width));
                let kept =
                    self.linear(joined)?
                        .forth(MatrixMut::new(&mut kv, q_width + 2 * kv_width), false, normed)?;
                return Ok((None, kv, vec![kept]));
            }
            Projections::Apart(apart) => apart,
        };
        let wanted = self.wanted(normed, width);
        let stride = 2 * kv_width + if wanted.is_some() { 0 } else { q_width };
        let mut kv = Buffer::any(rows * stride);
        let mut kept = Vec::with_capacity(apart.len());
        let mut q = None;
        let mut start = 0;
        for (index, linear) in apart.iter().enumerate() {
            let linear = self.linear(linear)?;
            if let (0, Some(wanted)) = (index, &wanted) {
                let mut numbers = Buffer::any(wanted.len() / width * q_width);
                kept.push(linear.forth(MatrixMut::new(&mut numbers, q_width), false, wanted)?);
                q = Some(numbers);
                continue;
            }
            let columns = MatrixMut::strided(&mut kv[start..], rows, linear.outputs, stride);
            kept.push(linear.forth(columns, false, normed)?);
            start += linear.outputs;
        }
        Ok((q, kv, kept))
    }

    pub fn attention<'a>(
        &'a self,
        q: Option<&'a [f32]>,
        kv: &'a [f32],
        q_rotary: Angles<'a>,
        k_rotary: Angles<'a>,
    ) -> Attention<'a> {
        let (q_width, kv_width) = self.widths();
        let (kv_start, stride) = match q {
            Some(_) => (0, 2 * kv_width),
            None => (q_width, q_width + 2 * kv_width),
        };
        let heads = |start: usize| Heads {
            numbers: kv,
            start,
            stride,
        };
        let HeadSizes {
            heads: q_heads,
            kv_heads,
            size,
        } = self.layer.sizes;
        Attention {
            q: match q {
                Some(numbers) => Heads {
                    numbers,
                    start: 0,
                    stride: q_width,
                },
                None => heads(0),
            },
            k: heads(kv_start),
            v: heads(kv_start + kv_width),
            q_rotary,
            k_rotary,
            heads: q_heads,
            kv_heads,
            size,
            causal: self.queries.causal,
            sequences: &self.sequences,
        }
    }
}
