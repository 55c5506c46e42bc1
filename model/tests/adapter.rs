//! Adapters: those that PEFT made give PEFT's vectors (jobs/reference/make_adapter_fixtures.py), and what cannot be merged is
//! refused by name.

mod kits;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use kits::{Kit, cosine, floats};
use serde_json::{Value, json};
use sightstream_model::checkpoint::{Adapter, CheckpointFiles};
use sightstream_model::encoder::{DeviceChoice, Encoder, EncoderOptions};
use sightstream_model::error::ModelError;
use sightstream_model::inspect::Inspection;
use tempfile::TempDir;

/// Every adapter, and the kit that it was made on.
const ADAPTERS: [(&str, &str); 4] = [
    ("lora", "grouped"),
    ("dora", "wide_heads"),
    ("patterns", "single_kv"),
    ("dora_all", "single_kv"),
];

fn folder(adapter: &str) -> PathBuf {
    kits::fixtures().join("adapters").join(adapter)
}

fn options(kit: &str, adapter: &Path) -> EncoderOptions {
    EncoderOptions {
        adapter: adapter.to_str().map(str::to_string),
        ..kits::options(kit)
    }
}

fn load(kit: &str, adapter: &Path) -> Result<Encoder, ModelError> {
    Encoder::load(&options(kit, adapter))
}

fn files(kit: &str) -> CheckpointFiles {
    CheckpointFiles::locate(kits::fixtures().join(kit).to_str()).expect("a checkpoint")
}

fn fingerprint(kit: &str, adapter: &Path) -> String {
    let adapted = files(kit).adapted(adapter.to_str()).expect("it fits");
    adapted.fingerprint().expect("hashed")
}

/// A copy of an adapter whose configuration and tensors went through `change`.
fn altered(adapter: &str, change: impl FnOnce(&mut Value, &mut HashMap<String, Tensor>)) -> TempDir {
    let to = tempfile::tempdir().expect("a temporary directory");
    let config = std::fs::read(folder(adapter).join("adapter_config.json")).expect("readable");
    let mut config = serde_json::from_slice(&config).expect("JSON");
    let tensors = folder(adapter).join("adapter_model.safetensors");
    let mut tensors = candle_core::safetensors::load(tensors, &Device::Cpu).expect("tensors");
    change(&mut config, &mut tensors);
    std::fs::write(to.path().join("adapter_config.json"), config.to_string()).expect("written");
    candle_core::safetensors::save(&tensors, to.path().join("adapter_model.safetensors")).expect("saved");
    to
}

fn rename(tensors: &mut HashMap<String, Tensor>, rename: impl Fn(&str) -> String) {
    *tensors = std::mem::take(tensors)
        .into_iter()
        .map(|(name, tensor)| (rename(&name), tensor))
        .collect();
}

