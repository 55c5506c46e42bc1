//! The YAML configuration of a training run.
//!
//! [`TrainConfig`] has a field for each key. A key that is not there has the default that its field tells, which is VLM2Vec-V2's
//! recipe where that has one. Unknown keys are refused, and all that is wrong is told at once, each with its line.
//! Relative paths start from the current folder.

mod checks;
mod dataset;
mod fields;
mod hints;
mod node;
mod parts;
mod problem;
mod read;

use std::path::{Path, PathBuf};

use sightstream_model::encoder::{DeviceChoice, DtypeChoice};

pub use problem::ConfigErrors;
use problem::{Place, Problem};

use crate::data::{DatasetOptions, Stopping};
use crate::optimiser::ScheduleKind;

/// The configuration of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// `model_name` or `from_scratch`: what training starts from. One of them has to be there.
    pub start: Start,
    /// `adapter`: a PEFT directory, or a Hugging Face id, whose adapter is trained further. Rank, alpha and the rest are its own
    /// then.
    pub adapter: Option<String>,
    /// `lora: true` and the keys of [`LoraConfig`]: an adapter is trained. `lora: false`: all weights are. Default: true with
    /// `model_name`, false with `from_scratch`.
    pub lora: Option<LoraConfig>,
    /// `output_dir`: the folder of checkpoints, logs and the final model. Has to be there.
    pub output_dir: PathBuf,
    /// `seed`: decides the order of rows, dropout, and weights that are drawn. Default: 42.
    pub seed: u64,

    /// `batch_size`: queries of one step; the targets of all of them are negatives of each. Default: 1024.
    pub batch_size: usize,
    /// `sub_batch_size`: so many queries in a row are of one dataset, which makes harder negatives. It divides `batch_size`. Default:
    /// 64, or `batch_size` where that is less.
    pub sub_batch_size: usize,
    /// `num_hard_negatives`: negatives of its own that each query brings: the first of its row. Where a row has fewer, positives
    /// of other rows of the dataset stand in. Default: 0.
    pub num_hard_negatives: usize,
    /// `max_steps` or `num_epochs`: how long the run is. One of them has to be there.
    pub length: Length,
    /// `stopping_strategy`: when an epoch over several datasets ends. Default: `all_exhausted`.
    pub stopping_strategy: Stopping,

    /// `learning_rate`: the highest that the schedule reaches. Default: 5e-5.
    pub learning_rate: f64,
    /// `lr_scheduler`: `linear` or `cosine` (to 0 at the last step, or at `lr_decay_steps`), or `constant`. Default: `linear`.
    pub lr_scheduler: ScheduleKind,
    /// `lr_decay_steps`: the step at which the schedule is at 0, where that is after the last one: of a run that another one goes on
    /// from. Default: the last step.
    pub lr_decay_steps: Option<u64>,
    /// `warmup_steps`: the learning rate rises from 0 over so many steps. Default: 100, or a tenth of the steps where that is less.
    pub warmup_steps: Option<u64>,
    /// `adam_beta1`: how much of AdamW's mean of gradients stays from step to step. Default: 0.9.
    pub adam_beta1: f64,
    /// `adam_beta2`: how much of its mean of their squares does. Default: 0.999.
    pub adam_beta2: f64,
    /// `weight_decay`: AdamW's, on everything that is trained but norms and biases. Default: 0.
    pub weight_decay: f64,
    /// `max_grad_norm`: gradients are scaled so that their norm is no larger; 0 leaves them as they are. Default: 1.
    pub max_grad_norm: Option<f64>,
    /// `gradient_accumulation_steps`: batches whose gradients make one step together. Negatives do not reach across them.
    /// Default: 1.
    pub gradient_accumulation_steps: usize,

    /// `temperature`: cosines are divided by it. Default: 0.02.
    pub temperature: f64,
    /// `symmetric`: the mean of the loss of queries among targets and of targets among queries. Default: false.
    pub symmetric: bool,
    /// `mask_duplicates`: targets of a batch that are the same text as a query's positive are not its negatives. Default: false.
    pub mask_duplicates: bool,
    /// `gc_q_chunk_size`: queries that go through the encoder with a graph at a time (GradCache). Smaller takes less memory,
    /// and changes no result. 0: all at once, without a first pass. Default: 8.
    pub gc_q_chunk_size: Option<usize>,
    /// `gc_p_chunk_size`: the same for targets. Default: 8.
    pub gc_p_chunk_size: Option<usize>,

    /// `save_steps`: a checkpoint after each so many steps; 0: at the end, and where the run is stopped. Default: 500.
    pub save_steps: Option<u64>,
    /// `save_total_limit`: the newest so many checkpoints are kept, older ones removed. Default: all are kept.
    pub save_total_limit: Option<usize>,
    /// `logging_steps`: a line of the log for each so many steps. `log.csv` and TensorBoard's file have every step. Default: 10.
    pub logging_steps: u64,

    /// `device`: `auto`, `cpu`, `cuda` or `cuda:N`. Default: `auto`, the first GPU where there is one.
    pub device: DeviceChoice,
    /// `dtype`: of the weights, `f32` or `bf16`; the optimiser's state is always f32. Default: f32 on the CPU, bf16 on a GPU.
    pub dtype: Option<DtypeChoice>,
    /// `workers`: threads that fetch, decode and prepare rows ahead of the device. Default: one for each core.
    pub workers: Option<usize>,
    /// `max_bad_share`: rows that cannot be read are skipped and counted; a larger share of them ends the run. Default: 0.01.
    pub max_bad_share: f64,
    /// `min_pixels`: an image with fewer is enlarged. Default: the checkpoint's.
    pub min_pixels: Option<u32>,
    /// `max_pixels`: an image with more is made smaller. Default: the checkpoint's.
    pub max_pixels: Option<u32>,
    /// `video_frames`: frames that stand for a video. Default: 8.
    pub video_frames: u32,
    /// `page_dpi`: how finely pages of documents are drawn, in dots per inch. Default: 300.
    pub page_dpi: f64,
    /// `gradient_checkpointing`: layers keep their inputs alone for the way back and compute the rest again: about a third more
    /// work, for a fraction of the memory. Default: false.
    pub gradient_checkpointing: bool,

    /// `datasets`: the mixing table. At least one.
    pub datasets: Vec<DatasetOptions>,
}

