//! Runs of the trainer with the fake encoder, over batches that depend on their number alone.

// Each file of tests uses another part of it.
#![allow(dead_code)]

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use candle_core::DType;
use serde_json::{Map, Value, json};
use sightstream_jobs::objective::{GradCache, InfoNce};
use sightstream_jobs::optimiser::{AdamWOptions, Schedule, ScheduleKind};
use sightstream_jobs::train::checkpoint::{Checkpoint, Checkpoints, Saved};
use sightstream_jobs::train::trainer::{Drawn, Ended, Report, StepReport, TrainOptions, Trainer};
use sightstream_jobs::{Batch, JobError};
use tempfile::TempDir;

use crate::fake::{Fake, examples};

/// Nobody stops these runs.
pub static GO: AtomicBool = AtomicBool::new(false);

/// Everything at once: dropout, accumulation, warm-up, clipping, decay, chunks that do not divide the batch.
pub fn options(steps: u64) -> TrainOptions {
    TrainOptions {
        seed: 42,
        max_steps: steps,
        learning_rate: 0.02,
        schedule: Schedule {
            kind: ScheduleKind::Cosine,
            warmup_steps: 3,
            total_steps: steps,
        },
        gradient_accumulation_steps: 2,
        max_grad_norm: Some(1.0),
        save_steps: Some(4),
        objective: InfoNce {
            temperature: 0.1,
            symmetric: true,
            mask_duplicates: false,
        },
        grad_cache: GradCache {
            query_chunk: Some(3),
            target_chunk: Some(4),
        },
        adamw: AdamWOptions {
            weight_decay: 0.1,
            ..AdamWOptions::default()
        },
    }
}

pub fn settings() -> Map<String, Value> {
    let settings = [
        ("learning_rate", json!(0.02)),
        ("seed", json!(42)),
        ("max_steps", json!(10)),
    ];
    settings
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect()
}

/// Batches without end, each of 8 examples with 2 targets. Position n is after batch n.
pub fn batches(position: &Value) -> impl Iterator<Item = Result<Drawn, JobError>> + use<> {
    let start = position.get("batch").and_then(Value::as_u64).unwrap_or(0);
    (start..).map(|index| {
        let sources = vec![("colours".to_owned(), 5), ("counts".to_owned(), 3)];
        let batch = Batch {
            examples: examples(1000 + index, 8, 2),
            sources,
        };
        Ok(Drawn {
            batch,
            position: json!({ "batch": index + 1 }),
        })
    })
}

/// What a run reported.
#[derive(Default)]
pub struct Log {
    pub steps: Vec<StepReport>,
    pub saved: Vec<u64>,
}

impl Report for Log {
    fn step(&mut self, step: &StepReport) {
        self.steps.push(step.clone());
    }

    fn saved(&mut self, step: u64, folder: &Path) {
        assert!(folder.ends_with(format!("checkpoint-{step}")));
        self.saved.push(step);
    }
}

impl Log {
    /// What has to be equal in two runs to the last bit.
    pub fn bits(&self) -> Vec<(u64, u32, u32, u64, u64)> {
        let of = |step: &StepReport| {
            let (norm, rate) = (step.gradient_norm.to_bits(), step.learning_rate.to_bits());
            (step.step, step.loss.to_bits(), step.accuracy.to_bits(), norm, rate)
        };
        self.steps.iter().map(of).collect()
    }
}

/// An encoder, the folder that it is trained in, and what was reported.
pub struct Run {
    pub model: Fake,
    pub checkpoints: Checkpoints,
    pub log: Log,
}

impl Run {
    /// One that has not begun.
    pub fn new(folder: &Path) -> Self {
        Self::of(Fake::new(5, DType::F32), folder)
    }

    pub fn of(model: Fake, folder: &Path) -> Self {
        let checkpoints = Checkpoints::open(folder, None).expect("the folder is free");
        Self {
            model,
            checkpoints,
            log: Log::default(),
        }
    }

    /// Trains from the beginning.
    pub fn go(&mut self, options: TrainOptions) -> Result<Ended, JobError> {
        self.go_with(options, &mut batches(&Value::Null))
    }

    pub fn go_with(
        &mut self,
        options: TrainOptions,
        batches: &mut dyn Iterator<Item = Result<Drawn, JobError>>,
    ) -> Result<Ended, JobError> {
        let Self {
            model,
            checkpoints,
            log,
        } = self;
        Trainer::new(model, model, checkpoints, options, settings())?.run(batches, log, &GO)
    }

    /// Trains from the beginning, with something else that writes the model.
    pub fn go_saved_by(&mut self, saved: &dyn Saved, options: TrainOptions) -> Result<Ended, JobError> {
        let trainer = Trainer::new(&self.model, saved, &self.checkpoints, options, settings());
        trainer?.run(&mut batches(&Value::Null), &mut self.log, &GO)
    }

    /// Trains on from a checkpoint.
    pub fn go_on(&mut self, from: &Checkpoint, options: TrainOptions) -> Result<Ended, JobError> {
        let Self {
            model,
            checkpoints,
            log,
        } = self;
        let mut trainer = Trainer::new(model, model, checkpoints, options, settings())?;
        trainer.resume(from)?;
        trainer.run(&mut batches(&from.state.position), log, &GO)
    }
}

/// A run of ten steps without a stop.
pub fn whole(folder: &Path, dtype: DType) -> Result<(Fake, Log), JobError> {
    let mut run = Run::of(Fake::new(5, dtype), folder);
    assert_eq!(run.go(options(10))?, Ended::Finished { step: 10 });
    Ok((run.model, run.log))
}

/// Its rest from a checkpoint on, by an encoder whose weights are others at first.
pub fn rest(folder: &Path, from: &Checkpoint, dtype: DType) -> Result<(Fake, Log), JobError> {
    let mut run = Run::of(Fake::new(77, dtype), folder);
    assert_eq!(run.go_on(from, options(10))?, Ended::Finished { step: 10 });
    Ok((run.model, run.log))
}

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The names in a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<_> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The latest checkpoint of a folder that no run works in.
pub fn latest(folder: &Path) -> Result<Checkpoint, JobError> {
    let latest = Checkpoints::open(folder, None)?.latest()?;
    Ok(latest.expect("there is a checkpoint"))
}
