//! Adapters and checkpoints that are written load to the vectors that they stand for. That PEFT and transformers load them to the
//! same ones is checked by hand: jobs/examples/write_for_peft.rs, jobs/reference/check_peft.py.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::safetensors::load;
use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde_json::Value;
use sightstream_jobs::JobError;
use sightstream_jobs::adapter::{CheckpointOptions, PeftConfig, merge, write_adapter, write_checkpoint};
use sightstream_jobs::whole::whole_directory;
use sightstream_model::checkpoint::{Adapter, CheckpointFiles};
use sightstream_model::encoder::{DeviceChoice, DtypeChoice, Encoder, EncoderOptions};
use sightstream_model::media::Media;
use sightstream_model::processor::ModelInput;
use tempfile::TempDir;

/// Adapters that PEFT made, and the checkpoints that they were made on.
const ADAPTERS: [(&str, &str); 4] = [
    ("lora", "grouped"),
    ("dora", "wide_heads"),
    ("patterns", "single_kv"),
    ("dora_all", "single_kv"),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures")
}

fn files(directory: &Path) -> CheckpointFiles {
    CheckpointFiles::locate(directory.to_str()).expect("a checkpoint")
}

fn adapted(kit: &str, adapter: &Path) -> CheckpointFiles {
    files(&fixtures().join(kit)).adapted(adapter.to_str()).expect("it fits")
}

fn encoder(files: &CheckpointFiles) -> Encoder {
    let options = EncoderOptions {
        device: DeviceChoice::Cpu,
        ..EncoderOptions::default()
    };
    Encoder::load_files(files, &options).expect("it loads")
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Texts and images of a kit, with the names of their cases.
fn inputs(kit: &str, encoder: &Encoder) -> Vec<(String, ModelInput)> {
    let cases = fs::read(fixtures().join(kit).join("cases.json")).expect("readable");
    let cases: Vec<Value> = serde_json::from_slice(&cases).expect("JSON");
    let lossless = |case: &&Value| !case["image"].as_str().is_some_and(|file| file.ends_with(".jpg"));
    let media = cases.iter().filter(lossless).filter_map(|case| {
        let media = match case["kind"].as_str()? {
            "text" => Media::Text(case["text"].as_str()?.to_string()),
            "image" => {
                let file = fixtures().join("media").join(case["image"].as_str()?);
                Media::Image(image::open(file).expect("an image").into_rgb8())
            }
            _ => return None,
        };
        Some((case, media))
    });
    let processor = encoder.processor();
    media
        .map(|(case, media)| {
            let name = case["name"].as_str().expect("a name").to_string();
            let input = processor.process(&media, case["instruction"].as_str(), &name);
            (name, input.expect("a valid input"))
        })
        .collect()
}

/// The least cosine between the vectors of two checkpoints.
fn likeness(kit: &str, ours: &Encoder, theirs: &Encoder) -> f64 {
    let inputs: Vec<ModelInput> = inputs(kit, theirs).into_iter().map(|(_, input)| input).collect();
    assert!(inputs.len() > 5, "{kit}");
    let vectors = |encoder: &Encoder| encoder.encode(&inputs).expect("encoded");
    let pairs = vectors(ours).into_iter().zip(vectors(theirs));
    pairs.map(|(ours, theirs)| cosine(&ours, &theirs)).fold(1.0, f64::min)
}

/// Every tensor of a checkpoint.
fn weights(files: &CheckpointFiles) -> HashMap<String, Tensor> {
    let tensors = files.weights().tensors().map(|(name, info, data)| {
        let dtype = info.dtype.try_into().expect("floats");
        let tensor = Tensor::from_raw_buffer(data, dtype, &info.shape, &Device::Cpu);
        (name.to_string(), tensor.expect("a tensor"))
    });
    tensors.collect()
}

fn random(generator: &mut ChaCha8Rng, shape: &[usize], scale: f32) -> Tensor {
    let mut number = || scale * Distribution::<f32>::sample(&StandardNormal, generator);
    let numbers: Vec<f32> = (0..shape.iter().product::<usize>()).map(|_| number()).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).expect("as many numbers")
}

const RANK: usize = 4;

