//! Adapters: small changes to a checkpoint's weights, in the files of Hugging Face PEFT.
//!
//! An adapter is a directory with `adapter_config.json` and `adapter_model.safetensors`. To the weight W of a module it adds
//! s·B·A, where A (rank, inputs) and B (outputs, rank) are small (LoRA); with DoRA each row of that sum is then brought to a
//! length of its own. Here an adapter is merged into a weight when that is read, tensor by tensor and in f32, so that it costs
//! nothing afterwards, and no more memory than one weight's.
//!
//! The definitions are those of PEFT 0.21, which `jobs/reference/make_adapter_fixtures.py` makes the tests' adapters with.

mod config;
mod names;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorInfo;

pub use config::AdapterConfig;
use names::{PREFIX, Role, canonical};

use super::hub::{self, Wanted};
use super::progress::{DownloadProgress, LogProgress};
use super::weight_files::{WeightFile, WeightFiles, read_floats};
use crate::error::ModelError;

/// What it is and how strong.
pub(super) const CONFIG: &str = "adapter_config.json";

/// Its tensors.
pub(super) const TENSORS: &str = "adapter_model.safetensors";

/// The module that no vector depends on.
const OUTPUT_HEAD: &str = "lm_head";

/// An adapter, with its tensors mapped into memory.
#[derive(Debug)]
pub struct Adapter {
    name: String,
    directory: PathBuf,
    config: AdapterConfig,
    file: WeightFile,
    /// By canonical name.
    modules: BTreeMap<String, Module>,
}

/// What an adapter does to one module.
#[derive(Debug, Default)]
struct Module {
    /// Its name in the adapter's tensors.
    spelled: String,
    /// Whether its weight is an embedding, which is stored the other way round.
    is_embedding: bool,
    /// What B·A is multiplied by.
    scaling: f64,
    /// The names of A, B and the magnitudes in the file.
    down: Option<String>,
    up: Option<String>,
    magnitude: Option<String>,
}

impl Adapter {
    /// Finds the adapter that `name` names: a directory, or an id of the Hugging Face hub as
    /// [`CheckpointFiles::locate`](super::CheckpointFiles::locate) reads it.
    ///
    /// # Errors
    /// [`ModelError::Adapter`] for what is no adapter that can be merged, [`ModelError::Download`] when the hub does not give
    /// it, [`ModelError::Io`] for files that cannot be read.
    pub fn locate(name: &str, progress: Arc<dyn DownloadProgress>) -> Result<Self, ModelError> {
        let path = Path::new(name);
        if path.is_dir() {
            return Self::open(name, path);
        }
        match hub::HubId::parse(name) {
            Some(id) => Self::open(name, &hub::download(&id, Wanted::Adapter, progress)?),
            None => Err(ModelError::Adapter {
                adapter: name.to_string(),
                message:
                    "it is neither a directory nor a hub id; write the path of a PEFT directory, or `owner/name` or \
                          `owner/name@revision`"
                        .to_string(),
            }),
        }
    }

    /// Like [`Adapter::locate`], and never downloads: `None` for one of the hub that the cache does not hold.
    ///
    /// # Errors
    /// Those of [`Adapter::locate`].
    pub fn locate_here(name: &str) -> Result<Option<Self>, ModelError> {
        match hub::HubId::parse(name).filter(|_| !Path::new(name).is_dir()) {
            Some(id) => hub::cached(&id, Wanted::Adapter)?
                .map(|directory| Self::open(name, &directory))
                .transpose(),
            None => Self::locate(name, Arc::new(LogProgress::default())).map(Some),
        }
    }

