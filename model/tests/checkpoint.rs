//! Loading: both weight namings, one file and shards, and errors that name the tensor or file at fault.

mod kits;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use kits::{KITS, Kit, cosine};
use serde_json::Value;
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::encoder::{DeviceChoice, Encoder, EncoderOptions};
use sightstream_model::error::ModelError;
use sightstream_model::inspect::Inspection;
use tempfile::TempDir;

/// A copy of a kit's checkpoint whose weights, all in one file, went through `change`.
fn altered(kit: &str, change: impl FnOnce(&mut HashMap<String, Tensor>)) -> TempDir {
    let from = kits::fixtures().join(kit);
    let to = tempfile::tempdir().expect("a temporary directory");
    let mut tensors = HashMap::new();
    for entry in std::fs::read_dir(&from).expect("readable") {
        let path = entry.expect("readable").path();
        let file = path.file_name().expect("a name").to_str().expect("UTF-8").to_string();
        if file.starts_with("model") && file.ends_with(".safetensors") {
            tensors.extend(candle_core::safetensors::load(&path, &Device::Cpu).expect("weights"));
        } else if file.ends_with(".json") && !file.contains("index") {
            std::fs::copy(&path, to.path().join(file)).expect("copied");
        }
    }
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, to.path().join("model.safetensors")).expect("saved");
    to
}

fn load(directory: &Path) -> Result<Encoder, ModelError> {
    let model = directory.to_str().map(str::to_string);
    Encoder::load(&EncoderOptions {
        model,
        device: DeviceChoice::Cpu,
        ..EncoderOptions::default()
    })
}

fn fingerprint(directory: &Path) -> String {
    let files = CheckpointFiles::locate(directory.to_str()).expect("a checkpoint");
    files.fingerprint().expect("hashed")
}

#[test]
fn a_missing_tensor_is_named() {
    for (kit, name) in [
        ("grouped", "visual.blocks.1.attn.qkv.bias"),
        ("grouped", "model.layers.2.mlp.up_proj.weight"),
        ("grouped", "model.embed_tokens.weight"),
        ("wide_heads", "model.visual.blocks.1.attn.qkv.bias"),
        ("wide_heads", "model.language_model.layers.1.mlp.up_proj.weight"),
        ("wide_heads", "model.language_model.embed_tokens.weight"),
    ] {
        let directory = altered(kit, |tensors| drop(tensors.remove(name).expect("was there")));
        let error = load(directory.path()).expect_err(name);
        assert!(
            matches!(&error, ModelError::MissingTensor { name: missing, .. } if missing == name),
            "{error}"
        );
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }
}

#[test]
fn a_misshapen_tensor_is_named_with_both_shapes() {
    let name = "model.layers.0.self_attn.k_proj.weight";
    let directory = altered("grouped", |tensors| {
        let narrow = tensors[name]
            .narrow(0, 0, 31)
            .and_then(|tensor| tensor.contiguous())
            .expect("narrowed");
        tensors.insert(name.to_string(), narrow);
    });
    let error = load(directory.path()).expect_err("refused").to_string();
    assert!(
        error.contains(name) && error.contains("[31, 64]") && error.contains("[32, 64]"),
        "{error}"
    );
}

