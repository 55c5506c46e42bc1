//! What the parts of a run are told of its configuration.

use serde_json::{Map, Value, json};
use sightstream_model::encoder::DtypeChoice;

use super::{FromScratch, Length, LoraConfig, Start, TrainConfig};
use crate::data::{DatasetOptions, LoaderOptions, PrepareOptions};
use crate::objective::{GradCache, InfoNce};
use crate::optimiser::{AdamWOptions, Schedule, ScheduleKind};
use crate::train::trainer::TrainOptions;
use crate::twin::AdapterOptions;

impl TrainConfig {
    /// How batches are drawn and prepared. `prepare` says how media are read, but for what the configuration says of them.
    pub fn loader_options(&self, prepare: PrepareOptions) -> LoaderOptions {
        let mut options = LoaderOptions::new(self.datasets.clone(), self.batch_size);
        options.seed = self.seed;
        options.sub_batch_size = self.sub_batch_size;
        options.hard_negatives = self.num_hard_negatives;
        options.stopping = self.stopping_strategy;
        options.epochs = match self.length {
            Length::Steps(_) => None,
            Length::Epochs(epochs) => Some(epochs),
        };
        options.workers = self.workers.unwrap_or(options.workers);
        options.max_bad_share = self.max_bad_share;
        options.prepare = PrepareOptions {
            frames: self.video_frames,
            page_dpi: self.page_dpi as f32,
            ..prepare
        };
        options
    }

    /// How the loop of a run of `max_steps` goes.
    pub fn train_options(&self, max_steps: u64) -> TrainOptions {
        TrainOptions {
            seed: self.seed,
            max_steps,
            learning_rate: self.learning_rate,
            schedule: Schedule {
                kind: self.lr_scheduler,
                warmup_steps: self.warmup(max_steps),
                total_steps: self.schedule_steps(max_steps),
            },
            gradient_accumulation_steps: self.gradient_accumulation_steps,
            max_grad_norm: self.max_grad_norm,
            save_steps: self.save_steps,
            objective: InfoNce {
                temperature: self.temperature,
                symmetric: self.symmetric,
                mask_duplicates: self.mask_duplicates,
            },
            grad_cache: GradCache {
                query_chunk: self.gc_q_chunk_size,
                target_chunk: self.gc_p_chunk_size,
            },
            adamw: AdamWOptions {
                beta1: self.adam_beta1,
                beta2: self.adam_beta2,
                weight_decay: self.weight_decay,
                ..AdamWOptions::default()
            },
        }
    }

    /// Steps of the schedule of a run of `max_steps`.
    pub(super) fn schedule_steps(&self, max_steps: u64) -> u64 {
        self.lr_decay_steps.unwrap_or(max_steps)
    }

    fn warmup(&self, max_steps: u64) -> u64 {
        let all = self.schedule_steps(max_steps);
        match self.warmup_steps {
            None => (all / 10).min(100),
            Some(steps) => steps.min(all),
        }
    }

    /// All that changes what a run of `max_steps` in weights of `dtype` computes, by the keys under which people set it.
    pub fn settings(&self, max_steps: u64, dtype: DtypeChoice) -> Map<String, Value> {
        let mut settings = Map::new();
        let mut set = |key: &str, value: Value| {
            settings.insert(key.to_string(), value);
        };
        match &self.start {
            Start::Checkpoint(name) => set("model_name", json!(name)),
            Start::Scratch(FromScratch {
                config,
                tokenizer,
                preprocessor,
            }) => set(
                "from_scratch",
                json!({"config": config, "tokenizer": tokenizer, "preprocessor": preprocessor}),
            ),
        }
        set("adapter", json!(self.adapter));
        set("lora", json!(self.lora.is_some()));
        if let Some(LoraConfig {
            rank,
            alpha,
            dropout,
            target_modules,
            use_dora,
        }) = self.lora.as_ref().filter(|_| self.adapter.is_none())
        {
            set("lora_rank", json!(rank));
            set("lora_alpha", json!(alpha));
            set("lora_dropout", json!(dropout));
            set("lora_target_modules", json!(target_modules));
            set("use_dora", json!(use_dora));
        }
        set("seed", json!(self.seed));
        set("dtype", json!(dtype_name(dtype)));
        set("batch_size", json!(self.batch_size));
        set("sub_batch_size", json!(self.sub_batch_size));
        set("num_hard_negatives", json!(self.num_hard_negatives));
        set("max_steps", json!(max_steps));
        if let Length::Epochs(epochs) = self.length {
            set("num_epochs", json!(epochs));
        }
        set("stopping_strategy", json!(self.stopping_strategy.to_string()));
        set("learning_rate", json!(self.learning_rate));
        let scheduler = match self.lr_scheduler {
            ScheduleKind::Linear => "linear",
            ScheduleKind::Cosine => "cosine",
            ScheduleKind::Constant => "constant",
        };
        set("lr_scheduler", json!(scheduler));
        set("lr_decay_steps", json!(self.lr_decay_steps));
        set("warmup_steps", json!(self.warmup(max_steps)));
        set("adam_beta1", json!(self.adam_beta1));
        set("adam_beta2", json!(self.adam_beta2));
        set("weight_decay", json!(self.weight_decay));
        set("max_grad_norm", json!(self.max_grad_norm));
        set("gradient_accumulation_steps", json!(self.gradient_accumulation_steps));
        set("temperature", json!(self.temperature));
        set("symmetric", json!(self.symmetric));
        set("mask_duplicates", json!(self.mask_duplicates));
        set("gc_q_chunk_size", json!(self.gc_q_chunk_size));
        set("gc_p_chunk_size", json!(self.gc_p_chunk_size));
        set("min_pixels", json!(self.min_pixels));
        set("max_pixels", json!(self.max_pixels));
        set("video_frames", json!(self.video_frames));
        set("page_dpi", json!(self.page_dpi));
        let datasets = self.datasets.iter().map(dataset);
        set("datasets", datasets.collect());
        settings
    }
}

impl LoraConfig {
    /// The same for the model.
    pub fn adapter_options(&self, seed: u64) -> AdapterOptions {
        AdapterOptions {
            rank: self.rank,
            alpha: self.alpha,
            dropout: self.dropout,
            target_modules: self.target_modules.clone(),
            use_dora: self.use_dora,
            seed,
        }
    }
}

/// As it is written.
fn dtype_name(dtype: DtypeChoice) -> &'static str {
    match dtype {
        DtypeChoice::F32 => "f32",
        DtypeChoice::F16 => "f16",
        DtypeChoice::Bf16 => "bf16",
    }
}

fn dataset(options: &DatasetOptions) -> Value {
    let DatasetOptions {
        name,
        parser,
        path,
        weight,
        rows,
        media_root,
        mode,
        query_instruction,
        target_instruction,
    } = options;
    json!({
        "name": name,
        "parser": parser.to_string(),
        "path": path,
        "weight": weight,
        "rows": rows,
        "media_root": media_root,
        "mode": mode.map(|mode| mode.to_string()),
        "query_instruction": query_instruction,
        "target_instruction": target_instruction,
    })
}
