//! A checkpoint's tensors under one set of names, checked and moved to the device.

use candle_core::{DType, Device, Tensor};

use super::modules::{Linear, Norm};
use crate::checkpoint::{Adapter, CheckpointFiles, WeightFiles, check_floats, read_floats};
use crate::error::ModelError;

/// How the names of the two towers' tensors begin.
#[derive(Debug, Clone, Copy)]
struct Naming {
    text: &'static str,
    vision: &'static str,
}

/// In the hub's files.
const HUB: Naming = Naming {
    text: "model",
    vision: "visual",
};

/// In saves of transformers 4.52 and later.
const NEWER: Naming = Naming {
    text: "model.language_model",
    vision: "model.visual",
};

impl Naming {
    /// The one that the files use. Any tensor tells, so that a missing one is looked for under the right name.
    fn of(files: &WeightFiles) -> Self {
        let has = |module: &str| {
            let prefix = format!("{module}.");
            files.tensors().any(|(name, ..)| name.starts_with(&prefix))
        };
        if has(NEWER.text) || has(NEWER.vision) {
            NEWER
        } else {
            HUB
        }
    }
}

/// Reads tensors out of a checkpoint's files. Nothing is copied before it is asked for.
#[derive(Debug)]
pub struct Weights<'a> {
    files: &'a WeightFiles,
    /// Merged into what is read.
    adapter: Option<&'a Adapter>,
    naming: Naming,
    dtype: DType,
    device: Device,
    /// Whether tensors are looked at and not read.
    stand_ins: bool,
}

impl<'a> Weights<'a> {
    /// Tensors are converted to `dtype` and moved to `device` when they are read. The adapter, if there is one, is merged into
    /// them before.
    pub fn new(files: &'a CheckpointFiles, dtype: DType, device: &Device) -> Self {
        Self {
            files: files.weights(),
            adapter: files.adapter(),
            naming: Naming::of(files.weights()),
            dtype,
            device: device.clone(),
            stand_ins: false,
        }
    }

    /// Tensors are looked at and not read: a single zero stands in for the numbers of each, whatever its shape.
    pub fn stand_ins(files: &'a CheckpointFiles, dtype: DType) -> Self {
        Self {
            stand_ins: true,
            ..Self::new(files, dtype, &Device::Cpu)
        }
    }

    /// The device that tensors are moved to.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The type that tensors are converted to.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The language model's tensors.
    pub fn text(&self) -> Scope<'_> {
        Scope {
            weights: self,
            prefix: self.naming.text.to_string(),
        }
    }

    /// The vision tower's tensors.
    pub fn vision(&self) -> Scope<'_> {
        Scope {
            weights: self,
            prefix: self.naming.vision.to_string(),
        }
    }
}

/// The tensors whose names begin alike: those of one module.
#[derive(Debug)]
pub struct Scope<'a> {
    weights: &'a Weights<'a>,
    prefix: String,
}

impl Scope<'_> {
    /// The tensors of the module `name` inside this one.
    pub fn child(&self, name: impl std::fmt::Display) -> Self {
        Self {
            weights: self.weights,
            prefix: format!("{}.{name}", self.prefix),
        }
    }

    /// The tensor `name` of this module.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`] if no file has it, [`ModelError::Misshapen`] if its shape is not `shape`,
    /// [`ModelError::Config`] if its type is not a float.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let Weights {
            files,
            adapter,
            dtype,
            device,
            stand_ins,
            ..
        } = self.weights;
        let name = format!("{}.{name}", self.prefix);
        let Some((info, data)) = files.tensor(&name) else {
            return Err(ModelError::MissingTensor {
                name,
                file: files.describe(),
            });
        };
        if info.shape != shape {
            return Err(ModelError::Misshapen {
                name,
                expected: shape.to_vec(),
                found: info.shape.clone(),
            });
        }
        if *stand_ins {
            check_floats(&files.describe(), &name, info)?;
            return Ok(Tensor::zeros((), *dtype, device)?.broadcast_as(shape)?);
        }
        let stored = read_floats(&files.describe(), &name, info, data, device)?;
        let merged = match adapter {
            Some(adapter) => adapter.merge(&name, &stored)?,
            None => None,
        };
        Ok(merged.unwrap_or(stored).to_dtype(*dtype)?)
    }

    /// `x · weightᵀ + bias`, from `name.weight` (outputs, inputs) and `name.bias`.
    ///
    /// # Errors
    /// Those of [`Scope::tensor`].
    pub fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, ModelError> {
        self.linears(&[(name, outputs)], inputs)
    }

    /// Several of [`Scope::linear`] on the same inputs, each with its name and its number of outputs, as one: their results
    /// side by side.
    ///
    /// # Errors
    /// Those of [`Scope::tensor`].
    pub fn linears(&self, parts: &[(&str, usize)], inputs: usize) -> Result<Linear, ModelError> {
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for (name, outputs) in parts {
            let module = self.child(name);
            weights.push(module.tensor("weight", &[*outputs, inputs])?);
            biases.push(module.tensor("bias", &[*outputs])?);
        }
        if self.weights.stand_ins {
            let outputs = parts.iter().map(|(_, outputs)| outputs).sum();
            return self.stand_in(inputs, outputs);
        }
        Ok(Linear::new(&Tensor::cat(&weights, 0)?, Some(Tensor::cat(&biases, 0)?))?)
    }

    fn stand_in(&self, inputs: usize, outputs: usize) -> Result<Linear, ModelError> {
        Ok(Linear::stand_in(inputs, outputs, self.dtype(), self.device())?)
    }

    /// `x · weightᵀ`, from `name.weight` (outputs, inputs).
    ///
    /// # Errors
    /// Those of [`Scope::tensor`].
    pub fn linear_no_bias(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, ModelError> {
        let weight = self.child(name).tensor("weight", &[outputs, inputs])?;
        if self.weights.stand_ins {
            return self.stand_in(inputs, outputs);
        }
        Ok(Linear::new(&weight, None)?)
    }

    /// Normalises by mean and variance, then `weight` and `bias`.
    ///
    /// # Errors
    /// Those of [`Scope::tensor`].
    pub fn layer_norm(&self, name: &str, size: usize, eps: f64) -> Result<Norm, ModelError> {
        let module = self.child(name);
        let bias = module.tensor("bias", &[size])?;
        Ok(Norm::new(module.tensor("weight", &[size])?, Some(bias), eps))
    }

    /// Normalises by the root of the mean square, then `weight`.
    ///
    /// # Errors
    /// Those of [`Scope::tensor`].
    pub fn rms_norm(&self, name: &str, size: usize, eps: f64) -> Result<Norm, ModelError> {
        Ok(Norm::new(self.child(name).tensor("weight", &[size])?, None, eps))
    }

    /// The device that tensors are moved to.
    pub fn device(&self) -> &Device {
        &self.weights.device
    }

    /// The type that tensors are converted to.
    pub fn dtype(&self) -> DType {
        self.weights.dtype
    }
}
