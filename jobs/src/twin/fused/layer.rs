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
use super::activation::{quick_gelu_back, quick_gelu_forth, swiglu_back, swiglu_forth};
use super::attention;
use super::buffers::Buffer;
use super::linear::{By, FusedLinear, Kept};
use super::matrix::{Matrix, MatrixMut};
use super::norm::{FusedNorm, NormGradients};

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
struct Work {
    layer: Layer,
    rotary: Rotary,
    queries: Queries,
    sequences: Vec<Sequence>,
    pass: Pass,
}

/// What the way back needs of the way there.
struct State {
    /// The queries, where only some tokens have one.
    q: Option<Buffer>,
    /// Keys and values, with the queries in front of them where every token has one.
    kv: Buffer,
    attended: Buffer,
    /// What goes into the second norm.
    middle: Buffer,
    gate: Buffer,
    up: Buffer,
    qkv_kept: Vec<Kept>,
    out_kept: Kept,
    mlp_kept: Vec<Kept>,
}

impl Work {
    fn widths(&self) -> (usize, usize) {
        let HeadSizes { heads, kv_heads, size } = self.layer.sizes;
        (heads * size, kv_heads * size)
    }

    fn linear<'a>(&self, linear: &'a Linear) -> Result<FusedLinear<'a>> {
        FusedLinear::of(linear, &self.pass)
    }

    /// Some rows of `x`, or all.
    fn wanted(&self, x: &[f32], width: usize) -> Option<Buffer> {
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

    fn attention<'a>(
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

    /// The gradients of `x` and of the layer's tensors, in their order.
    fn back(&self, x: &Tensor, state: &State, gradient: &[f32], wanted: &[bool]) -> Result<Vec<Option<Vec<f32>>>> {
        let width = x.dim(1)?;
        let x = Floats::of(x)?;
        let mut mlp = Vec::new();
        // The residual stream between attention and MLP.
        let mut by_middle = gradient.to_vec();
        let mlp_norm = FusedNorm::of(&self.layer.mlp_norm)?;
        let by_normed = self.mlp_back(&mlp_norm.forth(&state.middle), state, gradient, &mut mlp)?;
        let by_mlp_norm = mlp_norm.back(&mut by_middle, &by_normed, &state.middle);
        let out = self.linear(&self.layer.out)?;
        let mut by_attended = Buffer::any(state.attended.len());
        let by_middle_matrix = Matrix::new(&by_middle, width);
        let by_out = out.back(
            Some(By::fresh(&mut by_attended)),
            by_middle_matrix,
            &state.attended,
            &state.out_kept,
        );
        let by_qkv = {
            let (cos, sin) = self.rotary.table().floats()?;
            let (q_cos, q_sin) = self.queries.rotary.table().floats()?;
            let (q_angles, k_angles) = (
                Angles {
                    cos: &q_cos,
                    sin: &q_sin,
                },
                Angles { cos: &cos, sin: &sin },
            );
            let attention = self.attention(state.q.as_deref(), &state.kv, q_angles, k_angles);
            attention::back(&attention, &by_attended, state.q.is_none())
        };
        drop(by_attended);
        let norm = FusedNorm::of(&self.layer.attention_norm)?;
        let is_normed_wanted = wanted[0] || self.layer.attention_norm.tensors().any(Tensor::track_op);
        let mut by_normed = is_normed_wanted.then(|| Buffer::zeros(x.len()));
        let normed = norm.forth(&x);
        let qkv = self.project_back(by_normed.as_deref_mut(), &normed, &by_qkv, state, width)?;
        let mut by_x = match &self.queries.rows {
            None => by_middle,
            Some(rows) => {
                let mut by_x = vec![0.0; x.len()];
                for (row, numbers) in rows.iter().zip(by_middle.chunks_exact(width)) {
                    by_x[*row as usize * width..][..width].copy_from_slice(numbers);
                }
                by_x
            }
        };
        let by_norm = by_normed.map(|by_normed| norm.back(&mut by_x, &by_normed, &x));
        let parts = |gradients: Option<NormGradients>, biased: bool| {
            let (weight, bias) = gradients.map(|gradients| (gradients.weight, gradients.bias)).unzip();
            std::iter::once(weight).chain(biased.then_some(bias))
        };
        let is_biased = self.layer.attention_norm.bias.is_some();
        let norms = parts(by_norm, is_biased).chain(parts(Some(by_mlp_norm), is_biased));
        Ok(std::iter::once(Some(by_x))
            .chain(norms)
            .chain(qkv)
            .chain(by_out)
            .chain(mlp)
            .collect())
    }

    /// The gradient of the MLP's input, and those of its tensors.
    fn mlp_back(
        &self,
        normed: &[f32],
        state: &State,
        gradient: &[f32],
        gradients: &mut Vec<Option<Vec<f32>>>,
    ) -> Result<Buffer> {
        let width = self.layer.out.weight.dims()[0];
        let mut by_normed = Buffer::any(normed.len());
        let mut by_inner = Buffer::any(state.up.len());
        let (first, second, down) = match &self.layer.mlp {
            Mlp::QuickGelu { up, down } => (up, None, down),
            Mlp::Swiglu { gate, up, down } => (gate, Some(up), down),
        };
        let down_kept = state.mlp_kept.last().expect("down is the last");
        let inner = match second {
            None => quick_gelu_forth(&state.up),
            Some(_) => swiglu_forth(&state.gate, &state.up),
        };
        let down = self.linear(down)?;
        let by_down = down.back(
            Some(By::fresh(&mut by_inner)),
            Matrix::new(gradient, width),
            &inner,
            down_kept,
        );
        drop(inner);
        let by_up = match second {
            None => {
                quick_gelu_back(&mut by_inner, &state.up);
                None
            }
            Some(_) => Some(swiglu_back(&mut by_inner, &state.gate, &state.up)),
        };
        let mut go_back = |linear: &Linear, gradient: &[f32], kept: &Kept, add: bool| -> Result<()> {
            let linear = self.linear(linear)?;
            let gradient = Matrix::new(gradient, linear.outputs);
            let by_x = By {
                numbers: &mut by_normed,
                add,
            };
            gradients.extend(linear.back(Some(by_x), gradient, normed, kept));
            Ok(())
        };
        go_back(first, &by_inner, &state.mlp_kept[0], false)?;
        if let (Some(up), Some(by_up)) = (second, by_up) {
            go_back(up, &by_up, &state.mlp_kept[1], true)?;
        }
        gradients.extend(by_down);
        Ok(by_normed)
    }

    /// Adds the gradient of the projections' input to `by_normed`, where it is wanted, and gives those of their tensors.
    fn project_back(
        &self,
        mut by_normed: Option<&mut [f32]>,
        normed: &[f32],
        by_qkv: &attention::Gradients,
        state: &State,
        width: usize,
    ) -> Result<Vec<Option<Vec<f32>>>> {
        let (q_width, kv_width) = self.widths();
        let rows = normed.len() / width;
        let stride = by_qkv.kv.len() / rows;
        let apart = match &self.layer.qkv {
            Projections::Joined(joined) => {
                let gradient = Matrix::new(&by_qkv.kv, stride);
                return Ok(self
                    .linear(joined)?
                    .back(by_normed.map(By::more), gradient, normed, &state.qkv_kept[0]));
            }
            Projections::Apart(apart) => apart,
        };
        let [q, k, v] = apart;
        let mut gradients = match &self.queries.rows {
            None => {
                let gradient = Matrix::strided(&by_qkv.kv, rows, q_width, stride);
                self.linear(q)?.back(
                    by_normed.as_deref_mut().map(By::more),
                    gradient,
                    normed,
                    &state.qkv_kept[0],
                )
            }
            Some(places) => {
                let wanted = self.wanted(normed, width).expect("some rows are queries");
                let mut by_wanted = by_normed.is_some().then(|| Buffer::any(wanted.len()));
                let gradient = Matrix::new(&by_qkv.q, q_width);
                let gradients = self.linear(q)?.back(
                    by_wanted.as_deref_mut().map(By::fresh),
                    gradient,
                    &wanted,
                    &state.qkv_kept[0],
                );
                if let (Some(by_normed), Some(by_wanted)) = (by_normed.as_deref_mut(), by_wanted) {
                    for (row, numbers) in places.iter().zip(by_wanted.chunks_exact(width)) {
                        add(&mut by_normed[*row as usize * width..][..width], numbers);
                    }
                }
                gradients
            }
        };
        let k_start = stride - 2 * kv_width;
        for (linear, start, kept) in [(k, k_start, 1), (v, k_start + kv_width, 2)] {
            let gradient = Matrix::strided(&by_qkv.kv[start..], rows, kv_width, stride);
            let found = self.linear(linear)?.back(
                by_normed.as_deref_mut().map(By::more),
                gradient,
                normed,
                &state.qkv_kept[kept],
            );
            gradients.extend(found);
        }
        Ok(gradients)
    }
}

/// Adds numbers to others.
fn add(output: &mut [f32], numbers: &[f32]) {
    for (sum, number) in output.iter_mut().zip(numbers) {
        *sum += number;
    }
}
