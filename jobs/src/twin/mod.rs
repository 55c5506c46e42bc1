//! A differentiable twin of the encoder: the same weights and outputs, by operations that keep a graph.
//!
//! candle's fused operations (`rms_norm`, `softmax_last_dim`, `rope`, …), and all that `backbone` does on slices, cut the graph
//! without a word. So training has a path of its own. Its outputs are tested against the encoder's, and its gradients
//! of every parameter against PyTorch's.
//!
//! | module | job |
//! | --- | --- |
//! | `options` | what is trained: all weights, or an adapter (LoRA, DoRA) |
//! | `names` | the names of modules and tensors in the hub's files, transformers and PEFT |
//! | `builder` | reads or draws tensors, and makes those that are trained variables |
//! | `graph` | an operation of any number of inputs with a way back of its own |
//! | `modules`, `attention`, `layer`, `vision`, `text` | the towers, by candle's operations |
//! | `fused` | a layer on slices, on a CPU in f32 |
//! | `dropout` | masks that can be had again |

mod attention;
mod builder;
mod dropout;
mod fused;
mod graph;
mod layer;
mod modules;
mod names;
mod options;
mod pass;
mod text;
mod vision;

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sightstream_model::backbone::packing::Packed;
use sightstream_model::backbone::weights::Weights;
use sightstream_model::backbone::{Config, vision::VisionTower as FrozenVision};
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::error::ModelError;
use sightstream_model::pooling::l2_normalize;
use sightstream_model::processor::ModelInput;

use crate::embed::{Embed, Parameter};
use crate::error::JobError;
use builder::{Builder, Source};
pub use names::{Tower, linear_modules, peft_name, settled_peft_name};
pub use options::{AdapterOptions, Trainable};
use pass::Pass;
use text::TextModel;
use vision::VisionTower;

/// A checkpoint that can be trained.
#[derive(Debug)]
pub struct Twin {
    config: Config,
    vision: Vision,
    text: TextModel,
    weights: Vec<(String, Tensor)>,
    parameters: Vec<Parameter>,
    dtype: DType,
    device: Device,
    plain: bool,
    checkpoints: bool,
}

#[derive(Debug)]
enum Vision {
    Trained(VisionTower),
    /// Nothing of it is trained: it runs as in the encoder, and keeps nothing.
    Frozen(FrozenVision),
}

