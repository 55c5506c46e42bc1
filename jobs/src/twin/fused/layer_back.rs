//! The way back through a layer on slices.

use candle_core::{Result, Tensor};
use sightstream_model::backbone::cpu::{Floats, Rotary as Angles};

use super::super::layer::{Mlp, Projections};
use super::super::modules::Linear;
use super::activation::{quick_gelu_back, quick_gelu_forth, swiglu_back, swiglu_forth};
use super::attention;
use super::buffers::Buffer;
use super::layer::{State, Work};
use super::linear::{By, Kept};
use super::matrix::Matrix;
use super::norm::{FusedNorm, NormGradients};

impl Work {
    /// The gradients of `x` and of the layer's tensors, in their order.
    pub fn back(&self, x: &Tensor, state: &State, gradient: &[f32], wanted: &[bool]) -> Result<Vec<Option<Vec<f32>>>> {
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