fn refused(adapter: &str, change: impl FnOnce(&mut Value, &mut HashMap<String, Tensor>)) -> String {
    let directory = altered(adapter, change);
    let kit = ADAPTERS.iter().find(|(name, _)| *name == adapter).expect("known").1;
    let error = load(kit, directory.path()).expect_err("refused");
    assert!(matches!(error, ModelError::Adapter { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains(directory.path().to_str().expect("UTF-8")), "{error}");
    error
}

#[test]
fn adapters_of_peft_give_its_vectors() {
    for (name, base) in ADAPTERS {
        let kit = Kit::load(base, None);
        let adapted = load(base, &folder(name)).expect("it fits");
        let vectors = candle_core::safetensors::load(folder(name).join("vectors.safetensors"), &Device::Cpu);
        let vectors = vectors.expect("readable");
        let cases: Vec<_> = kit
            .cases
            .iter()
            .filter(|case| vectors.contains_key(&case.name))
            .collect();
        assert_eq!((cases.len(), vectors.len()), (6, 6), "{name}");
        let inputs: Vec<_> = cases.iter().map(|case| kit.input(case)).collect();
        for (case, ours) in cases.iter().zip(adapted.encode(&inputs).expect("encoded")) {
            let likeness = cosine(&ours, &floats(&vectors[&case.name]));
            assert!(likeness > 0.99999, "{name}, {}: {likeness}", case.name);
        }
    }
}

/// Those of the hub's adapters, of an adapter on the model without its output head, and of newer ones.
#[test]
fn every_spelling_of_the_modules_is_the_same_adapter() {
    let newer = fingerprint("grouped", &folder("lora"));
    for to in [
        "base_model.model.model.layers.",
        "base_model.model.language_model.layers.",
    ] {
        let older = altered("lora", |_, tensors| {
            rename(tensors, |name| {
                let renamed = name.replace("base_model.model.model.language_model.layers.", to);
                assert_ne!(renamed, name);
                renamed
            });
        });
        assert_eq!(fingerprint("grouped", older.path()), newer, "{to}");
    }
    let vision = altered("patterns", |_, tensors| {
        rename(tensors, |name| {
            name.replace("base_model.model.model.visual.", "base_model.model.visual.")
        });
    });
    assert_eq!(
        fingerprint("single_kv", vision.path()),
        fingerprint("single_kv", &folder("patterns"))
    );
}

#[test]
fn the_fingerprint_follows_the_adapters_tensors_and_strength() {
    let mut seen = vec![
        files("grouped").fingerprint().expect("hashed"),
        fingerprint("grouped", &folder("lora")),
    ];
    let stronger = altered("lora", |config, _| config["lora_alpha"] = 9.into());
    seen.push(fingerprint("grouped", stronger.path()));
    let moved = altered("lora", |_, tensors| {
        let up = tensors.values_mut().next().expect("some tensor");
        *up = up.affine(1.0, 0.01).expect("moved");
    });
    seen.push(fingerprint("grouped", moved.path()));
    let mut distinct = seen.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), seen.len(), "{seen:?}");
    // What is only told of it changes nothing.
    let told = altered("lora", |config, _| {
        config["base_model_name_or_path"] = "elsewhere".into()
    });
    assert_eq!(fingerprint("grouped", told.path()), seen[1]);
}

#[test]
fn an_adapted_model_says_so_wherever_it_is_named() {
    let options = options("grouped", &folder("lora"));
    let encoder = Encoder::load(&options).expect("it fits");
    let name = encoder.model_name().to_string();
    let (base, adapter) = name.split_once(" + ").expect("both names");
    assert!(base.ends_with("grouped") && adapter.ends_with("lora"), "{name}");
    let files = files("grouped").adapted(options.adapter.as_deref()).expect("it fits");
    let seen = Inspection::of(&files, &options).expect("it can be loaded");
    let plain = Kit::load("grouped", None).encoder;
    assert_eq!(
        (seen.name.as_str(), seen.fingerprint.as_str()),
        (name.as_str(), encoder.fingerprint())
    );
    assert_ne!(seen.fingerprint, plain.fingerprint());
    // What a service that gave its model up loads again.
    let again = files.place().open().expect("still there");
    assert_eq!(again.fingerprint().expect("hashed"), seen.fingerprint);
    assert_eq!(again.name(), name);
}

#[test]
fn a_weight_is_merged_in_f32_whatever_its_own_type() {
    let adapter = Adapter::open("lora", &folder("lora")).expect("readable");
    let name = "model.layers.1.self_attn.q_proj.weight";
    let weight = Tensor::zeros((64, 64), DType::BF16, &Device::Cpu).expect("zeros");
    let merged = adapter.merge(name, &weight).expect("it fits").expect("it is changed");
    let part = |part: &str| {
        let name = format!("base_model.model.model.language_model.layers.1.self_attn.q_proj.{part}.weight");
        let tensors = candle_core::safetensors::load(folder("lora").join("adapter_model.safetensors"), &Device::Cpu);
        tensors.expect("readable").remove(&name).expect("there")
    };
    let product = part("lora_B").matmul(&part("lora_A")).and_then(|product| product * 2.0);
    assert_eq!(merged.dtype(), DType::F32);
    assert_eq!(floats(&merged), floats(&product.expect("a product")));
    for unchanged in [
        "model.layers.1.self_attn.k_proj.weight",
        "model.layers.1.self_attn.q_proj.bias",
    ] {
        assert!(
            adapter.merge(unchanged, &weight).expect("nothing to do").is_none(),
            "{unchanged}"
        );
    }
}

