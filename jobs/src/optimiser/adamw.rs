//! AdamW, as `torch.optim.AdamW` computes it.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};

use super::coefficients::Coefficients;
use super::{device, host};
use crate::embed::Parameter;
use crate::error::JobError;
use crate::objective::Gradients;

/// AdamW's settings, with PyTorch's defaults except for weight decay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWOptions {
    /// How much of the first moment stays from step to step.
    pub beta1: f64,
    /// How much of the second moment does.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// The share of a weight, times the learning rate, that each step takes off it (decoupled: not through the moments). 0 by
    /// default, as in transformers.
    pub weight_decay: f64,
    /// Whether tensors of one dimension decay too: biases, norms, DoRA's magnitudes. Not by default: transformers leaves out biases
    /// and norms as well, but not magnitudes.
    pub decay_vectors: bool,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            decay_vectors: false,
        }
    }
}

/// AdamW over the parameters of an encoder: decoupled weight decay, corrected bias, moments in f32 whatever the weights' dtype.
/// For f16 and bf16 weights it keeps an f32 copy that it moves, since steps are smaller than the distance between their numbers.
///
/// A parameter without a gradient is left as it is, its moments and its count of steps too.
#[derive(Debug)]
pub struct AdamW {
    options: AdamWOptions,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    parameter: Parameter,
    /// Steps in which it had a gradient.
    steps: u64,
    /// Present from the first of them on.
    moments: Option<Moments>,
}

#[derive(Debug)]
enum Moments {
    Host(host::Moments),
    Device(device::Moments),
}

/// What a tensor of the saved state is of its parameter, the first part of its name there.
const WEIGHT: &str = "weight.";
const FIRST: &str = "first_moment.";
const SECOND: &str = "second_moment.";
const STEPS: &str = "steps.";

impl AdamW {
    /// An optimiser that has not stepped yet. It holds on to the parameters' variables, not to copies.
    ///
    /// # Errors
    /// [`JobError::Config`] for settings out of range, for parameters of another dtype than f32, f16 and bf16, and for two of
    /// one name.
    pub fn new(parameters: &[Parameter], options: AdamWOptions) -> Result<Self, JobError> {
        for (name, value, range) in [
            ("adam_beta1", options.beta1, 0.0..1.0),
            ("adam_beta2", options.beta2, 0.0..1.0),
        ] {
            if !range.contains(&value) {
                return Err(JobError::Config(format!(
                    "`{name}` is {value}: it has to be from 0 to below 1"
                )));
            }
        }
        for (name, value) in [
            ("adam_epsilon", options.epsilon),
            ("weight_decay", options.weight_decay),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(JobError::Config(format!(
                    "`{name}` is {value}: it has to be 0 or a positive number"
                )));
            }
        }
        let mut names = std::collections::HashSet::new();
        let mut slots = Vec::with_capacity(parameters.len());
        for parameter in parameters {
            if !matches!(parameter.var.dtype(), DType::F32 | DType::F16 | DType::BF16) {
                let dtype = parameter.var.dtype().as_str();
                return Err(JobError::Config(format!(
                    "`{}` is {dtype}: f32, f16 and bf16 can be trained",
                    parameter.name
                )));
            }
            if !names.insert(parameter.name.as_str()) {
                return Err(JobError::Config(format!(
                    "two parameters have the name `{}`",
                    parameter.name
                )));
            }
            slots.push(Slot {
                parameter: parameter.clone(),
                steps: 0,
                moments: None,
            });
        }
        Ok(Self { options, slots })
    }

    /// Moves every parameter that has a gradient. Gives the name of the first one whose weights are not all finite after it.
    ///
    /// # Errors
    /// [`JobError::Candle`] if the device fails.
    pub fn step(&mut self, gradients: &Gradients, learning_rate: f64) -> Result<Option<&str>, JobError> {
        let mut broken = None;
        let mut checks: Vec<(usize, Tensor)> = Vec::new();
        for (index, (slot, gradient)) in self.slots.iter_mut().zip(gradients.iter()).enumerate() {
            let Some(gradient) = gradient else { continue };
            slot.steps += 1;
            let var = &slot.parameter.var;
            let decays = self.options.decay_vectors || var.rank() > 1;
            let with = Coefficients::new(&self.options, learning_rate, slot.steps, decays);
            let moments = match &mut slot.moments {
                Some(moments) => moments,
                none => none.insert(Moments::new(&slot.parameter)?),
            };
            match moments {
                Moments::Host(moments) => {
                    if !moments.step(var, gradient, with)? {
                        broken = broken.or(Some(index));
                    }
                }
                Moments::Device(moments) => checks.push((index, moments.step(var, gradient, with)?)),
            }
        }
        if !checks.is_empty() {
            // One transfer for all: each would wait for the device.
            let sums: Vec<_> = checks.iter().map(|(_, sum)| sum).collect();
            let sums = Tensor::stack(&sums, 0)?.to_vec1::<f32>()?;
            broken = checks
                .iter()
                .zip(sums)
                .find(|(_, sum)| *sum != 0.0)
                .map(|((index, _), _)| *index)
                .or(broken);
        }
        Ok(broken.map(|index| self.slots[index].parameter.name.as_str()))
    }

    /// All that a later process needs to go on: the weights (f32, all their digits), moments and counts of steps, by name.
    /// Weights may be the parameters' own memory: write them before the next step.
    ///
    /// # Errors
    /// [`JobError::Candle`] if the device fails.
    pub fn state(&self) -> Result<HashMap<String, Tensor>, JobError> {
        let mut state = HashMap::new();
        for slot in &self.slots {
            let (name, var) = (&slot.parameter.name, &slot.parameter.var);
            let mut exact = None;
            if let Some(moments) = &slot.moments {
                let (first, second, copy) = moments.tensors(var.dims())?;
                state.insert(format!("{FIRST}{name}"), first);
                state.insert(format!("{SECOND}{name}"), second);
                exact = copy;
            }
            let weight = match exact {
                Some(exact) => exact,
                None => var.as_detached_tensor().to_dtype(DType::F32)?,
            };
            state.insert(format!("{WEIGHT}{name}"), weight);
            state.insert(format!("{STEPS}{name}"), Tensor::new(slot.steps as i64, &Device::Cpu)?);
        }
        Ok(state)
    }

    /// Takes up what [`AdamW::state`] gave, and sets the parameters to the weights in it.
    ///
    /// Nothing is changed unless everything fits.
    ///
    /// # Errors
    /// [`JobError::Config`] that names what is missing, of another shape, or not of these parameters.
    pub fn restore(&mut self, mut state: HashMap<String, Tensor>) -> Result<(), JobError> {
        let mut found = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let (name, var) = (&slot.parameter.name, &slot.parameter.var);
            let mut take = |part: &str| -> Result<Option<Tensor>, JobError> {
                let Some(tensor) = state.remove(&format!("{part}{name}")) else {
                    return Ok(None);
                };
                if tensor.dims() != var.dims() || tensor.dtype() != DType::F32 {
                    return Err(JobError::Config(format!(
                        "`{part}{name}` of the saved optimiser is {} {:?}, and the model's is {:?}: they are not of one run",
                        tensor.dtype().as_str(),
                        tensor.dims(),
                        var.dims()
                    )));
                }
                Ok(Some(tensor))
            };
            let (weight, first, second) = (take(WEIGHT)?, take(FIRST)?, take(SECOND)?);
            let steps = state
                .remove(&format!("{STEPS}{name}"))
                .map(|steps| steps.to_scalar::<i64>())
                .transpose()?;
            let (Some(weight), Some(steps)) = (weight, steps) else {
                return Err(JobError::Config(format!(
                    "the saved optimiser knows nothing of `{name}`: it is not of this run"
                )));
            };
            let moments = match (first, second) {
                (Some(first), Some(second)) => Some((first, second)),
                (None, None) if steps == 0 => None,
                _ => {
                    return Err(JobError::Config(format!(
                        "the saved optimiser has lost a moment of `{name}`"
                    )));
                }
            };
            found.push((weight, moments, steps as u64));
        }
        if let Some(name) = state.keys().min() {
            return Err(JobError::Config(format!(
                "the saved optimiser has `{name}`, which this model does not train: it is not of this run"
            )));
        }
        for (slot, (weight, moments, steps)) in self.slots.iter_mut().zip(found) {
            let var = &slot.parameter.var;
            let weight = weight.to_device(var.device())?;
            var.set(&weight.to_dtype(var.dtype())?)?;
            slot.steps = steps;
            slot.moments = match moments {
                Some((first, second)) => Some(Moments::restored(&slot.parameter, &first, &second, weight)?),
                None => None,
            };
        }
        Ok(())
    }
}

