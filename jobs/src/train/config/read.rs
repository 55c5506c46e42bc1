//! From nodes to a [`TrainConfig`].

use sightstream_model::encoder::{DeviceChoice, DtypeChoice};

use super::checks;
use super::dataset::{self, word};
use super::fields::{
    Fields, below_one, count, count_or_none, flag, not_negative, path, pixels, positive, share, text, whole, words,
};
use super::node::{Node, Value};
use super::problem::{Place, Problem};
use super::{FromScratch, Length, LoraConfig, Start, TrainConfig};
use crate::data::{DatasetOptions, Stopping};
use crate::optimiser::{AdamWOptions, ScheduleKind};

/// The modules that VLM2Vec-V2 adapts.
const TARGET_MODULES: [&str; 7] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
];

/// The configuration that `root` holds. What is wrong goes to `problems`; only without any does the configuration hold.
pub(super) fn config(root: Node, problems: &mut Vec<Problem>) -> TrainConfig {
    let mut fields = Fields::of("", root);
    let config = top(&mut fields, problems);
    checks::together(&config, &mut fields);
    problems.extend(fields.finish());
    config
}

/// Every key, with the prefix of the mapping that it stands in.
pub(super) fn keys() -> Vec<String> {
    let nothing = || Node {
        place: Place::File,
        value: Value::Map(Vec::new()),
    };
    let mut top_level = Fields::of("", nothing());
    let mut passed_over = Vec::new();
    top(&mut top_level, &mut passed_over);
    let mut scratch = Fields::of("from_scratch.", nothing());
    from_scratch(&mut scratch);
    let mut dataset = Fields::of("datasets.", nothing());
    dataset::read(&mut dataset);
    [top_level, scratch, dataset].iter().flat_map(Fields::known).collect()
}

/// A default stands for what is missing or wrong, which is a problem already, so that the rest can be judged too.
fn top(fields: &mut Fields, problems: &mut Vec<Problem>) -> TrainConfig {
    let start = start(fields, problems);
    let scratch = matches!(start, Some(Start::Scratch(_)));
    let adapter = fields.read("adapter", text);
    let lora = lora(fields, scratch, adapter.is_some());
    let output_dir = fields.require("output_dir", "name the folder of what the run makes", path);
    let batch_size = fields.read("batch_size", count).unwrap_or(1024);
    let length = length(fields);
    let chunk = |chunk: usize| (chunk > 0).then_some(chunk);
    let moments = AdamWOptions::default();
    TrainConfig {
        start: start.unwrap_or(Start::Checkpoint(String::new())),
        adapter,
        lora,
        output_dir: output_dir.unwrap_or_default(),
        seed: fields.read("seed", whole).unwrap_or(42),
        batch_size,
        sub_batch_size: fields.read("sub_batch_size", count).unwrap_or(batch_size.min(64)),
        num_hard_negatives: fields.read("num_hard_negatives", count_or_none).unwrap_or(0),
        length: length.unwrap_or(Length::Epochs(1)),
        stopping_strategy: fields.read("stopping_strategy", word).unwrap_or(Stopping::AllExhausted),
        learning_rate: fields.read("learning_rate", positive).unwrap_or(5e-5),
        lr_scheduler: fields
            .read("lr_scheduler", lr_scheduler)
            .unwrap_or(ScheduleKind::Linear),
        lr_decay_steps: fields.read("lr_decay_steps", whole),
        warmup_steps: fields.read("warmup_steps", whole),
        adam_beta1: fields.read("adam_beta1", below_one).unwrap_or(moments.beta1),
        adam_beta2: fields.read("adam_beta2", below_one).unwrap_or(moments.beta2),
        weight_decay: fields.read("weight_decay", not_negative).unwrap_or(0.0),
        max_grad_norm: Some(fields.read("max_grad_norm", not_negative).unwrap_or(1.0)).filter(|norm| *norm > 0.0),
        gradient_accumulation_steps: fields.read("gradient_accumulation_steps", count).unwrap_or(1),
        temperature: fields.read("temperature", positive).unwrap_or(0.02),
        symmetric: fields.read("symmetric", flag).unwrap_or(false),
        mask_duplicates: fields.read("mask_duplicates", flag).unwrap_or(false),
        gc_q_chunk_size: chunk(fields.read("gc_q_chunk_size", count_or_none).unwrap_or(8)),
        gc_p_chunk_size: chunk(fields.read("gc_p_chunk_size", count_or_none).unwrap_or(8)),
        save_steps: Some(fields.read("save_steps", whole).unwrap_or(500)).filter(|steps| *steps > 0),
        save_total_limit: fields.read("save_total_limit", count),
        logging_steps: fields.read("logging_steps", count).unwrap_or(10) as u64,
        device: fields.read("device", device).unwrap_or(DeviceChoice::Auto),
        dtype: fields.read("dtype", dtype),
        workers: fields.read("workers", count),
        max_bad_share: fields.read("max_bad_share", share).unwrap_or(0.01),
        min_pixels: fields.read("min_pixels", pixels),
        max_pixels: fields.read("max_pixels", pixels),
        video_frames: fields.read("video_frames", frames).unwrap_or(8),
        page_dpi: fields.read("page_dpi", dpi).unwrap_or(300.0),
        gradient_checkpointing: fields.read("gradient_checkpointing", flag).unwrap_or(false),
        datasets: datasets(fields, problems),
    }
}

