//! How the twin comes by its tensors: read or drawn, frozen or trained, with or without an adapter.

use candle_core::{DType, Device, Tensor, Var};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use sightstream_model::backbone::Config;
use sightstream_model::backbone::weights::Weights;

use super::modules::{Linear, LowRank, Norm};
use super::names::{self, Tower};
use super::options::{AdapterOptions, is_named};
use crate::embed::Parameter;
use crate::error::JobError;

/// How wide embeddings are drawn, as in transformers.
const EMBEDDING_WIDTH: f32 = 0.02;

/// Where weights come from.
pub enum Source<'a> {
    /// A checkpoint.
    Files(Weights<'a>),
    /// Chance (see [`super::Twin::random`]).
    Random(Box<ChaCha8Rng>),
}

/// What a tensor is, which says how it is drawn.
#[derive(Clone, Copy)]
enum Kind {
    Embedding,
    Weight,
    /// So many numbers in front are drawn, of this width: those of queries and keys (see [`super::Twin::random`]).
    Bias {
        drawn: usize,
        width: f32,
    },
    NormWeight,
}

/// Makes modules, and keeps a list of what it made.
pub struct Builder<'a> {
    source: Source<'a>,
    adapter: Option<&'a AdapterOptions>,
    /// Every module that can be adapted; a place here tells one's random numbers from others'.
    modules: Vec<(Tower, String)>,
    dtype: DType,
    device: Device,
    /// All weights, under the hub's names.
    pub weights: Vec<(String, Tensor)>,
    /// Those that are trained.
    pub parameters: Vec<Parameter>,
}

impl<'a> Builder<'a> {
    /// # Errors
    /// [`JobError::Config`] for options that cannot be followed, target modules that the architecture does not have among them.
    pub fn new(
        source: Source<'a>,
        config: &Config,
        adapter: Option<&'a AdapterOptions>,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, JobError> {
        let modules = names::linear_modules(config);
        if let Some(options) = adapter {
            options.check()?;
            check_targets(options, &modules)?;
        }
        Ok(Self {
            source,
            adapter,
            modules,
            dtype,
            device: device.clone(),
            weights: Vec::new(),
            parameters: Vec::new(),
        })
    }

    /// Whether nothing of a tower is trained.
    pub fn is_frozen(&self, tower: Tower) -> bool {
        self.adapter.is_some_and(|options| {
            let mut modules = self.modules.iter().filter(|(of, _)| *of == tower);
            !modules.any(|(_, module)| options.names(&names::newer_name(tower, module)))
        })
    }

    /// The embedding `name.weight` (rows, width).
    ///
    /// # Errors
    /// Those of the checkpoint's tensors.
    pub fn embedding(&mut self, tower: Tower, name: &str, rows: usize, width: usize) -> Result<Tensor, JobError> {
        self.tensor(tower, &format!("{name}.weight"), &[rows, width], Kind::Embedding)
    }

    /// The norm `name`, with a bias or without.
    ///
    /// # Errors
    /// Those of the checkpoint's tensors.
    pub fn norm(&mut self, tower: Tower, name: &str, size: usize, biased: bool, eps: f64) -> Result<Norm, JobError> {
        let weight = self.tensor(tower, &format!("{name}.weight"), &[size], Kind::NormWeight)?;
        Ok(Norm {
            weight,
            bias: self.bias(tower, name, size, biased)?,
            eps,
        })
    }

    /// The linear map `name`, with a bias or without, and the adapter that it is to have.
    ///
    /// # Errors
    /// Those of the checkpoint's tensors.
    pub fn linear(
        &mut self,
        tower: Tower,
        name: &str,
        inputs: usize,
        outputs: usize,
        biased: bool,
    ) -> Result<Linear, JobError> {
        self.shaped_linear(tower, name, &[inputs], outputs, biased)
    }

    /// As [`Builder::linear`], with inputs that files hold in several dimensions: a convolution whose stride is its kernel.
    ///
    /// # Errors
    /// Those of the checkpoint's tensors.
    pub fn shaped_linear(
        &mut self,
        tower: Tower,
        name: &str,
        inputs: &[usize],
        outputs: usize,
        biased: bool,
    ) -> Result<Linear, JobError> {
        let shape: Vec<usize> = [outputs].iter().chain(inputs).copied().collect();
        let weight = self.tensor(tower, &format!("{name}.weight"), &shape, Kind::Weight)?;
        let weight = weight.flatten_from(1)?;
        let bias = self.bias(tower, name, outputs, biased)?;
        let low_rank = self.low_rank(tower, name, inputs, &weight)?;
        Ok(Linear { weight, bias, low_rank })
    }

    fn bias(&mut self, tower: Tower, name: &str, size: usize, biased: bool) -> Result<Option<Tensor>, JobError> {
        biased
            .then(|| {
                let (drawn, width) = match tower {
                    Tower::Text if is_named(name, "q_proj") || is_named(name, "k_proj") => (size, 0.5),
                    // Queries, keys and values, one behind the other.
                    Tower::Vision if is_named(name, "qkv") => (size / 3 * 2, 2.0),
                    _ => (0, 0.0),
                };
                self.tensor(tower, &format!("{name}.bias"), &[size], Kind::Bias { drawn, width })
            })
            .transpose()
    }

