//! The model of a run: what it starts from, what of it is trained, and how it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device};
use sha2::{Digest, Sha256};
use sightstream_model::backbone::Config;
use sightstream_model::checkpoint::{Adapter, CheckpointFiles, DownloadProgress, check_agreement};
use sightstream_model::encoder::DtypeChoice;
use sightstream_model::processor::{Processor, ProcessorOverrides};

use super::checkpoint::Saved;
use super::config::{FromScratch, Start, TrainConfig};
use crate::adapter::{CheckpointOptions, PeftConfig, write_adapter, write_checkpoint};
use crate::embed::Embed;
use crate::error::JobError;
use crate::twin::{AdapterOptions, Trainable, Twin, settled_peft_name};
use crate::whole::failure;

/// What says how an adapter is applied.
const ADAPTER_CONFIG: &str = "adapter_config.json";

/// What PEFT puts before the name of a module, and after it for the first of its tensors.
const MODULE: (&str, &str) = ("base_model.model.", ".lora_A.weight");

/// All of a model but its weights: what is quick to look at before they are read.
#[derive(Debug)]
pub struct ModelPlan {
    files: CheckpointFiles,
    config: Config,
    processor: Arc<Processor>,
    pixels: ProcessorOverrides,
    training: Training,
    seed: u64,
    gradient_checkpointing: bool,
    dtype: DtypeChoice,
    device: Device,
}

/// What is trained.
#[derive(Debug)]
enum Training {
    /// All weights, from random ones.
    Scratch,
    /// All weights of the checkpoint.
    All,
    /// An adapter, and where it begins if it is not new.
    Adapter(AdapterOptions, Option<Box<Adapter>>),
}

/// A model that is trained, and can be written.
#[derive(Debug)]
pub struct RunModel {
    twin: Twin,
    files: CheckpointFiles,
    adapter: Option<PeftConfig>,
    dtype: DtypeChoice,
    pixels: ProcessorOverrides,
}

impl ModelPlan {
    /// Finds what `config` starts from, and downloads it if it must.
    ///
    /// # Errors
    /// [`JobError::Model`] for what cannot be found, read or does not fit together, [`JobError::Config`] for an adapter that cannot
    /// be trained further.
    pub fn open(config: &TrainConfig, progress: Arc<dyn DownloadProgress>) -> Result<Self, JobError> {
        let device = config.device.open()?;
        let files = match &config.start {
            Start::Checkpoint(name) => CheckpointFiles::locate_with_progress(Some(name), Arc::clone(&progress))?,
            Start::Scratch(scratch) => scratch_files(scratch)?,
        };
        let training = match (&config.start, &config.lora) {
            (Start::Scratch(_), _) => Training::Scratch,
            (Start::Checkpoint(_), None) => Training::All,
            (Start::Checkpoint(_), Some(lora)) => match &config.adapter {
                None => Training::Adapter(lora.adapter_options(config.seed), None),
                Some(name) => {
                    let adapter = Adapter::locate(name, progress)?;
                    Training::Adapter(options_of(&adapter, config.seed)?, Some(Box::new(adapter)))
                }
            },
        };
        let pixels = ProcessorOverrides {
            min_pixels: config.min_pixels,
            max_pixels: config.max_pixels,
        };
        let processor = Processor::load(&files, &pixels)?;
        let sizes = Config::from_json(&files.read_required("config.json")?)?;
        check_agreement(&files, &sizes, processor.config())?;
        let dtype = config.dtype.unwrap_or(match device.is_cpu() {
            true => DtypeChoice::F32,
            false => DtypeChoice::Bf16,
        });
        Ok(Self {
            files,
            config: sizes,
            processor: Arc::new(processor),
            pixels,
            training,
            seed: config.seed,
            gradient_checkpointing: config.gradient_checkpointing,
            dtype,
            device,
        })
    }

    /// The name of what it starts from.
    pub fn name(&self) -> String {
        match self.training {
            Training::Scratch => "random weights".to_string(),
            Training::All | Training::Adapter(..) => self.files.name().into_owned(),
        }
    }

    /// What tells the content that it starts from, whatever its name: the checkpoint's fingerprint, and behind a `+` the start of
    /// a SHA-256 over the tensors and the configuration of an adapter that is trained further.
    ///
    /// # Errors
    /// [`JobError::Model`] and [`JobError::Io`] for a file that cannot be read.
    pub fn fingerprint(&self) -> Result<String, JobError> {
        let model = self.files.fingerprint()?;
        let Training::Adapter(_, Some(adapter)) = &self.training else {
            return Ok(model);
        };
        let path = adapter.directory().join(ADAPTER_CONFIG);
        let config = fs::read(&path).map_err(failure(&path))?;
        let mut hash = Sha256::new_with_prefix(config);
        let mut tensors: Vec<_> = adapter.tensors().collect();
        tensors.sort_by_key(|(name, ..)| *name);
        for (name, info, data) in tensors {
            hash.update(name);
            hash.update(format!("{:?} {:?}", info.dtype, info.shape));
            hash.update(data);
        }
        let digits: String = hash.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{model}+{digits}"))
    }

