//! The batch, the checkpoints and PyTorch's gradients (jobs/reference/make_training_fixtures.py).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Tensor};
use serde::Deserialize;
use sightstream_jobs::twin::{AdapterOptions, Trainable, Twin};
use sightstream_jobs::{Embed, Parameter};
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::processor::{ModelInput, VisionInput, VisionKind};

/// Every checkpoint.
pub const KITS: [&str; 3] = ["grouped", "wide_heads", "single_kv"];

/// What the reference divides cosines by.
const TEMPERATURE: f64 = 0.07;

/// The longest a gradient is that the fixtures hold all of.
const LONGEST: usize = 1500;

#[derive(Deserialize)]
struct Item {
    token_ids: Vec<u32>,
    kind: Option<String>,
    grid: Option<[u32; 3]>,
    seed: Option<u64>,
}

#[derive(Deserialize)]
struct Items {
    queries: Vec<Item>,
    targets: Vec<Item>,
}

/// The inputs of the reference's batch.
pub struct Inputs {
    /// All, queries first.
    pub all: Vec<ModelInput>,
    /// How many are queries.
    pub queries: usize,
}

impl Inputs {
    /// The batch of the fixtures.
    pub fn load() -> Self {
        let json = std::fs::read(fixtures().join("batch.json")).expect("batch.json");
        let items: Items = serde_json::from_slice(&json).expect("a batch");
        let queries = items.queries.len();
        let all = items.queries.iter().chain(&items.targets).map(input).collect();
        Self { all, queries }
    }

    /// As a model takes them.
    pub fn borrowed(&self) -> Vec<&ModelInput> {
        self.all.iter().collect()
    }
}

fn input(item: &Item) -> ModelInput {
    let vision = item.grid.map(|grid_thw| {
        let count = grid_thw.iter().map(|&side| u64::from(side)).product::<u64>() * 1176;
        let seed = item.seed.expect("pixels have a seed");
        let number = |i: u64| (((7919 * i + 104_729 * seed) % 2003) as f64 / 1001.0 - 1.0) as f32;
        VisionInput {
            kind: match item.kind.as_deref() {
                Some("image") => VisionKind::Image,
                _ => VisionKind::Video,
            },
            patches: (0..count).map(number).collect(),
            grid_thw,
        }
    });
    ModelInput {
        token_ids: item.token_ids.clone(),
        vision,
    }
}

/// Where the fixtures of training lie.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/twin")
}

/// The directory of a checkpoint.
pub fn checkpoint(kit: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../model/tests/fixtures")
        .join(kit);
    directory.to_str().expect("a UTF-8 path").to_string()
}

/// The files of a checkpoint.
pub fn files(kit: &str) -> CheckpointFiles {
    CheckpointFiles::locate(Some(&checkpoint(kit))).expect("the kit's checkpoint")
}

/// The modules of the language model that recipes adapt.
pub const TEXT: [&str; 7] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
];

/// Modules of both towers.
pub const VISION: [&str; 8] = ["qkv", "proj", "fc1", "fc2", "mlp.0", "mlp.2", "q_proj", "v_proj"];

/// An adapter as the reference's.
pub fn options(targets: &[&str], use_dora: bool) -> AdapterOptions {
    AdapterOptions {
        rank: 4,
        alpha: 6.0,
        dropout: 0.0,
        target_modules: targets.iter().map(|target| target.to_string()).collect(),
        use_dora,
        seed: 1,
    }
}

/// A case of the fixtures.
pub fn trainable(case: &str) -> Trainable {
    match case {
        "all" => Trainable::All,
        "lora" => Trainable::Adapter(options(&TEXT, false)),
        "dora" => Trainable::Adapter(options(&TEXT, true)),
        "lora_vision" => Trainable::Adapter(options(&VISION, false)),
        "dora_vision" => Trainable::Adapter(options(&VISION, true)),
        _ => panic!("no case {case}"),
    }
}

/// Every checkpoint with each way to train that the fixtures have of it.
pub fn cases() -> Vec<(&'static str, &'static str)> {
    let mut cases = Vec::new();
    for kit in KITS {
        cases.extend(["all", "lora", "dora"].map(|case| (kit, case)));
    }
    cases.extend(["lora_vision", "dora_vision"].map(|case| ("grouped", case)));
    cases
}

/// What PyTorch made of a case.
pub struct Reference(HashMap<String, Tensor>);