    fn tensor(&mut self, tower: Tower, name: &str, shape: &[usize], kind: Kind) -> Result<Tensor, JobError> {
        let tensor = match &mut self.source {
            Source::Files(weights) => {
                let scope = match tower {
                    Tower::Text => weights.text(),
                    Tower::Vision => weights.vision(),
                };
                scope.tensor(name, shape)?
            }
            Source::Random(random) => {
                let count: usize = shape.iter().product();
                let numbers = match kind {
                    Kind::Embedding => normal(random, EMBEDDING_WIDTH, count),
                    Kind::Weight => {
                        let inputs: usize = shape[1..].iter().product();
                        normal(random, 1.0 / (inputs as f32).sqrt(), count)
                    }
                    Kind::Bias { drawn, width } => {
                        let mut numbers = normal(random, width, drawn);
                        numbers.resize(count, 0.0);
                        numbers
                    }
                    Kind::NormWeight => vec![1.0; count],
                };
                Tensor::from_vec(numbers, shape, &self.device)?.to_dtype(self.dtype)?
            }
        };
        let name = format!("{}.{name}", tower.prefix());
        let tensor = match self.adapter {
            None => self.parameter(name.clone(), &tensor)?,
            Some(_) => tensor,
        };
        self.weights.push((name, tensor.clone()));
        Ok(tensor)
    }

    fn parameter(&mut self, name: String, value: &Tensor) -> Result<Tensor, JobError> {
        let var = Var::from_tensor(value)?;
        let tensor = var.as_tensor().clone();
        self.parameters.push(Parameter { name, var });
        Ok(tensor)
    }

    /// A fresh adapter, where the options name the module: `a` N(0, 1 / rank²), as PEFT's `gaussian`, `b` zero, and the
    /// magnitude the length of each of the weight's rows, so that training begins with the base model's vectors.
    fn low_rank(
        &mut self,
        tower: Tower,
        module: &str,
        inputs: &[usize],
        weight: &Tensor,
    ) -> Result<Option<LowRank>, JobError> {
        let Some(options) = self.adapter else { return Ok(None) };
        if !options.names(&names::newer_name(tower, module)) {
            return Ok(None);
        }
        let place = self
            .modules
            .iter()
            .position(|(of, name)| *of == tower && name == module);
        let place = place.expect("every linear map is among the modules") as u64;
        let (rank, outputs) = (options.rank, weight.dims()[0]);
        // PEFT's shapes of a convolution's adapter: `a` is a convolution like it, `b` one of kernel 1, the magnitude as long as
        // the channels in the second dimension.
        let further = inputs.len() - 1;
        let ones = vec![1; further];
        let a_shape: Vec<usize> = [rank].iter().chain(inputs).copied().collect();
        let b_shape: Vec<usize> = [outputs, rank].into_iter().chain(ones.clone()).collect();
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        random.set_stream(place);
        let count = a_shape.iter().product();
        let a = Tensor::from_vec(normal(&mut random, 1.0 / rank as f32, count), a_shape, &self.device)?;
        let b = Tensor::zeros(b_shape, DType::F32, &self.device)?;
        let name = |part: &str| names::peft_name(tower, module, part);
        let mut low_rank = LowRank {
            a: self.parameter(name("lora_A.weight"), &a)?.flatten_from(1)?,
            b: self.parameter(name("lora_B.weight"), &b)?.flatten_from(1)?,
            magnitude: None,
            scale: options.scale(),
            dropout: options.dropout,
            module: place,
        };
        if options.use_dora {
            let shape: Vec<usize> = match further {
                0 => vec![outputs],
                _ => [1, outputs].into_iter().chain(ones).collect(),
            };
            let lengths = low_rank.lengths(weight)?.reshape(shape)?;
            low_rank.magnitude = Some(self.parameter(name("lora_magnitude_vector"), &lengths)?.flatten_all()?);
        }
        Ok(Some(low_rank))
    }
}

fn normal(random: &mut ChaCha8Rng, width: f32, count: usize) -> Vec<f32> {
    (0..count)
        .map(|_| {
            let number: f32 = StandardNormal.sample(random);
            number * width
        })
        .collect()
}

/// Whether each target names a module.
fn check_targets(options: &AdapterOptions, modules: &[(Tower, String)]) -> Result<(), JobError> {
    let full: Vec<String> = modules
        .iter()
        .map(|(tower, module)| names::newer_name(*tower, module))
        .collect();
    for target in &options.target_modules {
        if !full.iter().any(|module| is_named(module, target)) {
            let mut known: Vec<&str> = Vec::new();
            for name in full.iter().map(|module| short_name(module)) {
                if !known.contains(&name) {
                    known.push(name);
                }
            }
            return Err(JobError::Config(format!(
                "`lora_target_modules` names `{target}`, and this checkpoint has no such module; it has {}",
                known.join(", ")
            )));
        }
    }
    Ok(())
}

/// The last part of a module's name, and where that is a number the one before it too: what a target may be.
fn short_name(module: &str) -> &str {
    let starts = |before: &str| before.rfind('.').map_or(0, |dot| dot + 1);
    let start = starts(module);
    if module[start..].bytes().all(|byte| byte.is_ascii_digit()) && start > 0 {
        return &module[starts(&module[..start - 1])..];
    }
    &module[start..]
}