    /// The adapter of a directory, under a `name` for people.
    ///
    /// # Errors
    /// [`ModelError::Adapter`] for what is no adapter that can be merged, [`ModelError::Io`] for files that cannot be read.
    pub fn open(name: &str, directory: &Path) -> Result<Self, ModelError> {
        let wrong = |message: String| ModelError::Adapter {
            adapter: name.to_string(),
            message,
        };
        let path = directory.join(CONFIG);
        let json = std::fs::read(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound if directory.join("config.json").is_file() => wrong(format!(
                "the directory has no {CONFIG} and is a whole checkpoint; name it as the model"
            )),
            std::io::ErrorKind::NotFound => {
                wrong(format!("the directory has no {CONFIG}, so it holds no PEFT adapter"))
            }
            _ => ModelError::Io { path, source },
        })?;
        let config = AdapterConfig::from_json(&json).map_err(|message| wrong(format!("{CONFIG}: {message}")))?;
        if !directory.join(TENSORS).is_file() {
            return Err(wrong(format!(
                "the directory has no {TENSORS}; save the adapter as safetensors"
            )));
        }
        let file = WeightFile::map(directory, TENSORS.to_string())?;
        let modules = modules(&file, &config).map_err(wrong)?;
        Ok(Self {
            name: name.to_string(),
            directory: directory.to_path_buf(),
            config,
            file,
            modules,
        })
    }

    /// The name it was located by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What its configuration says.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// Every tensor of its file: its name, description and raw data.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo, &[u8])> {
        self.file.tensors()
    }

    /// Whether it changes the weight `name` of a checkpoint.
    pub fn changes(&self, name: &str) -> bool {
        self.module(name).is_some()
    }

    fn module(&self, name: &str) -> Option<&Module> {
        self.modules.get(&canonical(name.strip_suffix(".weight")?))
    }

    /// The weight `name` of a checkpoint with the adapter in it, in f32 and on the same device; `None` where the adapter leaves it
    /// as it is. `weight` is as the checkpoint has it, in any floating type.
    ///
    /// # Errors
    /// [`ModelError::Candle`] for a weight of another shape than the adapter's, and if the device fails.
    pub fn merge(&self, name: &str, weight: &Tensor) -> Result<Option<Tensor>, ModelError> {
        let Some(module) = self.module(name) else {
            return Ok(None);
        };
        let part = |name: &Option<String>| -> Result<Option<Tensor>, ModelError> {
            name.as_deref()
                .map(|name| self.floats(name, weight.device()))
                .transpose()
        };
        let (Some(down), Some(up)) = (part(&module.down)?, part(&module.up)?) else {
            unreachable!("`modules` lets no module without both through");
        };
        // A convolution's kernel is a row of its own; an embedding has outputs where others have inputs.
        let shape = weight.shape();
        let rows = weight.to_dtype(DType::F32)?.flatten_from(1)?;
        let rows = if module.is_embedding { rows.t()? } else { rows };
        let product = up.flatten_from(1)?.matmul(&down.flatten_from(1)?)?;
        let mut merged = (rows + (product * module.scaling)?)?;
        if let Some(magnitude) = part(&module.magnitude)? {
            let lengths = merged.sqr()?.sum_keepdim(1)?.sqrt()?;
            let factors = (magnitude.reshape(lengths.shape())? / lengths)?;
            merged = merged.broadcast_mul(&factors)?;
        }
        let merged = if module.is_embedding { merged.t()? } else { merged };
        Ok(Some(merged.contiguous()?.reshape(shape)?))
    }

    fn floats(&self, name: &str, device: &Device) -> Result<Tensor, ModelError> {
        let Some((info, data)) = self.file.tensor(name) else {
            unreachable!("the names of `modules` are the file's");
        };
        Ok(read_floats(TENSORS, name, info, data, device)?.to_dtype(DType::F32)?)
    }

    /// Whether every module that it changes is in `weights`, and has the adapter's sizes. The output head may be missing: it is
    /// no part of an encoder.
    pub(super) fn check(&self, weights: &WeightFiles) -> Result<(), ModelError> {
        let wrong = |message| ModelError::Adapter {
            adapter: self.name.clone(),
            message,
        };
        let shapes: BTreeMap<String, &[usize]> = weights
            .tensors()
            .filter_map(|(name, info, _)| Some((canonical(name.strip_suffix(".weight")?), info.shape.as_slice())))
            .collect();
        for (name, module) in &self.modules {
            let spelled = &module.spelled;
            match shapes.get(name) {
                Some(shape) => self.check_shape(module, shape).map_err(wrong)?,
                None if name == OUTPUT_HEAD => {
                    tracing::warn!(
                        adapter = self.name,
                        "its changes to `{spelled}` are left out: the model has none"
                    );
                }
                None => {
                    return Err(wrong(format!(
                        "it changes `{spelled}`, which the model does not have{}",
                        self.made_on()
                    )));
                }
            }
        }
        Ok(())
    }

    fn check_shape(&self, module: &Module, shape: &[usize]) -> Result<(), String> {
        let size = |name: &Option<String>| {
            let (info, _) = self.file.tensor(name.as_deref()?)?;
            Some(info.shape.clone())
        };
        let (outputs, inputs) = match shape {
            [rows, columns] if module.is_embedding => (*columns, *rows),
            [outputs, inputs @ ..] if !inputs.is_empty() => (*outputs, inputs.iter().product()),
            _ => (0, 0),
        };
        let (down, up) = (
            size(&module.down).unwrap_or_default(),
            size(&module.up).unwrap_or_default(),
        );
        let fits = outputs > 0
            && down.iter().skip(1).product::<usize>() == inputs
            && up.first() == Some(&outputs)
            && size(&module.magnitude).is_none_or(|magnitude| magnitude.iter().product::<usize>() == outputs);
        if fits {
            return Ok(());
        }
        Err(format!(
            "it changes `{}`, whose weight is {shape:?} in the model, with matrices of {down:?} and {up:?}{}",
            module.spelled,
            self.made_on()
        ))
    }

    /// What its maker called the model, where that is known.
    fn made_on(&self) -> String {
        match &self.config.base_model {
            Some(base) => format!("; it was made on `{base}`"),
            None => String::new(),
        }
    }

    /// Feeds `update` with all that decides what it makes of a weight.
    pub(super) fn describe_to(&self, mut update: impl FnMut(&str, Option<(&TensorInfo, &[u8])>)) {
        for (name, module) in &self.modules {
            update(&format!("{name} {:?} {}", module.scaling, module.is_embedding), None);
            for part in [&module.down, &module.up, &module.magnitude] {
                update("", part.as_deref().and_then(|part| self.file.tensor(part)));
            }
        }
    }
}

