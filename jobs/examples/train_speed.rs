//! How fast a small model trains on this machine: whole batches through the differentiable twin, there and back.
//!
//!     cargo run --release --example train_speed -- [ROUNDS] [plain] [checkpoints] [chunk=N]
//!
//! A batch is 64 images of 112 x 112 pixels with an instruction and 192 texts: what the demo's recipe looks like. It prints pairs
//! per second by the clock and by the processor's time (which is what counts on a machine with other work), and the most memory
//! that the process had.

use std::time::Instant;

use candle_core::{DType, Device};
use sightstream_jobs::objective::{GradCache, InfoNce};
use sightstream_jobs::twin::Twin;
use sightstream_jobs::{Example, JobError};
use sightstream_model::backbone::Config;
use sightstream_model::processor::{ModelInput, VisionInput, VisionKind};

const CONFIG: &str = r#"{
    "model_type": "qwen2_vl", "vocab_size": 512, "hidden_size": 256, "intermediate_size": 448, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 1, "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]},
    "image_token_id": 510, "video_token_id": 511, "vision_start_token_id": 509,
    "vision_config": {"depth": 3, "embed_dim": 128, "num_heads": 4, "hidden_size": 256}
}"#;

/// Pairs in a batch, and texts for each: the right one and two that nearly are.
const PAIRS: usize = 64;
const TEXTS: usize = 3;

fn text(seed: usize, tokens: usize) -> ModelInput {
    let ids = (0..tokens).map(|place| ((seed * 37 + place * 11) % 500) as u32);
    ModelInput {
        token_ids: ids.collect(),
        vision: None,
    }
}

fn image(seed: usize) -> ModelInput {
    let numbers = 8 * 8 * 1176;
    let patches = (0..numbers).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0);
    let mut token_ids = vec![510; 16];
    token_ids.extend(text(seed, 6).token_ids);
    ModelInput {
        token_ids,
        vision: Some(VisionInput {
            kind: VisionKind::Image,
            patches: patches.collect(),
            grid_thw: [1, 8, 8],
        }),
    }
}

/// The process's processor time, in seconds.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    // Ticks of a hundredth of a second, in user and in system mode.
    fields
        .get(13..15)
        .map_or(0.0, |ticks| ticks.iter().sum::<f64>() / 100.0)
}

/// The most memory that the process had, in megabytes.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kibibytes.unwrap_or(0.0) * 1024.0 / 1e6
}

fn main() -> Result<(), JobError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let rounds: usize = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(3);
    let chunk = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("chunk=")?.parse().ok());
    let config = Config::from_json(CONFIG.as_bytes())?;
    let mut twin = Twin::random(&config, 1, DType::F32, &Device::Cpu)?;
    twin.set_plain(has("plain"));
    twin.set_checkpoints(has("checkpoints"));
    let batch: Vec<Example> = (0..PAIRS)
        .map(|pair| {
            let targets = (0..TEXTS).map(|target| text(pair * TEXTS + target, 9 + (pair + target) % 4));
            Example::new(pair as u64, image(pair), targets.collect())
        })
        .collect();
    let cache = GradCache {
        query_chunk: chunk,
        target_chunk: chunk,
    };
    let objective = InfoNce {
        temperature: 0.05,
        symmetric: true,
        mask_duplicates: false,
    };
    let step = || cache.gradients(&twin, &batch, &objective, None);
    step()?;
    let (clock, processor) = (Instant::now(), processor_time());
    for _ in 0..rounds {
        step()?;
    }
    let pairs = (rounds * PAIRS) as f64;
    println!(
        "{:.1} pairs/s, {:.2} ms of processor time a pair, {:.0} MB at most",
        pairs / clock.elapsed().as_secs_f64(),
        (processor_time() - processor) * 1e3 / pairs,
        peak_memory()
    );
    Ok(())
}