/// What training starts from.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// `model_name`: a checkpoint's folder, or a Hugging Face id.
    Checkpoint(String),
    /// `from_scratch`: random weights.
    Scratch(FromScratch),
}

/// The files of a checkpoint without weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromScratch {
    /// `from_scratch.config`: a Qwen2-VL `config.json`, which says the sizes.
    pub config: PathBuf,
    /// `from_scratch.tokenizer`: a `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// `from_scratch.preprocessor`: a `preprocessor_config.json`.
    pub preprocessor: PathBuf,
}

/// The adapter that is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// `lora_rank`. Default: 16.
    pub rank: usize,
    /// `lora_alpha`: what the adapter adds is scaled by alpha / rank. Default: 64.
    pub alpha: f64,
    /// `lora_dropout`. Default: 0.1.
    pub dropout: f64,
    /// `lora_target_modules`: the modules that are adapted, by the end of their names. Default: `q_proj`, `k_proj`, `v_proj`,
    /// `o_proj`, `gate_proj`, `up_proj`, `down_proj`: all of the language model. The vision tower's are `qkv`, `proj`, `fc1`, `fc2`.
    pub target_modules: Vec<String>,
    /// `use_dora`: the weights' norms are trained beside. Default: true.
    pub use_dora: bool,
}

/// How long a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// `max_steps`: optimiser steps.
    Steps(u64),
    /// `num_epochs`: times through the data, as `stopping_strategy` counts them.
    Epochs(u64),
}

/// A configuration as it was written, with what the command line put over it.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The configuration.
    pub config: TrainConfig,
    /// The same keys and values, without comments and defaults: what a run keeps of its configuration.
    pub json: serde_json::Value,
}

impl TrainConfig {
    /// Reads the configuration `file`, with `assignments` (`key=value`, `datasets.0.weight=2`) put over it.
    ///
    /// # Errors
    /// [`ConfigErrors`] with all that is wrong: the file itself, keys, values, what does not go together, and files that are
    /// not there.
    pub fn read(file: &Path, assignments: &[String]) -> Result<Written, ConfigErrors> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| {
            let problem = Problem::new(Place::File, format!("the configuration cannot be read: {error}"));
            ConfigErrors::of(&name, vec![problem])
        })?;
        Self::parse(&name, &text, assignments)
    }

    /// [`TrainConfig::read`] of a text, whose problems are told of the file `name`.
    ///
    /// # Errors
    /// Those of [`TrainConfig::read`].
    pub fn parse(name: &str, text: &str, assignments: &[String]) -> Result<Written, ConfigErrors> {
        let mut root = node::parse(text).map_err(|problem| ConfigErrors::of(name, vec![problem]))?;
        let mut problems = Vec::new();
        for assignment in assignments {
            problems.extend(node::assign(&mut root, assignment).err());
        }
        let json = root.value.to_json();
        let config = read::config(root, &mut problems);
        if !problems.is_empty() {
            return Err(ConfigErrors::of(name, problems));
        }
        Ok(Written { config, json })
    }

    /// Every key that can be written, those of `from_scratch` and of a dataset after their prefix.
    pub fn keys() -> Vec<String> {
        read::keys()
    }
}
