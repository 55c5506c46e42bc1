//! The loop with the real encoder, on a checkpoint of a few layers: GradCache's gradients, learning by heart, resuming.

mod whole_batch;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Map, Value, json};
use sightstream_jobs::objective::{GradCache, InfoNce};
use sightstream_jobs::optimiser::{AdamWOptions, Schedule, ScheduleKind};
use sightstream_jobs::train::checkpoint::{Checkpoint, Checkpoints, Saved};
use sightstream_jobs::train::trainer::{Drawn, Ended, Report, StepReport, TrainOptions, Trainer};
use sightstream_jobs::twin::{AdapterOptions, Trainable, Twin};
use sightstream_jobs::{Batch, Embed, Example, JobError};
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::processor::{ModelInput, VisionInput, VisionKind};

type Result<T = ()> = std::result::Result<T, JobError>;

/// The checkpoint's token in the place of an image's patches; those of text are below its special ones.
const IMAGE_PAD: u32 = 766;
const TEXT_TOKENS: u32 = 760;

fn twin(trainable: &Trainable) -> Result<Twin> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/single_kv");
    let files = CheckpointFiles::locate(folder.to_str())?;
    Twin::load(&files, trainable, DType::F32, &Device::Cpu)
}

fn adapter(use_dora: bool, dropout: f64, modules: &[&str]) -> Trainable {
    let target_modules = modules.iter().map(|&module| module.to_owned()).collect();
    Trainable::Adapter(AdapterOptions {
        rank: 8,
        alpha: 16.0,
        dropout,
        target_modules,
        use_dora,
        seed: 1,
    })
}

const TEXT: [&str; 7] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
];

/// Two to nine tokens of text.
fn text(random: &mut ChaCha8Rng) -> ModelInput {
    let length = 2 + random.next_u32() % 8;
    ModelInput {
        token_ids: (0..length).map(|_| random.next_u32() % TEXT_TOKENS).collect(),
        vision: None,
    }
}

/// A text behind an image of 4 x 4 patches.
fn image(random: &mut ChaCha8Rng) -> ModelInput {
    let text = text(random);
    let number = |_| (random.next_u32() >> 8) as f32 / (1u32 << 23) as f32 - 1.0;
    let patches = (0..16 * 1176).map(number).collect();
    ModelInput {
        token_ids: [IMAGE_PAD; 4].into_iter().chain(text.token_ids).collect(),
        vision: Some(VisionInput {
            kind: VisionKind::Image,
            patches,
            grid_thw: [1, 4, 4],
        }),
    }
}

/// Pairs of texts, or of texts and images in turns.
fn examples(seed: u64, count: usize, targets: usize, images: bool) -> Vec<Example> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut target = |index: usize| {
        if images && index % 2 == 1 {
            image(&mut random)
        } else {
            text(&mut random)
        }
    };
    let mut all: Vec<_> = (0..count * (targets + 1)).map(&mut target).collect();
    let example = |row: usize| {
        let targets = all.split_off(all.len() - targets);
        Example::new(row as u64, all.pop().expect("as many were made"), targets)
    };
    (0..count).map(example).collect()
}

#[test]
fn chunks_of_the_twin_give_the_gradients_of_the_whole_batch() -> Result {
    let objective = InfoNce {
        temperature: 0.05,
        symmetric: true,
        mask_duplicates: false,
    };
    let batch = examples(3, 5, 2, true);
    for trainable in [
        Trainable::All,
        adapter(false, 0.1, &TEXT),
        adapter(true, 0.1, &["q_proj", "v_proj", "qkv", "fc1"]),
    ] {
        let twin = twin(&trainable)?;
        // An adapter's second matrix is zero at first, and hides its first one.
        nudge(&twin)?;
        for (query_chunk, target_chunk) in [(None, None), (Some(1), Some(1)), (Some(2), Some(3))] {
            let cache = GradCache {
                query_chunk,
                target_chunk,
            };
            whole_batch::assert_same_gradients(&twin, &batch, objective, cache, Some(11), 1e-4)?;
        }
    }
    Ok(())
}

/// Moves every parameter a little, each number by another amount.
fn nudge(twin: &Twin) -> Result {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for parameter in twin.parameters() {
        let numbers = whole_batch::numbers(&parameter.var);
        let moved = numbers
            .into_iter()
            .map(|number| number + (random.next_u32() % 1000) as f32 * 4e-5 - 0.02);
        let moved = candle_core::Tensor::from_iter(moved, &Device::Cpu)?.reshape(parameter.var.shape())?;
        parameter.var.set(&moved)?;
    }
    Ok(())
}

/// Writes what is trained.
struct Parameters<'a>(&'a Twin);

impl Saved for Parameters<'_> {
    fn write(&self, folder: &Path) -> Result {
        let tensors = self
            .0
            .parameters()
            .iter()
            .map(|one| (one.name.clone(), one.var.as_detached_tensor()))
            .collect();
        candle_core::safetensors::save(&tensors, folder.join("model.safetensors"))?;
        Ok(())
    }
}