#[test]
fn an_adapter_of_another_model_is_refused_with_the_module_and_its_base() {
    let error = load("single_kv", &folder("lora")).expect_err("other sizes").to_string();
    assert!(
        error.contains("q_proj") && error.contains("[84, 84]") && error.contains("made on `grouped`"),
        "{error}"
    );
    let error = refused("lora", |_, tensors| {
        rename(tensors, |name| name.replace("layers.2.", "layers.7."));
    });
    assert!(
        error.contains("layers.7.self_attn.q_proj`, which the model does not have"),
        "{error}"
    );
}

#[test]
fn an_adapter_that_is_not_whole_is_refused_with_what_is_missing() {
    let any = |tensors: &HashMap<String, Tensor>, part: &str| {
        let name = tensors.keys().find(|name| name.contains(part)).expect("there");
        name.clone()
    };
    let error = refused("lora", |_, tensors| {
        let name = any(tensors, "lora_B");
        tensors.remove(&name);
    });
    assert!(error.contains("one of lora_A and lora_B"), "{error}");
    let error = refused("dora", |_, tensors| {
        let name = any(tensors, "magnitude");
        tensors.remove(&name);
    });
    assert!(error.contains("has no lora_magnitude_vector"), "{error}");
    let error = refused("dora", |config, _| config["use_dora"] = false.into());
    assert!(error.contains("has a lora_magnitude_vector"), "{error}");
    let error = refused("lora", |config, _| config["r"] = 8.into());
    assert!(error.contains("the rank 8"), "{error}");
    let error = refused("lora", |_, tensors| {
        let name = any(tensors, "lora_A");
        let tensor = tensors[&name].clone();
        tensors.insert(name.replace("lora_A", "lora_C"), tensor);
    });
    assert!(error.contains("lora_C.weight` is no part"), "{error}");
    let error = refused("lora", |config, _| config["modules_to_save"] = json!(["lm_head"]));
    assert!(
        error.contains("modules_to_save") && error.contains("merge_and_unload"),
        "{error}"
    );
}

#[test]
fn what_is_no_adapter_is_answered_with_what_it_is() {
    let error = load("grouped", &kits::fixtures().join("grouped"))
        .expect_err("a checkpoint")
        .to_string();
    assert!(error.contains("whole checkpoint; name it as the model"), "{error}");
    let empty = tempfile::tempdir().expect("a temporary directory");
    let error = load("grouped", empty.path()).expect_err("nothing").to_string();
    assert!(error.contains("no adapter_config.json"), "{error}");
    std::fs::copy(
        folder("lora").join("adapter_config.json"),
        empty.path().join("adapter_config.json"),
    )
    .expect("copied");
    let error = load("grouped", empty.path()).expect_err("no tensors").to_string();
    assert!(error.contains("no adapter_model.safetensors"), "{error}");
    let error = load("grouped", Path::new("no/such/thing"))
        .expect_err("nowhere")
        .to_string();
    assert!(error.contains("owner/name@revision"), "{error}");
    let error = Encoder::load(&EncoderOptions {
        model: folder("lora").to_str().map(str::to_string),
        device: DeviceChoice::Cpu,
        ..EncoderOptions::default()
    });
    let error = error.expect_err("no model").to_string();
    assert!(error.contains("--model grouped --adapter"), "{error}");
}