impl Reference {
    /// Reads it.
    pub fn load(kit: &str, case: &str) -> Self {
        let file = fixtures().join(format!("{kit}.{case}.safetensors"));
        Self(candle_core::safetensors::load(file, &Device::Cpu).expect("a fixture"))
    }

    /// One of its tensors, as numbers.
    pub fn numbers(&self, name: &str) -> Vec<f32> {
        numbers(
            self.0
                .get(name)
                .unwrap_or_else(|| panic!("the reference has no {name}")),
        )
    }

    /// The adapter's tensors, by the names that PEFT saves them under.
    pub fn adapter(&self) -> HashMap<String, Tensor> {
        let tensors = self
            .0
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix("adapter.")?.to_string(), tensor.clone())));
        tensors.collect()
    }

    /// The names of all tensors that it has gradients of, sorted.
    pub fn trained(&self) -> Vec<&str> {
        let mut names: Vec<_> = self
            .0
            .keys()
            .filter_map(|name| name.strip_prefix("gradient."))
            .collect();
        names.sort_unstable();
        names
    }
}

/// A twin as the reference trains it, in f32 on the CPU.
pub fn twin(kit: &str, case: &str, reference: &Reference) -> Twin {
    let twin = Twin::load(&files(kit), &trainable(case), DType::F32, &Device::Cpu).expect("a twin");
    if case != "all" {
        twin.set_parameters(&reference.adapter())
            .expect("PEFT's own names and shapes");
    }
    twin
}

/// InfoNCE of unit vectors, the queries first: each against all targets.
pub fn info_nce(vectors: &Tensor, queries: usize) -> Tensor {
    let compute = || -> candle_core::Result<Tensor> {
        let targets = vectors.narrow(0, queries, vectors.dim(0)? - queries)?;
        let logits = (vectors.narrow(0, 0, queries)?.matmul(&targets.t()?)? / TEMPERATURE)?;
        let a_query = (targets.dim(0)? / queries) as u32;
        let labels: Vec<u32> = (0..queries as u32).map(|query| query * a_query).collect();
        let logits = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
        let labels = Tensor::new(labels, vectors.device())?.unsqueeze(1)?;
        logits.gather(&labels, 1)?.mean_all()?.neg()
    };
    compute().expect("computed")
}

/// The loss of the whole batch, and its gradients.
pub fn train_once(twin: &Twin, inputs: &Inputs, dropout: Option<u64>) -> (f32, Tensor, GradStore) {
    let vectors = twin.embed(&inputs.borrowed(), dropout).expect("computed");
    let loss = info_nce(&vectors, inputs.queries);
    let gradients = loss.backward().expect("differentiable");
    (loss.to_scalar().expect("one number"), vectors, gradients)
}

/// How far each parameter's gradient is from the reference's, relative to its length, and its name.
pub fn distances(parameters: &[Parameter], gradients: &GradStore, reference: &Reference) -> Vec<(f32, String)> {
    let distance = |Parameter { name, var }: &Parameter| {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
        assert_eq!(gradient.dims(), var.dims(), "{name}");
        let gradient = numbers(gradient);
        let norm = reference.numbers(&format!("norm.{name}"))[0];
        let every = gradient.len().div_ceil(LONGEST);
        let every = every + 1 - every % 2;
        let expected = reference.numbers(&format!("gradient.{name}"));
        let found: Vec<f32> = gradient.iter().step_by(every).copied().collect();
        assert_eq!(found.len(), expected.len(), "{name}");
        let share = (found.len() as f32 / gradient.len() as f32).sqrt();
        let apart = length(found.iter().zip(&expected).map(|(a, b)| a - b)) / (norm * share);
        let longer = (length(gradient.iter().copied()) - norm).abs() / norm;
        (apart.max(longer), name.clone())
    };
    parameters.iter().map(distance).collect()
}

/// All of a tensor's numbers, as f32.
pub fn numbers(tensor: &Tensor) -> Vec<f32> {
    let numbers = tensor
        .flatten_all()
        .and_then(|tensor| tensor.to_dtype(DType::F32)?.to_vec1());
    numbers.expect("floats")
}

/// The Euclidean length.
pub fn length(numbers: impl Iterator<Item = f32>) -> f32 {
    numbers.map(|number| f64::from(number).powi(2)).sum::<f64>().sqrt() as f32
}

/// The largest difference of two tensors of one shape.
pub fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let pairs = numbers(a).into_iter().zip(numbers(b));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