/// `model_name` or `from_scratch`.
fn start(fields: &mut Fields, problems: &mut Vec<Problem>) -> Option<Start> {
    let model_name = fields.read("model_name", text);
    let scratch = fields.take("from_scratch").and_then(|node| {
        let mut inner = Fields::of("from_scratch.", node);
        let scratch = from_scratch(&mut inner);
        problems.extend(inner.finish());
        scratch
    });
    match (fields.has("model_name"), fields.has("from_scratch")) {
        (true, true) => fields.refuse(
            "from_scratch",
            "and model_name are both there; a run starts from one of them",
        ),
        (false, false) => fields.refuse(
            "model_name",
            "is missing; name the checkpoint to start from, a folder or a Hugging Face id, or write from_scratch",
        ),
        _ => {}
    }
    model_name.map(Start::Checkpoint).or(scratch.map(Start::Scratch))
}

fn from_scratch(fields: &mut Fields) -> Option<FromScratch> {
    let mut file = |key, wanted| {
        let file = fields.require(key, wanted, path);
        if let Some(file) = &file {
            checks::is_file(fields, key, file);
        }
        file
    };
    let config = file("config", "name a config.json");
    let tokenizer = file("tokenizer", "name a tokenizer.json");
    let preprocessor = file("preprocessor", "name a preprocessor_config.json");
    Some(FromScratch {
        config: config?,
        tokenizer: tokenizer?,
        preprocessor: preprocessor?,
    })
}

/// `lora` and its keys; `None` where all weights are trained.
fn lora(fields: &mut Fields, scratch: bool, adapter: bool) -> Option<LoraConfig> {
    let lora = fields.read("lora", flag).unwrap_or(!scratch);
    let config = LoraConfig {
        rank: fields.read("lora_rank", count).unwrap_or(16),
        alpha: fields.read("lora_alpha", positive).unwrap_or(64.0),
        dropout: fields.read("lora_dropout", below_one).unwrap_or(0.1),
        target_modules: fields
            .read("lora_target_modules", words)
            .unwrap_or_else(|| TARGET_MODULES.map(str::to_string).to_vec()),
        use_dora: fields.read("use_dora", flag).unwrap_or(true),
    };
    let of_lora = [
        "lora_rank",
        "lora_alpha",
        "lora_dropout",
        "lora_target_modules",
        "use_dora",
    ];
    for key in of_lora.into_iter().filter(|key| fields.has(key)).collect::<Vec<_>>() {
        if !lora {
            fields.refuse(
                key,
                "has no effect where all weights are trained; write lora: true, or leave it out",
            );
        } else if adapter {
            fields.refuse(key, "is the adapter's own, in its adapter_config.json; leave it out");
        }
    }
    if lora && scratch {
        fields.refuse(
            "lora",
            "does not go with from_scratch: random weights are trained whole; leave it out",
        );
    }
    if adapter && (scratch || !lora) {
        fields.refuse(
            "adapter",
            "is trained over a checkpoint, with lora: true; leave one out",
        );
    }
    lora.then_some(config)
}