impl Twin {
    /// A checkpoint's weights on `device` as `dtype`; an adapter is a fresh one, which changes nothing yet. An adapter's own
    /// tensors are f32 whatever `dtype` is, and take part in products as `dtype`.
    ///
    /// # Errors
    /// [`JobError::Config`] for target modules that the checkpoint does not have and other options that cannot be followed,
    /// [`JobError::Model`] for weights that do not fit the configuration, [`JobError::Candle`] if the device fails.
    pub fn load(
        files: &CheckpointFiles,
        trainable: &Trainable,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, JobError> {
        let config = Config::from_json(&files.read_required("config.json")?)?;
        let adapter = match trainable {
            Trainable::All => None,
            Trainable::Adapter(options) => Some(options),
        };
        let source = Source::Files(Weights::new(files, dtype, device));
        let mut builder = Builder::new(source, &config, adapter, dtype, device)?;
        let vision = if builder.is_frozen(Tower::Vision) {
            let weights = Weights::new(files, dtype, device);
            Vision::Frozen(FrozenVision::new(&config.vision, &weights.vision())?)
        } else {
            Vision::Trained(VisionTower::new(&config.vision, &mut builder)?)
        };
        Self::finish(config, vision, builder, dtype, device)
    }

    /// A model of these sizes that has learned nothing, all of it to be trained. The same seed gives the same weights.
    ///
    /// Norms begin as 1, biases as 0 and embeddings as N(0, 0.02²), as in transformers. Weights begin as N(0, 1 / inputs), which
    /// keeps the size of what passes through them: transformers' N(0, 0.02²) suits widths in the thousands, and starts
    /// small models several times too small. The biases of queries and keys begin as N(0, 0.5²) in the language model and N(0, 2²) in
    /// the vision encoder: the product of the two, each turned by its position, makes every head look at some distances more than
    /// at others from the first step on. With zeros in the vision encoder, small models were seen to need twice the pictures
    /// before they knew shapes; with N(0, 1) in the language model they were slower to learn from captions in varied words.
    ///
    /// # Errors
    /// [`JobError::Candle`] if the device fails.
    pub fn random(config: &Config, seed: u64, dtype: DType, device: &Device) -> Result<Self, JobError> {
        let source = Source::Random(Box::new(ChaCha8Rng::seed_from_u64(seed)));
        let mut builder = Builder::new(source, config, None, dtype, device)?;
        let vision = Vision::Trained(VisionTower::new(&config.vision, &mut builder)?);
        Self::finish(config.clone(), vision, builder, dtype, device)
    }

    fn finish(
        config: Config,
        vision: Vision,
        mut builder: Builder<'_>,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, JobError> {
        let text = TextModel::new(&config.text, &mut builder)?;
        Ok(Self {
            config,
            vision,
            text,
            weights: builder.weights,
            parameters: builder.parameters,
            dtype,
            device: device.clone(),
            plain: false,
            checkpoints: false,
        })
    }

    /// Whether candle's operations are taken even on a CPU in f32, where those on slices are faster: what other devices and
    /// types do anyway.
    pub fn set_plain(&mut self, plain: bool) {
        self.plain = plain;
    }

    /// Whether layers keep their inputs alone for the way back, and compute the rest again there: about a third more work,
    /// and memory for one layer's numbers in place of all.
    ///
    /// candle knows no such thing, and its custom operations have three inputs at most, where a layer has a dozen parameters.
    /// An operation of any number of inputs (`graph`) allows it on every device.
    pub fn set_checkpoints(&mut self, checkpoints: bool) {
        self.checkpoints = checkpoints;
    }

    /// The checkpoint's sizes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// In which type it computes.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The weights that it holds, under the hub's names: all of them in full training. With an adapter, those that it stands
    /// beside, without it; a vision tower that nothing of is trained is left out, as it is what the checkpoint's files hold.
    pub fn weights(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.weights.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Sets every parameter to the tensor of its name, converted to its type: to go on from a checkpoint or an adapter. An
    /// adapter's tensors may have the names of any save of PEFT.
    ///
    /// # Errors
    /// [`JobError::Config`] for a parameter that has no tensor, a tensor that no parameter has, and one of another shape. Nothing
    /// is set then.
    pub fn set_parameters(&self, tensors: &HashMap<String, Tensor>) -> Result<(), JobError> {
        let adapter = self
            .parameters
            .iter()
            .any(|parameter| parameter.name.contains(".lora_"));
        let mut left: HashMap<String, &Tensor> = tensors
            .iter()
            .map(|(name, tensor)| match adapter {
                true => (settled_peft_name(name), tensor),
                false => (name.clone(), tensor),
            })
            .collect();
        let wrong = |message: String| Err(JobError::Config(message));
        let mut found = Vec::with_capacity(self.parameters.len());
        for Parameter { name, var } in &self.parameters {
            let Some(tensor) = left.remove(name) else {
                return wrong(format!("the tensor `{name}` is missing"));
            };
            if tensor.dims() != var.dims() {
                return wrong(format!(
                    "the tensor `{name}` is {:?}; {:?} is needed here",
                    tensor.dims(),
                    var.dims()
                ));
            }
            found.push((var, tensor.to_device(&self.device)?.to_dtype(var.dtype())?));
        }
        if let Some(name) = left.keys().min() {
            return wrong(format!("the tensor `{name}` belongs to nothing that is trained here"));
        }
        for (var, tensor) in found {
            var.set(&tensor)?;
        }
        Ok(())
    }

    fn vectors(&self, inputs: &[&ModelInput], dropout: Option<u64>, graph: bool) -> Result<Tensor, JobError> {
        let hidden_size = self.config.text.hidden_size;
        if inputs.is_empty() {
            return Ok(Tensor::zeros((0, hidden_size), DType::F32, &self.device)?);
        }
        let pass = Pass {
            dropout,
            graph,
            plain: self.plain,
            checkpoints: self.checkpoints,
        };
        // Neighbours of one length share their products.
        let mut order: Vec<usize> = (0..inputs.len()).collect();
        order.sort_by_key(|&place| inputs[place].tokens());
        let sorted: Vec<&ModelInput> = order.iter().map(|&place| inputs[place]).collect();
        let mut batch = Packed::new(&self.config, &sorted).map_err(|error| match error {
            ModelError::Input { index, message } => ModelError::Input {
                index: order[index],
                message,
            },
            other => other,
        })?;
        let vision = self.see(&mut batch, &pass)?;
        let states = self.text.forward(&batch, vision.as_ref(), &pass)?;
        let mut places = vec![0u32; order.len()];
        for (place, &original) in (0..).zip(&order) {
            places[original] = place;
        }
        let states = states.index_select(&Tensor::new(places, &self.device)?, 0)?;
        Ok(l2_normalize(&states)?)
    }

    fn see(&self, batch: &mut Packed, pass: &Pass) -> Result<Option<Tensor>, JobError> {
        if batch.grids.is_empty() {
            return Ok(None);
        }
        let shape = (batch.patch_count(), self.config.vision.patch_dim());
        let patches = Tensor::from_vec(std::mem::take(&mut batch.patches), shape, &self.device)?;
        let patches = patches.to_dtype(self.dtype)?;
        Ok(Some(match &self.vision {
            Vision::Trained(tower) => tower.forward(&patches, &batch.grids, pass)?,
            Vision::Frozen(tower) => tower.forward(&patches, &batch.grids)?,
        }))
    }
}

impl Embed for Twin {
    fn embed(&self, inputs: &[&ModelInput], dropout: Option<u64>) -> Result<Tensor, JobError> {
        self.vectors(inputs, dropout, true)
    }

    fn embed_without_graph(&self, inputs: &[&ModelInput], dropout: Option<u64>) -> Result<Tensor, JobError> {
        self.vectors(inputs, dropout, false)
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }
}