impl Moments {
    /// Those of a parameter before its first step.
    fn new(parameter: &Parameter) -> Result<Self, JobError> {
        let var = &parameter.var;
        let exact = match var.dtype() {
            DType::F32 => None,
            _ => Some(var.as_detached_tensor().to_dtype(DType::F32)?),
        };
        Ok(match var.device() {
            Device::Cpu => Self::Host(host::Moments::new(
                var.elem_count(),
                exact.as_ref().map(numbers).transpose()?,
            )),
            _ => Self::Device(device::Moments::new(var, exact)?),
        })
    }

    fn restored(parameter: &Parameter, first: &Tensor, second: &Tensor, weight: Tensor) -> Result<Self, JobError> {
        let var = &parameter.var;
        let exact = (var.dtype() != DType::F32).then_some(weight);
        Ok(match var.device() {
            Device::Cpu => Self::Host(host::Moments {
                first: numbers(first)?,
                second: numbers(second)?,
                exact: exact.as_ref().map(numbers).transpose()?,
            }),
            to => Self::Device(device::Moments {
                first: first.to_device(to)?,
                second: second.to_device(to)?,
                exact,
            }),
        })
    }

    /// The first, the second, and the exact weights where they are kept.
    fn tensors(&self, shape: &[usize]) -> Result<(Tensor, Tensor, Option<Tensor>), JobError> {
        Ok(match self {
            Self::Device(moments) => (moments.first.clone(), moments.second.clone(), moments.exact.clone()),
            Self::Host(moments) => {
                let tensor = |numbers: &Vec<f32>| Tensor::from_slice(numbers, shape, &Device::Cpu);
                let exact = moments.exact.as_ref().map(tensor).transpose()?;
                (tensor(&moments.first)?, tensor(&moments.second)?, exact)
            }
        })
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>, candle_core::Error> {
    tensor.flatten_all()?.to_vec1::<f32>()
}