fn length(fields: &mut Fields) -> Option<Length> {
    let steps = fields.read("max_steps", count).map(|steps| Length::Steps(steps as u64));
    let epochs = fields
        .read("num_epochs", count)
        .map(|epochs| Length::Epochs(epochs as u64));
    match (fields.has("max_steps"), fields.has("num_epochs")) {
        (true, true) => fields.refuse(
            "num_epochs",
            "and max_steps are both there; one of them says how long the run is",
        ),
        (false, false) => fields.refuse(
            "max_steps",
            "is missing; say how long the run is (VLM2Vec-V2: max_steps: 5000), or write num_epochs",
        ),
        _ => {}
    }
    steps.or(epochs)
}

fn datasets(fields: &mut Fields, problems: &mut Vec<Problem>) -> Vec<DatasetOptions> {
    let wanted = "write a list with an entry for each dataset, as in [{name: photos, path: photos.jsonl}]";
    let nodes = fields.require("datasets", wanted, |value| match value {
        Value::List(nodes) if !nodes.is_empty() => Ok(nodes.clone()),
        _ => Err(wanted.to_string()),
    });
    let mut datasets = Vec::new();
    for (at, node) in nodes.into_iter().flatten().enumerate() {
        let mut inner = Fields::of(&format!("datasets.{at}."), node);
        if let Some(dataset) = dataset::read(&mut inner) {
            let twice = datasets.iter().any(|other: &DatasetOptions| other.name == dataset.name);
            if twice {
                inner.refuse(
                    "name",
                    format!("{} is that of an earlier dataset too; choose another", dataset.name),
                );
            }
            datasets.push(dataset);
        }
        problems.extend(inner.finish());
    }
    datasets
}

fn lr_scheduler(value: &Value) -> Result<ScheduleKind, String> {
    match value {
        Value::Text(text) if text == "linear" => Ok(ScheduleKind::Linear),
        Value::Text(text) if text == "cosine" => Ok(ScheduleKind::Cosine),
        Value::Text(text) if text == "constant" => Ok(ScheduleKind::Constant),
        _ => Err("write linear, cosine or constant".to_string()),
    }
}

fn device(value: &Value) -> Result<DeviceChoice, String> {
    let wanted = || "write auto, cpu, cuda or cuda:N".to_string();
    text(value).map_err(|_| wanted())?.parse().map_err(|_| wanted())
}

fn dtype(value: &Value) -> Result<DtypeChoice, String> {
    match value {
        Value::Text(text) if text == "f32" => Ok(DtypeChoice::F32),
        Value::Text(text) if text == "bf16" => Ok(DtypeChoice::Bf16),
        _ => Err("write f32 or bf16".to_string()),
    }
}

fn frames(value: &Value) -> Result<u32, String> {
    match value {
        Value::Whole(frames @ 1..=1000) => Ok(*frames as u32),
        _ => Err("write a number of frames from 1 to 1000".to_string()),
    }
}

fn dpi(value: &Value) -> Result<f64, String> {
    match positive(value) {
        Ok(dpi) if (10.0..=2400.0).contains(&dpi) => Ok(dpi),
        _ => Err("write a number of dots per inch from 10 to 2400".to_string()),
    }
}