#[derive(Default)]
struct Log(Vec<StepReport>);

impl Report for Log {
    fn step(&mut self, step: &StepReport) {
        self.0.push(step.clone());
    }
}

static GO: AtomicBool = AtomicBool::new(false);

fn options(steps: u64, learning_rate: f64) -> TrainOptions {
    TrainOptions {
        seed: 42,
        max_steps: steps,
        learning_rate,
        schedule: Schedule {
            kind: ScheduleKind::Linear,
            warmup_steps: 3,
            total_steps: steps,
        },
        gradient_accumulation_steps: 1,
        max_grad_norm: Some(1.0),
        save_steps: None,
        objective: InfoNce {
            temperature: 0.05,
            symmetric: false,
            mask_duplicates: false,
        },
        grad_cache: GradCache {
            query_chunk: Some(8),
            target_chunk: Some(8),
        },
        adamw: AdamWOptions::default(),
    }
}

#[test]
fn sixteen_pairs_are_learned_by_heart() -> Result {
    let batch = Batch {
        examples: examples(1, 16, 1, false),
        sources: vec![("pairs".to_owned(), 16)],
    };
    for (trainable, learning_rate) in [
        (Trainable::All, 2e-3),
        (adapter(false, 0.05, &TEXT), 1e-2),
        (adapter(true, 0.05, &TEXT), 1e-2),
    ] {
        let twin = twin(&trainable)?;
        let options = options(40, learning_rate);
        let score = |twin: &Twin| {
            options
                .grad_cache
                .gradients(twin, &batch.examples, &options.objective, None)
        };
        let before = score(&twin)?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let checkpoints = Checkpoints::open(folder.path(), None)?;
        let mut same = std::iter::repeat_with(|| {
            Ok(Drawn {
                batch: batch.clone(),
                position: Value::Null,
            })
        });
        let saved = Parameters(&twin);
        let mut trainer = Trainer::new(&twin, &saved, &checkpoints, options.clone(), Map::new())?;
        trainer.run(&mut same, &mut Log::default(), &GO)?;
        let after = score(&twin)?;
        let told = format!(
            "{trainable:?}: {} {} to {} {}",
            before.loss, before.accuracy, after.loss, after.accuracy
        );
        assert!(before.accuracy < 0.7, "{told}");
        assert!(after.accuracy == 1.0 && after.loss < 0.1 * before.loss, "{told}");
    }
    Ok(())
}

#[test]
fn a_resumed_run_of_the_twin_computes_the_same_to_the_last_bit() -> Result {
    let options = TrainOptions {
        save_steps: Some(4),
        gradient_accumulation_steps: 2,
        ..options(10, 1e-2)
    };
    let batches = |position: &Value| {
        let start = position.as_u64().unwrap_or(0);
        (start..).map(|index| {
            let batch = Batch {
                examples: examples(100 + index, 6, 2, true),
                sources: Vec::new(),
            };
            Ok(Drawn {
                batch,
                position: json!(index + 1),
            })
        })
    };
    for trainable in [Trainable::All, adapter(true, 0.1, &["q_proj", "v_proj", "qkv"])] {
        let (one, other) = (
            tempfile::tempdir().expect("a folder"),
            tempfile::tempdir().expect("a folder"),
        );
        let run = |folder: &Path, from: Option<&Checkpoint>| -> Result<(Twin, Vec<StepReport>)> {
            let twin = twin(&trainable)?;
            let saved = Parameters(&twin);
            let checkpoints = Checkpoints::open(folder, None)?;
            let mut trainer = Trainer::new(&twin, &saved, &checkpoints, options.clone(), Map::new())?;
            if let Some(from) = from {
                trainer.resume(from)?;
            }
            let (mut log, mut batches) = (Log::default(), batches(&trainer.state().position));
            assert_eq!(trainer.run(&mut batches, &mut log, &GO)?, Ended::Finished { step: 10 });
            drop(trainer);
            Ok((twin, log.0))
        };
        let (through, all) = run(one.path(), None)?;
        let from = Checkpoint::open(&one.path().join("checkpoint-4"))?;
        let (again, rest) = run(other.path(), Some(&from))?;
        let losses = |steps: &[StepReport]| -> Vec<u32> { steps.iter().map(|step| step.loss.to_bits()).collect() };
        assert_eq!(losses(&rest), losses(&all[4..]), "{trainable:?}");
        for (one, other) in through.parameters().iter().zip(again.parameters()) {
            let bits = |numbers: Vec<f32>| numbers.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let (one_bits, other_bits) = (
                bits(whole_batch::numbers(&one.var)),
                bits(whole_batch::numbers(&other.var)),
            );
            assert!(one_bits == other_bits, "{}", one.name);
        }
        assert!(!GO.load(Ordering::SeqCst));
    }
    Ok(())
}