fn config(use_dora: bool) -> PeftConfig {
    PeftConfig {
        base_model: Some("somewhere".to_string()),
        rank: RANK,
        alpha: 6.0,
        dropout: 0.1,
        target_modules: vec!["q_proj".to_string(), "down_proj".to_string()],
        use_dora,
    }
}

/// An adapter on `q_proj` and `down_proj`, and all weights with it in them, by the definition.
fn random_adapter(base: &CheckpointFiles, use_dora: bool) -> (Vec<(String, Tensor)>, HashMap<String, Tensor>) {
    let mut generator = ChaCha8Rng::seed_from_u64(u64::from(use_dora));
    let mut weights = weights(base);
    let mut names: Vec<String> = weights.keys().cloned().collect();
    names.sort();
    let mut adapter = Vec::new();
    for name in names {
        let Some(module) = name.strip_suffix(".weight") else {
            continue;
        };
        if !module.ends_with(".q_proj") && !module.ends_with(".down_proj") {
            continue;
        }
        let weight = weights[&name].to_dtype(DType::F32).expect("converted");
        let (outputs, inputs) = weight.dims2().expect("a matrix");
        let down = random(&mut generator, &[RANK, inputs], (inputs as f32).powf(-0.5));
        let up = random(&mut generator, &[outputs, RANK], 0.3);
        let magnitude = (random(&mut generator, &[outputs], 0.2) + 1.5).expect("a sum");
        let change = |weight: &Tensor| -> candle_core::Result<Tensor> {
            let sum = (weight + (up.matmul(&down)? * 1.5)?)?;
            if !use_dora {
                return Ok(sum);
            }
            let rows = sum.sqr()?.sum(1)?.sqrt()?;
            sum.broadcast_mul(&(&magnitude / rows)?.reshape((outputs, 1))?)
        };
        weights.insert(name.clone(), change(&weight).expect("computed"));
        let part = |part: &str| format!("base_model.model.{module}.{part}");
        adapter.push((part("lora_A.weight"), down));
        adapter.push((part("lora_B.weight"), up));
        if use_dora {
            adapter.push((part("lora_magnitude_vector"), magnitude));
        }
    }
    (adapter, weights)
}

#[test]
fn a_written_adapter_loads_to_the_vectors_of_the_weights_that_it_stands_for() {
    for (kit, use_dora) in [("grouped", false), ("wide_heads", true), ("single_kv", true)] {
        let base = files(&fixtures().join(kit));
        let (tensors, merged) = random_adapter(&base, use_dora);
        let folder = folder();
        let (adapter, whole) = (folder.path().join("adapter"), folder.path().join("whole"));
        write_adapter(&adapter, &config(use_dora), tensors.clone()).expect("written");
        let all_f32 = CheckpointOptions {
            dtype: Some(DtypeChoice::F32),
            ..CheckpointOptions::default()
        };
        let written = write_checkpoint(&whole, &base, merged, &all_f32).expect("written");
        assert_eq!(written.tensors, base.weights().tensors().count());
        let (ours, theirs) = (encoder(&adapted(kit, &adapter)), encoder(&files(&whole)));
        let (same, moved) = (likeness(kit, &ours, &theirs), likeness(kit, &ours, &encoder(&base)));
        assert!(same > 0.99999 && moved < 0.9, "{kit}: {same} {moved}");

        // What a training continues with.
        let read = Adapter::open("again", &adapter).expect("readable");
        let config = read.config();
        assert_eq!(
            (config.rank, config.alpha, config.dropout, config.use_dora),
            (RANK, 6.0, 0.1, use_dora)
        );
        assert_eq!(config.base_model.as_deref(), Some("somewhere"));
        assert_eq!(read.tensors().count(), tensors.len());
        // The names are those of PEFT on transformers 4.57, whatever the base's files have.
        for (name, ..) in read.tensors() {
            assert!(
                name.starts_with("base_model.model.model.language_model.layers."),
                "{name}"
            );
        }
    }
}