    /// What makes inputs for it.
    pub fn processor(&self) -> Arc<Processor> {
        Arc::clone(&self.processor)
    }

    /// The type of its weights.
    pub fn dtype(&self) -> DtypeChoice {
        self.dtype
    }

    /// Reads or draws the weights.
    ///
    /// # Errors
    /// Those of [`Twin::load`].
    pub fn load(self) -> Result<RunModel, JobError> {
        let dtype = match self.dtype {
            DtypeChoice::F32 => DType::F32,
            DtypeChoice::F16 => DType::F16,
            DtypeChoice::Bf16 => DType::BF16,
        };
        let load = |trainable| Twin::load(&self.files, &trainable, dtype, &self.device);
        let (mut twin, adapter) = match self.training {
            Training::Scratch => (Twin::random(&self.config, self.seed, dtype, &self.device)?, None),
            Training::All => (load(Trainable::All)?, None),
            Training::Adapter(options, begun) => {
                let config = PeftConfig {
                    base_model: Some(self.files.name().into_owned()),
                    rank: options.rank,
                    alpha: options.alpha,
                    dropout: options.dropout,
                    target_modules: options.target_modules.clone(),
                    use_dora: options.use_dora,
                };
                let twin = load(Trainable::Adapter(options))?;
                if let Some(begun) = begun {
                    let path = begun.directory().join("adapter_model.safetensors");
                    twin.set_parameters(&candle_core::safetensors::load(path, &self.device)?)?;
                }
                (twin, Some(config))
            }
        };
        twin.set_checkpoints(self.gradient_checkpointing);
        Ok(RunModel {
            twin,
            files: self.files,
            adapter,
            dtype: self.dtype,
            pixels: self.pixels,
        })
    }
}

impl RunModel {
    /// What is trained.
    pub fn twin(&self) -> &Twin {
        &self.twin
    }

    /// How many numbers are trained.
    pub fn trained(&self) -> usize {
        let parameters = self.twin.parameters().iter();
        parameters.map(|parameter| parameter.var.elem_count()).sum()
    }
}

impl Saved for RunModel {
    fn write(&self, folder: &Path) -> Result<(), JobError> {
        if let Some(adapter) = &self.adapter {
            let tensors = self.twin.parameters().iter();
            let tensors = tensors.map(|parameter| (parameter.name.clone(), parameter.var.as_detached_tensor()));
            return write_adapter(folder, adapter, tensors);
        }
        let tensors = self.twin.weights();
        let tensors = tensors.map(|(name, tensor)| (name.to_string(), tensor.detach()));
        let options = CheckpointOptions {
            dtype: Some(self.dtype),
            pixels: self.pixels,
            ..CheckpointOptions::default()
        };
        write_checkpoint(folder, &self.files, tensors, &options).map(|_| ())
    }
}

/// The files of a checkpoint that has no weights yet.
fn scratch_files(scratch: &FromScratch) -> Result<CheckpointFiles, JobError> {
    let named = [
        ("config.json", &scratch.config),
        ("tokenizer.json", &scratch.tokenizer),
        ("preprocessor_config.json", &scratch.preprocessor),
    ];
    let mut files = BTreeMap::new();
    for (name, path) in named {
        let content = std::fs::read(path).map_err(failure(path))?;
        files.insert(name.to_string(), content);
    }
    Ok(CheckpointFiles::without_weights("from_scratch", files))
}

/// What an adapter is, for one that is trained further.
fn options_of(adapter: &Adapter, seed: u64) -> Result<AdapterOptions, JobError> {
    let config = adapter.config();
    let refused = |message: String| JobError::Config(format!("the adapter {}: {message}", adapter.name()));
    let mut modules = BTreeSet::new();
    for (name, _, _) in adapter.tensors() {
        let name = settled_peft_name(name);
        let module = name.strip_prefix(MODULE.0).and_then(|name| name.strip_suffix(MODULE.1));
        modules.extend(module.map(str::to_string));
    }
    let strength = (config.alpha / config.rank as f64, config.rank);
    for module in &modules {
        let own = config.scaling(module).map_err(refused)?;
        if own != strength {
            let message = format!(
                "`{module}` has the rank {} and the strength {}, others {} and {}; one of a single rank and strength can be \
                 trained further",
                own.1, own.0, strength.1, strength.0
            );
            return Err(refused(message));
        }
    }
    Ok(AdapterOptions {
        rank: config.rank,
        alpha: config.alpha,
        dropout: config.dropout,
        target_modules: modules.into_iter().collect(),
        use_dora: config.use_dora,
        seed,
    })
}