/// That the directory or repository `name`, whose `adapter_config.json` is `config`, is no model of its own, and what to write
/// instead.
pub(super) fn is_no_model(name: &str, config: &[u8]) -> String {
    let base = serde_json::from_slice::<serde_json::Value>(config)
        .ok()
        .and_then(|config| config["base_model_name_or_path"].as_str().map(str::to_string));
    let base = base.as_deref().unwrap_or("BASE");
    format!("it holds an adapter, not a whole checkpoint; write --model {base} --adapter {name}")
}

/// What the tensors of `file` do to which modules, by canonical name. The error is for people, without the adapter's name.
fn modules(file: &WeightFile, config: &AdapterConfig) -> Result<BTreeMap<String, Module>, String> {
    let mut modules: BTreeMap<String, Module> = BTreeMap::new();
    let mut names: Vec<&str> = file.tensors().map(|(name, ..)| name).collect();
    names.sort_unstable();
    for name in names {
        let Some((spelled, role)) = names::parse(name) else {
            return Err(format!(
                "{TENSORS}: the tensor `{name}` is no part of a LoRA or DoRA adapter, whose names begin with `{PREFIX}` and end \
                 with `lora_A.weight`, `lora_B.weight` or `lora_magnitude_vector`"
            ));
        };
        let module = modules.entry(canonical(spelled)).or_default();
        let slot = match role {
            Role::Down | Role::EmbeddingDown => &mut module.down,
            Role::Up | Role::EmbeddingUp => &mut module.up,
            Role::Magnitude => &mut module.magnitude,
        };
        if slot.replace(name.to_string()).is_some() {
            return Err(format!("{TENSORS}: `{name}` is there twice, under two spellings"));
        }
        module.is_embedding |= matches!(role, Role::EmbeddingDown | Role::EmbeddingUp);
        module.spelled = spelled.to_string();
    }
    if modules.is_empty() {
        return Err(format!("{TENSORS} is empty"));
    }
    for module in modules.values_mut() {
        complete(module, file, config)?;
    }
    Ok(modules)
}

/// Checks that a module has what it needs, and finds how strong its change is.
fn complete(module: &mut Module, file: &WeightFile, config: &AdapterConfig) -> Result<(), String> {
    let spelled = &module.spelled;
    let shape = |name: &Option<String>| Some(file.tensor(name.as_deref()?)?.0.shape.clone());
    let (Some(down), Some(up)) = (shape(&module.down), shape(&module.up)) else {
        return Err(format!("{TENSORS}: `{spelled}` has one of lora_A and lora_B, not both"));
    };
    if config.use_dora != module.magnitude.is_some() {
        let has = if config.use_dora { "has no" } else { "has a" };
        return Err(format!(
            "{TENSORS}: `{spelled}` {has} lora_magnitude_vector, and `use_dora` in {CONFIG} is {}",
            config.use_dora
        ));
    }
    let (scaling, rank) = config
        .scaling(spelled)
        .map_err(|message| format!("{CONFIG}: {message}"))?;
    let is_matrix = down.len() >= 2 && up.len() >= 2;
    if !is_matrix || down[0] != rank || up[1..].iter().product::<usize>() != rank {
        return Err(format!(
            "`{spelled}` has matrices of {down:?} and {up:?}, and {CONFIG} gives it the rank {rank}"
        ));
    }
    module.scaling = scaling;
    Ok(())
}