#[test]
fn a_merged_checkpoint_gives_the_vectors_of_peft() {
    for (name, kit) in ADAPTERS {
        let adapter = fixtures().join("adapters").join(name);
        let vectors = load(adapter.join("vectors.safetensors"), &Device::Cpu).expect("readable");
        let folder = folder();
        for (dtype, least) in [(Some(DtypeChoice::F32), 0.99999), (None, 0.999)] {
            let to = folder.path().join(format!("{name}-{dtype:?}"));
            let options = CheckpointOptions {
                dtype,
                ..CheckpointOptions::default()
            };
            let written = merge(&to, &adapted(kit, &adapter), &options).expect("merged");
            assert!(written.merged > 0 && written.files == 1, "{written:?}");
            let merged = encoder(&files(&to));
            let inputs: Vec<_> = inputs(kit, &merged)
                .into_iter()
                .filter(|(case, _)| vectors.contains_key(case))
                .collect();
            assert_eq!(inputs.len(), 5, "{name}");
            for (case, input) in inputs {
                let ours = merged.encode(&[input]).expect("encoded").remove(0);
                let theirs = vectors[&case].to_vec1::<f32>().expect("a vector");
                let likeness = cosine(&ours, &theirs);
                assert!(likeness > least, "{name}, {dtype:?}, {case}: {likeness}");
            }
        }
    }
}

#[test]
fn what_an_adapter_does_not_touch_is_copied_to_the_byte() {
    let adapter = fixtures().join("adapters/lora");
    let (base, folder) = (files(&fixtures().join("grouped")), folder());
    let to = folder.path().join("merged");
    let written = merge(&to, &adapted("grouped", &adapter), &CheckpointOptions::default()).expect("merged");
    let merged = files(&to);
    let changed: Vec<&str> = base
        .weights()
        .tensors()
        .filter(|(name, info, data)| {
            let (found, other) = merged.weights().tensor(name).expect("there too");
            assert_eq!((info.dtype, &info.shape), (found.dtype, &found.shape), "{name}");
            *data != other
        })
        .map(|(name, ..)| name)
        .collect();
    // q_proj and v_proj of three layers.
    assert_eq!((changed.len(), written.merged), (6, 6), "{changed:?}");
    assert!(
        changed
            .iter()
            .all(|name| name.contains("q_proj") || name.contains("v_proj")),
        "{changed:?}"
    );
    for file in ["config.json", "tokenizer.json", "preprocessor_config.json"] {
        let theirs = base.read_required(file).expect("there");
        assert_eq!(fs::read(to.join(file)).expect("copied"), *theirs, "{file}");
    }
}

#[test]
fn shards_hold_what_one_file_holds() {
    let (base, folder) = (files(&fixtures().join("wide_heads")), folder());
    let to = folder.path().join("cut");
    let options = CheckpointOptions {
        shard_bytes: 100_000,
        ..CheckpointOptions::default()
    };
    let written = merge(&to, &base, &options).expect("written");
    assert!(written.files > 3, "{written:?}");
    assert_eq!(written.merged, 0);
    let again = files(&to);
    // Names, types, shapes and numbers of all tensors, and the small files.
    assert_eq!(
        again.fingerprint().expect("hashed"),
        base.fingerprint().expect("hashed")
    );
    let index: Value =
        serde_json::from_slice(&fs::read(to.join("model.safetensors.index.json")).expect("there")).expect("JSON");
    assert_eq!(index["metadata"]["total_size"], written.bytes);
    assert_eq!(index["weight_map"].as_object().expect("a map").len(), written.tensors);
    for (name, file) in index["weight_map"].as_object().expect("a map") {
        let shard = load(to.join(file.as_str().expect("a name")), &Device::Cpu).expect("a shard");
        let bytes: usize = shard
            .values()
            .map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes())
            .sum();
        assert!(
            shard.contains_key(name) && (bytes <= 100_000 || shard.len() == 1),
            "{name}: {bytes}"
        );
    }
}

