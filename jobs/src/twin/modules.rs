//! The parts that layers are made of, by candle's operations: linear maps, with or without an adapter, and norms.

use candle_core::{D, DType, Result, Tensor};

use super::dropout;
use super::fused;
use super::graph::tie;
use super::pass::Pass;

/// `x · weightᵀ + bias`, and what an adapter adds.
#[derive(Debug, Clone)]
pub struct Linear {
    /// (outputs, inputs), as files hold it.
    pub weight: Tensor,
    /// (outputs)
    pub bias: Option<Tensor>,
    /// Trained beside the weight.
    pub low_rank: Option<LowRank>,
}

/// An adapter: `scale · x · aᵀ · bᵀ`, and with a magnitude the whole in other lengths (DoRA).
#[derive(Debug, Clone)]
pub struct LowRank {
    /// (rank, inputs), f32.
    pub a: Tensor,
    /// (outputs, rank), f32.
    pub b: Tensor,
    /// (outputs), f32: how long each row of weight and adapter together is.
    pub magnitude: Option<Tensor>,
    /// What the adapter's output is multiplied by.
    pub scale: f64,
    /// The share of its inputs that dropout sets to zero.
    pub dropout: f64,
    /// The module's place among all, which tells its masks from others'.
    pub module: u64,
}

impl Linear {
    /// `x` (rows, inputs) to (rows, outputs).
    ///
    /// # Errors
    /// If the shapes do not go together, or the device fails.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        if pass.is_fused(x) {
            return fused::linear(self, x, pass);
        }
        let weight = pass.of(&self.weight);
        let bias = self.bias.as_ref().map(|bias| pass.of(bias));
        let Some(low_rank) = &self.low_rank else {
            return linear(x, &weight, bias.as_ref());
        };
        let mask = match pass.dropout {
            Some(seed) if low_rank.dropout > 0.0 => {
                Some(dropout::mask_like(seed, low_rank.module, low_rank.dropout, x)?)
            }
            _ => None,
        };
        low_rank.beside(x, &weight, bias.as_ref(), mask.as_ref(), pass)
    }

    /// Every tensor of it that may have a graph, in an order that stays the same: weight, bias, and the adapter's.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let low_rank = self
            .low_rank
            .iter()
            .flat_map(|low_rank| [&low_rank.a, &low_rank.b].into_iter().chain(&low_rank.magnitude));
        std::iter::once(&self.weight).chain(&self.bias).chain(low_rank)
    }
}

impl LowRank {
    /// The linear map with this adapter, as PEFT computes it: without a magnitude `x Wᵀ + bias + scale · x' Aᵀ Bᵀ`, where `x'` is
    /// `x` after dropout; with one, `x Wᵀ + bias + (m - 1) · x' Wᵀ + m · scale · x' Aᵀ Bᵀ`, where `m` is the magnitude over the
    /// length of the row of `W + scale · B A`, which counts as a constant.
    pub fn beside(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        mask: Option<&Tensor>,
        pass: &Pass,
    ) -> Result<Tensor> {
        let dtype = x.dtype();
        let (a, b) = (pass.of(&self.a).to_dtype(dtype)?, pass.of(&self.b).to_dtype(dtype)?);
        let dropped = match mask {
            Some(mask) => dropout::apply(x, mask)?,
            None => x.clone(),
        };
        let added = (linear(&linear(&dropped, &a, None)?, &b, None)? * self.scale)?;
        let Some(magnitude) = &self.magnitude else {
            return linear(x, weight, bias)? + added;
        };
        let lengths = self.lengths(weight)?;
        let factors = (pass.of(magnitude) / lengths)?.to_dtype(dtype)?;
        if mask.is_none() {
            let whole = (linear(x, weight, None)? + added)?.broadcast_mul(&factors)?;
            return match bias {
                Some(bias) => whole.broadcast_add(bias),
                None => Ok(whole),
            };
        }
        let kept = linear(&dropped, weight, None)?;
        let whole = (&kept + added)?.broadcast_mul(&factors)?;
        (linear(x, weight, bias)? - kept)? + whole
    }

    /// The length of each row of the weight and the adapter together, (outputs), f32, without a graph.
    pub fn lengths(&self, weight: &Tensor) -> Result<Tensor> {
        let added = (self.b.detach().matmul(&self.a.detach())? * self.scale)?;
        let whole = (weight.detach().to_dtype(DType::F32)? + added)?;
        whole.sqr()?.sum(D::Minus1)?.sqrt()
    }
}

