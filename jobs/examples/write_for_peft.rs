//! Writes adapters and a merged checkpoint, with the vectors that they give here, for `jobs/reference/check_peft.py` to compare with
//! those that PEFT and transformers give.
//!
//! ```text
//! cargo run -p sightstream-jobs --example write_for_peft -- FOLDER
//! python jobs/reference/check_peft.py FOLDER/*
//! ```
//!
//! Each folder below FOLDER holds `adapter/`, `merged/` (the same as a whole checkpoint), `base` (the path of the checkpoint that the
//! adapter is for) and `inputs.safetensors`: tokens, pixels and vectors.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sightstream_jobs::adapter::{CheckpointOptions, PeftConfig, merge, write_adapter};
use sightstream_jobs::embed::Embed;
use sightstream_jobs::twin::{AdapterOptions, Trainable, Twin};
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::encoder::{DeviceChoice, DtypeChoice, Encoder, EncoderOptions};
use sightstream_model::media::Media;
use sightstream_model::processor::ModelInput;

/// Checkpoints of the model's tests, whether an adapter on them has magnitudes, and what it adapts.
const KITS: [(&str, bool, &[&str]); 3] = [
    ("grouped", false, &["q_proj", "v_proj"]),
    (
        "wide_heads",
        true,
        &[
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ],
    ),
    ("single_kv", true, &["o_proj", "down_proj", "attn.qkv", "fc1"]),
];

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let Some(to) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err("write the folder that is to be filled".into());
    };
    for (kit, use_dora, modules) in KITS {
        let folder = to.join(kit);
        fs::create_dir_all(&folder)?;
        let base = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../model/tests/fixtures")
            .join(kit)
            .canonicalize()?;
        let base = base.to_str().ok_or("the path of this repository is not UTF-8")?;
        fs::write(folder.join("base"), base)?;
        write(&folder, base, use_dora, modules)?;
        println!("{}", folder.display());
    }
    Ok(())
}

fn write(folder: &Path, base: &str, use_dora: bool, modules: &[&str]) -> Outcome<()> {
    let config = PeftConfig {
        base_model: Some(base.to_string()),
        rank: 4,
        alpha: 6.0,
        dropout: 0.1,
        target_modules: modules.iter().map(ToString::to_string).collect(),
        use_dora,
    };
    let twin = trained(base, &config)?;
    let tensors = twin.parameters().iter();
    let tensors = tensors.map(|parameter| (parameter.name.clone(), parameter.var.as_detached_tensor()));
    let adapter = folder.join("adapter");
    write_adapter(&adapter, &config, tensors)?;
    let files = CheckpointFiles::locate(Some(base))?.adapted(adapter.to_str())?;
    let merged = folder.join("merged");
    if merged.exists() {
        fs::remove_dir_all(&merged)?;
    }
    let options = CheckpointOptions {
        dtype: Some(DtypeChoice::F32),
        shard_bytes: 200_000,
        ..CheckpointOptions::default()
    };
    merge(&merged, &files, &options)?;

    let on_cpu = EncoderOptions {
        device: DeviceChoice::Cpu,
        ..EncoderOptions::default()
    };
    let encoder = Encoder::load_files(&files, &on_cpu)?;
    let inputs = inputs(&encoder)?;
    let vectors = encoder.encode(&inputs)?;
    let twins = twin.embed(&inputs.iter().collect::<Vec<_>>(), None)?.to_vec2::<f32>()?;
    let mut tensors = HashMap::new();
    for (index, ((input, vector), twin)) in inputs.iter().zip(vectors).zip(twins).enumerate() {
        let mut put = |part: &str, tensor: Tensor| tensors.insert(format!("{index}.{part}"), tensor);
        let tokens: Vec<i64> = input.token_ids.iter().map(|&id| id.into()).collect();
        put("token_ids", Tensor::new(tokens, &Device::Cpu)?);
        if let Some(vision) = &input.vision {
            let grid = vision.grid_thw.map(i64::from);
            put("grid_thw", Tensor::new(&grid, &Device::Cpu)?);
            let patches = Tensor::from_slice(&vision.patches, (vision.patch_count(), ()), &Device::Cpu)?;
            put("patches", patches);
        }
        put("vector", Tensor::new(vector, &Device::Cpu)?);
        put("twin", Tensor::new(twin, &Device::Cpu)?);
    }
    candle_core::safetensors::save(&tensors, folder.join("inputs.safetensors"))?;
    Ok(())
}

/// A twin whose adapter is no new one: its parameters are random.
fn trained(base: &str, config: &PeftConfig) -> Outcome<Twin> {
    let options = AdapterOptions {
        rank: config.rank,
        alpha: config.alpha,
        dropout: config.dropout,
        target_modules: config.target_modules.clone(),
        use_dora: config.use_dora,
        seed: 1,
    };
    let files = CheckpointFiles::locate(Some(base))?;
    let twin = Twin::load(&files, &Trainable::Adapter(options), DType::F32, &Device::Cpu)?;
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for parameter in twin.parameters() {
        let noise: Vec<f32> = (0..parameter.var.elem_count())
            .map(|_| random.random_range(-0.5..0.5))
            .collect();
        let noise = Tensor::from_vec(noise, parameter.var.dims(), &Device::Cpu)?;
        let moved = match parameter.name.contains("magnitude") {
            true => parameter.var.mul(&(noise + 1.0)?)?,
            false => noise,
        };
        parameter.var.set(&moved)?;
    }
    Ok(twin)
}

/// Texts and a drawn image.
fn inputs(encoder: &Encoder) -> Outcome<Vec<ModelInput>> {
    let image = RgbImage::from_fn(84, 56, |x, y| {
        image::Rgb([(3 * x) as u8, (4 * y) as u8, (x * y % 251) as u8])
    });
    let media = [
        (Media::Text("red bicycle near water".to_string()), None),
        (Media::Text("bicycle".to_string()), Some("Find an image that shows it:")),
        (Media::Image(image.clone()), None),
        (Media::Image(image), Some("What colour is it?")),
    ];
    let processor = encoder.processor();
    let inputs = media
        .iter()
        .map(|(media, instruction)| processor.process(media, *instruction, "an input"));
    Ok(inputs.collect::<Result<_, _>>()?)
}