#[test]
fn files_that_contradict_each_other_are_refused_with_both_values() {
    for (file, field, value, named) in [
        (
            "preprocessor_config.json",
            "/patch_size",
            16,
            ["`patch_size` is 16", "`vision_config.patch_size` is 14"],
        ),
        (
            "preprocessor_config.json",
            "/temporal_patch_size",
            1,
            ["`temporal_patch_size` is 1", "`vision_config.temporal_patch_size` is 2"],
        ),
        (
            "preprocessor_config.json",
            "/merge_size",
            4,
            ["`merge_size` is 4", "`vision_config.spatial_merge_size` is 2"],
        ),
        (
            "config.json",
            "/image_token_id",
            765,
            ["`<|image_pad|>` is 766", "`image_token_id` is 765"],
        ),
        (
            "config.json",
            "/video_token_id",
            765,
            ["`<|video_pad|>` is 767", "`video_token_id` is 765"],
        ),
    ] {
        let directory = altered("grouped", |_| ());
        let path = directory.path().join(file);
        let mut content: Value = serde_json::from_slice(&std::fs::read(&path).expect(file)).expect(file);
        *content.pointer_mut(field).expect(field) = value.into();
        std::fs::write(&path, content.to_string()).expect(file);
        let error = load(directory.path()).expect_err(field);
        assert!(matches!(error, ModelError::Config { .. }), "{error}");
        let error = error.to_string();
        assert!(named.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn a_missing_shard_and_a_cut_off_file_are_named() {
    let shard = "model-00002-of-00003.safetensors";
    let directory = tempfile::tempdir().expect("a temporary directory");
    for entry in std::fs::read_dir(kits::fixtures().join("wide_heads")).expect("readable") {
        let path = entry.expect("readable").path();
        let file = path.file_name().expect("a name");
        if file != shard {
            std::fs::copy(&path, directory.path().join(file)).expect("copied");
        }
    }
    let error = load(directory.path()).expect_err("refused").to_string();
    assert!(error.contains(shard), "{error}");
    let whole = std::fs::read(kits::fixtures().join("wide_heads").join(shard)).expect("readable");
    std::fs::write(directory.path().join(shard), &whole[..whole.len() - 1]).expect("written");
    let error = load(directory.path()).expect_err("refused").to_string();
    assert!(error.contains(shard) && error.contains("incomplete"), "{error}");
}

#[test]
fn both_ways_to_name_the_weights_give_the_same_vectors() {
    let kit = Kit::load("grouped", None);
    let directory = altered("grouped", |tensors| {
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(name, tensor)| match name.strip_prefix("model.") {
                Some(rest) => (format!("model.language_model.{rest}"), tensor),
                None => (format!("model.{name}"), tensor),
            })
            .collect();
    });
    let renamed = load(directory.path()).expect("loads");
    let inputs = kit.inputs();
    let (ours, theirs) = (
        kit.encoder.encode(&inputs).expect("encoded"),
        renamed.encode(&inputs).expect("encoded"),
    );
    for (a, b) in ours.iter().zip(&theirs) {
        assert!(cosine(a, b) > 0.999999);
    }
}

#[test]
fn the_fingerprint_follows_the_weights_and_not_how_they_are_cut_into_files() {
    let mut seen: Vec<String> = KITS
        .iter()
        .map(|kit| fingerprint(&kits::fixtures().join(kit)))
        .collect();
    seen.push(
        CheckpointFiles::locate(None)
            .and_then(|files| files.fingerprint())
            .expect("hashed"),
    );
    let rejoined = altered("wide_heads", |_| ());
    assert_eq!(fingerprint(rejoined.path()), seen[1]);
    let moved = altered("wide_heads", |tensors| {
        let bias = tensors
            .get_mut("model.language_model.layers.0.self_attn.q_proj.bias")
            .expect("was there");
        *bias = bias.affine(1.0, 0.01).expect("moved");
    });
    seen.push(fingerprint(moved.path()));
    std::fs::write(rejoined.path().join("preprocessor_config.json"), "{}").expect("written");
    seen.push(fingerprint(rejoined.path()));
    let mut distinct = seen.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), seen.len(), "{seen:?}");
    assert!(
        seen.iter()
            .all(|digits| digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    );
}

/// More than any machine that runs this has memory for, in a file of which next to nothing is on the disk.
#[test]
fn a_checkpoint_is_looked_at_without_its_weights() {
    const WIDE: usize = 1 << 26;
    let directory = altered("grouped", |_| {});
    let config = directory.path().join("config.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&config).expect("readable")).expect("JSON");
    let narrow = json["intermediate_size"].as_u64().expect("a number") as usize;
    json["intermediate_size"] = WIDE.into();
    std::fs::write(&config, json.to_string()).expect("written");

    let weights = directory.path().join("model.safetensors");
    let bytes = std::fs::read(&weights).expect("readable");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let mut header: serde_json::Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
    let mut end = 0;
    for (name, tensor) in header.iter_mut().filter(|(name, _)| *name != "__metadata__") {
        let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).expect("numbers");
        let is_inner = name.contains(".mlp.") && !name.contains("visual");
        let widened = |side: &usize| if is_inner && *side == narrow { WIDE } else { *side };
        let shape: Vec<usize> = shape.iter().map(widened).collect();
        let start = end;
        end += shape.iter().product::<usize>() * 4;
        tensor["dtype"] = "F32".into();
        tensor["shape"] = shape.into();
        tensor["data_offsets"] = vec![start, end].into();
    }
    assert!(end > 100 << 30, "{end} bytes");
    let header = serde_json::to_vec(&header).expect("JSON");
    let mut sparse = (header.len() as u64).to_le_bytes().to_vec();
    sparse.extend(&header);
    std::fs::write(&weights, &sparse).expect("written");
    let file = std::fs::File::options().write(true).open(&weights).expect("writable");
    file.set_len((sparse.len() + end) as u64)
        .expect("there is room for a hole");

    let files = CheckpointFiles::locate(directory.path().to_str()).expect("a checkpoint");
    let options = EncoderOptions {
        device: DeviceChoice::Cpu,
        ..EncoderOptions::default()
    };
    let seen = Inspection::of(&files, &options).expect("it has all that an encoder needs");
    assert!(seen.weight_bytes > 100 << 30, "{seen:?}");
}