/// `x · weightᵀ + bias`, whose way back computes only what is wanted: candle's product would compute gradients of frozen weights
/// as well.
///
/// # Errors
/// If the shapes do not go together, or the device fails.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (plain_x, plain_weight) = (x.detach(), weight.detach());
    let mut output = plain_x.matmul(&plain_weight.t()?)?;
    if let Some(bias) = bias {
        output = output.broadcast_add(&bias.detach())?;
    }
    let inputs: Vec<&Tensor> = [x, weight].into_iter().chain(bias).collect();
    tie(&inputs, output, move |gradient, wanted| {
        let mut gradients = vec![
            wanted[0].then(|| gradient.matmul(&plain_weight)).transpose()?,
            wanted[1].then(|| gradient.t()?.matmul(&plain_x)).transpose()?,
        ];
        if let Some(wanted) = wanted.get(2) {
            gradients.push(wanted.then(|| gradient.sum(0)).transpose()?);
        }
        Ok(gradients)
    })
}

/// LayerNorm, or without a bias RMSNorm.
#[derive(Debug, Clone)]
pub struct Norm {
    /// As long as a row.
    pub weight: Tensor,
    /// As long as a row.
    pub bias: Option<Tensor>,
    /// Added to the variance, or the mean square.
    pub eps: f64,
}

impl Norm {
    /// Every row of `x` normalised.
    ///
    /// # Errors
    /// If the shapes do not go together, or the device fails.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let (dtype, size) = (x.dtype(), x.dim(D::Minus1)? as f64);
        let mut x = x.to_dtype(DType::F32)?;
        if self.bias.is_some() {
            x = x.broadcast_sub(&(x.sum_keepdim(D::Minus1)? / size)?)?;
        }
        let scale = ((x.sqr()?.sum_keepdim(D::Minus1)? / size)? + self.eps)?.sqrt()?;
        let normed = x
            .broadcast_div(&scale)?
            .to_dtype(dtype)?
            .broadcast_mul(&pass.of(&self.weight))?;
        match &self.bias {
            Some(bias) => normed.broadcast_add(&pass.of(bias)),
            None => Ok(normed),
        }
    }

    /// Its tensors.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        std::iter::once(&self.weight).chain(&self.bias)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use candle_core::{Device, Var};

    use super::*;

    /// One layer of PEFT in training, with a dropout mask that is known (jobs/reference/make_training_fixtures.py).
    fn fixture() -> HashMap<String, Tensor> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/twin/dropout.safetensors");
        candle_core::safetensors::load(file, &Device::Cpu).expect("dropout.safetensors")
    }

    #[test]
    fn adapters_with_dropout_are_pefts() {
        let fixture = fixture();
        let pass = Pass {
            dropout: None,
            graph: true,
            plain: true,
            checkpoints: false,
        };
        for kind in ["lora", "dora"] {
            let tensor = |name: &str| fixture.get(&format!("{kind}.{name}")).cloned();
            let given = |name: &str| tensor(name).unwrap_or_else(|| panic!("{kind}: no {name}"));
            let var = |name: &str| Var::from_tensor(&given(name)).expect("made");
            let (x, a, b) = (var("x"), var("lora_A"), var("lora_B"));
            let magnitude = (kind == "dora").then(|| var("lora_magnitude_vector"));
            let low_rank = LowRank {
                a: a.as_tensor().clone(),
                b: b.as_tensor().clone(),
                magnitude: magnitude.as_ref().map(|magnitude| magnitude.as_tensor().clone()),
                scale: 6.0 / 4.0,
                dropout: 0.3,
                module: 0,
            };
            let y = low_rank.beside(&x, &given("weight"), Some(&given("bias")), Some(&given("mask")), &pass);
            let y = y.expect("computed");
            let close = |name: &str, found: &Tensor| {
                let difference =
                    (found - given(name)).and_then(|difference| difference.abs()?.max_all()?.to_scalar::<f32>());
                let difference = difference.expect("one shape");
                assert!(difference < 2e-5, "{kind}: {name} is off by {difference}");
            };
            close("y", &y);
            let loss = (&y * given("slope"))
                .and_then(|product| product.sum_all())
                .expect("computed");
            let gradients = loss.backward().expect("differentiable");
            let vars = [
                ("x", Some(&x)),
                ("lora_A", Some(&a)),
                ("lora_B", Some(&b)),
                ("lora_magnitude_vector", magnitude.as_ref()),
            ];
            for (name, var) in vars {
                if let Some(var) = var {
                    close(&format!("gradient.{name}"), gradients.get(var).expect(name));
                }
            }
        }
    }
}