#[test]
fn another_type_is_told_in_the_configuration_and_must_hold_the_numbers() {
    let (base, folder) = (files(&fixtures().join("grouped")), folder());
    let half = |dtype| CheckpointOptions {
        dtype: Some(dtype),
        ..CheckpointOptions::default()
    };
    let to = folder.path().join("half");
    let written = merge(&to, &base, &half(DtypeChoice::F16)).expect("written");
    let parameters: usize = weights(&base).values().map(Tensor::elem_count).sum();
    assert_eq!(written.bytes, 2 * parameters as u64);
    let config: Value = serde_json::from_slice(&fs::read(to.join("config.json")).expect("there")).expect("JSON");
    assert_eq!(config["torch_dtype"], "float16");
    let same = likeness("grouped", &encoder(&files(&to)), &encoder(&base));
    assert!(same > 0.999, "{same}");

    let name = "model.layers.0.mlp.up_proj.weight";
    let mut large = weights(&base);
    let weight = (&large[name] * 1e6).expect("larger");
    large.insert(name.to_string(), weight);
    let to = folder.path().join("large");
    let error = write_checkpoint(&to, &base, large.clone(), &half(DtypeChoice::F16)).expect_err("beyond f16");
    assert!(matches!(error, JobError::Config(_)), "{error}");
    assert!(
        error.to_string().contains(name) && error.to_string().contains("bf16"),
        "{error}"
    );
    // Nothing that looks like a checkpoint is left, and nothing that was begun.
    let left: Vec<_> = fs::read_dir(&to).expect("the folder").collect();
    assert!(left.is_empty(), "{left:?}");
    write_checkpoint(&to, &base, large, &half(DtypeChoice::Bf16)).expect("bf16 reaches further");
}

#[test]
fn a_checkpoint_that_is_written_as_it_was_read_is_the_same_one() {
    let (base, folder) = (files(&fixtures().join("grouped")), folder());
    let to = folder.path().join("again");
    for _ in 0..2 {
        // Over an older one of the same kind, as at the end of a run that is resumed.
        write_checkpoint(&to, &base, weights(&base), &CheckpointOptions::default()).expect("written");
        assert_eq!(
            files(&to).fingerprint().expect("hashed"),
            base.fingerprint().expect("hashed")
        );
    }
    let cut = CheckpointOptions {
        shard_bytes: 10_000,
        ..CheckpointOptions::default()
    };
    let error = write_checkpoint(&to, &base, weights(&base), &cut).expect_err("one file lies there");
    assert!(
        error.to_string().contains("model.safetensors of another checkpoint"),
        "{error}"
    );
    assert_eq!(
        files(&to).fingerprint().expect("hashed"),
        base.fingerprint().expect("hashed")
    );
}

#[test]
fn a_directory_is_whole_or_absent() {
    let folder = folder();
    let to = folder.path().join("new/merged");
    let error = whole_directory(&to, |aside| -> Result<(), JobError> {
        fs::write(aside.join("begun"), "half of it").expect("written");
        Err(JobError::Config("no more".to_string()))
    });
    assert!(error.is_err_and(|error| error.to_string() == "no more"));
    let left: Vec<_> = fs::read_dir(folder.path().join("new")).expect("made").collect();
    assert!(left.is_empty(), "{left:?}");
    let written = whole_directory(&to, |aside| {
        assert!(!to.exists(), "it has its name when it is whole");
        fs::write(aside.join("file"), "all of it").expect("written");
        Ok(7)
    });
    assert_eq!(written.expect("written"), 7);
    assert_eq!(fs::read_to_string(to.join("file")).expect("there"), "all of it");
    let error = whole_directory(&to, |_| -> Result<(), JobError> { panic!("it is not asked to write") });
    assert!(error.is_err_and(|error| error.to_string().contains("holds files already")));
    let entries: Vec<_> = fs::read_dir(folder.path().join("new")).expect("there").collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
}

#[test]
fn a_tensor_that_is_no_adapters_is_refused_by_name() {
    let folder = folder();
    let tensor = Tensor::zeros((2, 2), DType::F32, &Device::Cpu).expect("zeros");
    for name in [
        "model.layers.0.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.norm.weight",
    ] {
        let error = write_adapter(folder.path(), &config(false), [(name.to_string(), tensor.clone())]);
        assert!(error.is_err_and(|error| error.to_string().contains(name)), "{name}");
    }
    let twice = ["model.layers.0", "model.language_model.layers.0"].map(|layer| {
        (
            format!("base_model.model.{layer}.mlp.up_proj.lora_A.weight"),
            tensor.clone(),
        )
    });
    let error = write_adapter(folder.path(), &config(false), twice).expect_err("one name");
    assert!(error.to_string().contains("there twice"), "{error}");
    assert!(write_adapter(folder.path(), &config(false), []).is_err());
    assert!(fs::read_dir(folder.path()).expect("there").next().is_none());
}
