//! Adapters in the files of Hugging Face PEFT.

use std::fs;
use std::path::Path;

use candle_core::Tensor;
use serde_json::{Value, json};

use super::tensors::{planned, write_file};
use crate::error::JobError;
use crate::whole::{failure, whole_file};

/// How PEFT begins the name of every tensor.
const PREFIX: &str = "base_model.model.";

/// How the names of the language model's modules go on, in adapters of transformers before 4.52 and since.
const OLDER: &str = "model.layers.";
const NEWER: &str = "model.language_model.layers.";

/// What an adapter is, as `adapter_config.json` says it. The names are PEFT's.
#[derive(Debug, Clone, PartialEq)]
pub struct PeftConfig {
    /// The checkpoint that it was trained on: a folder, or an id of the hub. PEFT loads that where it is not given a model.
    pub base_model: Option<String>,
    /// The rank of every module.
    pub rank: usize,
    /// B·A is multiplied by this through the rank.
    pub alpha: f64,
    /// The share of inputs that was dropped in training.
    pub dropout: f64,
    /// The modules, by their names' ends.
    pub target_modules: Vec<String>,
    /// Whether modules have magnitudes.
    pub use_dora: bool,
}

impl PeftConfig {
    fn to_json(&self) -> Value {
        // PEFT has whole numbers there, and says so where a reader checks.
        let alpha = match self.alpha {
            alpha if alpha.fract() == 0.0 && alpha.abs() < 1e15 => json!(alpha as i64),
            alpha => json!(alpha),
        };
        json!({
            "alpha_pattern": {},
            "auto_mapping": {
                "base_model_class": "Qwen2VLForConditionalGeneration",
                "parent_library": "transformers.models.qwen2_vl.modeling_qwen2_vl",
            },
            "base_model_name_or_path": self.base_model,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": "gaussian",
            "layers_pattern": null,
            "layers_to_transform": null,
            "lora_alpha": alpha,
            "lora_dropout": self.dropout,
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": self.rank,
            "rank_pattern": {},
            "revision": null,
            "target_modules": self.target_modules,
            "task_type": null,
            "use_dora": self.use_dora,
            "use_rslora": false,
        })
    }
}

/// Writes an adapter into `directory`, which is made if it is not there. `tensors` have PEFT's names, such as
/// `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`; those of the language model are written as transformers since
/// 4.52 spells them (`…model.language_model.layers…`), which PEFT reads on it, and this program in either way.
///
/// # Errors
/// [`JobError::Config`] for a tensor with another name, [`JobError::Candle`] if the device fails, and [`JobError::Io`].
pub fn write_adapter(
    directory: &Path,
    config: &PeftConfig,
    tensors: impl IntoIterator<Item = (String, Tensor)>,
) -> Result<(), JobError> {
    let mut parts = Vec::new();
    for (name, tensor) in tensors {
        parts.push(planned(spelled(&name)?, tensor, None)?);
    }
    if parts.is_empty() {
        return Err(JobError::Config("the adapter has no tensors".to_string()));
    }
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    fs::create_dir_all(directory).map_err(failure(directory))?;
    write_file(&directory.join("adapter_model.safetensors"), &parts)?;
    let path = directory.join("adapter_config.json");
    whole_file(&path, |file| {
        serde_json::to_writer_pretty(file, &config.to_json()).map_err(|error| failure(&path)(error.into()))
    })
}

/// The name of an adapter's tensor as PEFT on transformers 4.57 writes it.
fn spelled(name: &str) -> Result<String, JobError> {
    let parts = [".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"];
    let module = name.strip_prefix(PREFIX);
    let Some(module) = module.filter(|module| parts.iter().any(|part| module.ends_with(part))) else {
        return Err(JobError::Config(format!(
            "the tensor `{name}` is no part of an adapter: names are `{PREFIX}MODULE` and one of {}",
            parts.join(", ")
        )));
    };
    Ok(match module.strip_prefix(OLDER) {
        Some(layer) => format!("{PREFIX}{NEWER}{layer}"),
        None if module.starts_with("visual.") => format!("{PREFIX}model.{module}"),
        None => name.to_string(),
    })
}
