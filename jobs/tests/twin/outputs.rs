//! What the twin gives, and to whom it says no.

use std::collections::{HashMap, HashSet};

use candle_core::{DType, Device, Tensor};
use sightstream_jobs::twin::{Trainable, Twin};
use sightstream_jobs::{Embed, JobError};
use sightstream_model::backbone::{Backbone, Config, Rows};
use sightstream_model::pooling::l2_normalize;

use crate::kit::{self, Inputs, KITS, Reference, largest_difference};

fn config(kit: &str) -> Config {
    let files = kit::files(kit);
    let json = files.read_required("config.json").expect("config.json");
    Config::from_json(&json).expect("a configuration")
}

#[test]
fn the_twin_and_the_encoder_give_the_same_vectors() {
    let inputs = Inputs::load();
    for kit in KITS {
        let backbone = Backbone::load(&kit::files(kit), config(kit), DType::F32, &Device::Cpu).expect("loaded");
        let states = backbone
            .hidden_states(&inputs.borrowed(), Rows::Last)
            .expect("computed");
        let expected = l2_normalize(&states).expect("computed");
        // A fresh adapter changes nothing.
        for case in ["all", "lora", "dora"] {
            let mut twin =
                Twin::load(&kit::files(kit), &kit::trainable(case), DType::F32, &Device::Cpu).expect("loaded");
            for plain in [false, true] {
                twin.set_plain(plain);
                let found = twin.embed(&inputs.borrowed(), None).expect("computed");
                let apart = largest_difference(&found, &expected);
                assert!(apart < 1e-5, "{kit} {case} {plain}: {apart}");
                let without = twin.embed_without_graph(&inputs.borrowed(), None).expect("computed");
                assert!(!without.track_op(), "no graph is wanted");
                assert_eq!(kit::numbers(&without), kit::numbers(&found), "{kit} {case} {plain}");
            }
        }
    }
}

#[test]
fn texts_alone_a_single_input_and_none_are_embedded() {
    let inputs = Inputs::load();
    let twin = Twin::load(&kit::files("grouped"), &Trainable::All, DType::F32, &Device::Cpu).expect("loaded");
    let all = twin.embed(&inputs.borrowed(), None).expect("computed");
    let texts: Vec<_> = (0..inputs.all.len())
        .filter(|&place| inputs.all[place].vision.is_none())
        .collect();
    let batch: Vec<_> = texts.iter().map(|&place| &inputs.all[place]).collect();
    let found = twin.embed(&batch, None).expect("computed");
    for (row, &place) in texts.iter().enumerate() {
        let (found, expected) = (found.get(row).expect("a row"), all.get(place).expect("a row"));
        assert!(largest_difference(&found, &expected) < 1e-5);
    }
    let alone = twin.embed(&[&inputs.all[2]], None).expect("computed");
    assert!(largest_difference(&alone.get(0).expect("a row"), &all.get(2).expect("a row")) < 1e-5);
    assert_eq!(twin.embed(&[], None).expect("computed").dims(), [0, 64]);
}

#[test]
fn a_frozen_vision_tower_has_no_graph_and_no_parameters() {
    let inputs = Inputs::load();
    let twin = Twin::load(
        &kit::files("grouped"),
        &kit::trainable("lora"),
        DType::F32,
        &Device::Cpu,
    )
    .expect("loaded");
    assert_eq!(twin.parameters().len(), 3 * 7 * 2);
    assert!(
        twin.parameters()
            .iter()
            .all(|parameter| !parameter.name.contains("visual"))
    );
    assert!(twin.weights().all(|(name, _)| name.starts_with("model.")));
    let (.., gradients) = kit::train_once(&twin, &inputs, None);
    let trained: HashSet<_> = twin.parameters().iter().map(|parameter| parameter.var.id()).collect();
    for (name, weight) in twin.weights() {
        assert!(!trained.contains(&weight.id()));
        assert!(gradients.get(weight).is_none(), "{name} is frozen and has a gradient");
    }
}

#[test]
fn dropout_depends_on_its_seed_alone() {
    let inputs = Inputs::load();
    for (case, plain) in [
        ("lora", false),
        ("dora", false),
        ("lora", true),
        ("dora", true),
        ("dora_vision", false),
    ] {
        let reference = Reference::load("grouped", case);
        let Trainable::Adapter(options) = kit::trainable(case) else {
            unreachable!("an adapter")
        };
        let options = sightstream_jobs::twin::AdapterOptions {
            dropout: 0.2,
            ..options
        };
        let load = || {
            let trainable = Trainable::Adapter(options.clone());
            let mut twin = Twin::load(&kit::files("grouped"), &trainable, DType::F32, &Device::Cpu).expect("loaded");
            twin.set_parameters(&reference.adapter()).expect("the adapter");
            twin.set_plain(plain);
            twin
        };
        let twin = load();
        let embed = |twin: &Twin, seed| twin.embed(&inputs.borrowed(), seed).expect("computed");
        let first = embed(&twin, Some(7));
        let again = load()
            .embed_without_graph(&inputs.borrowed(), Some(7))
            .expect("computed");
        assert_eq!(kit::numbers(&first), kit::numbers(&again), "{case}");
        let without = embed(&twin, None);
        assert!(
            largest_difference(&first, &without) > 1e-3,
            "{case}: dropout does nothing"
        );
        assert!(largest_difference(&first, &embed(&twin, Some(8))) > 1e-3, "{case}");
        // The other way to compute gets the same masks, and the same gradients through them.
        let mut other = load();
        other.set_plain(!plain);
        assert!(largest_difference(&first, &embed(&other, Some(7))) < 1e-5, "{case}");
        let (.., ours) = kit::train_once(&twin, &inputs, Some(7));
        let (.., others) = kit::train_once(&other, &inputs, Some(7));
        for (a, b) in twin.parameters().iter().zip(other.parameters()) {
            let (ours, others) = (
                ours.get(&a.var).expect("a gradient"),
                others.get(&b.var).expect("a gradient"),
            );
            let scale = kit::length(kit::numbers(ours).into_iter());
            assert!(largest_difference(ours, others) < 1e-4 * scale, "{case} {}", a.name);
        }
    }
}

#[test]
fn a_random_model_is_the_seeds_and_as_wide_as_is_said() {
    let config = config("wide_heads");
    let make = |seed| Twin::random(&config, seed, DType::F32, &Device::Cpu).expect("made");
    let (twin, same, other) = (make(3), make(3), make(4));
    assert_eq!(twin.parameters().len(), twin.weights().count());
    let mut shapes = HashMap::new();
    for (name, tensor, _) in kit::files("wide_heads").weights().tensors() {
        let name = name
            .replace("model.language_model.", "model.")
            .replace("model.visual.", "visual.");
        shapes.insert(name, tensor.shape.clone());
    }
    shapes.remove("lm_head.weight");
    for ((name, tensor), ((_, same), (_, other))) in twin.weights().zip(same.weights().zip(other.weights())) {
        assert_eq!(shapes.remove(name).expect(name), tensor.dims());
        let mut numbers = kit::numbers(tensor);
        assert_eq!(numbers, kit::numbers(same), "{name}");
        let expected = match name {
            _ if name.ends_with("q_proj.bias") || name.ends_with("k_proj.bias") => 0.5,
            _ if name.ends_with("qkv.bias") => {
                // Queries and keys, and behind them values.
                let values = numbers.split_off(numbers.len() / 3 * 2);
                assert!(values.iter().all(|number| *number == 0.0), "{name}");
                2.0
            }
            _ if name.ends_with("bias") => 0.0,
            "model.embed_tokens.weight" => 0.02,
            _ => 1.0 / (tensor.dims()[1..].iter().product::<usize>() as f32).sqrt(),
        };
        if expected == 0.0 {
            assert!(numbers.iter().all(|number| *number == 0.0), "{name}");
        } else if name.ends_with("weight") && tensor.dims().len() == 1 {
            assert!(numbers.iter().all(|number| *number == 1.0), "{name}");
        } else {
            assert_ne!(numbers, kit::numbers(other)[..numbers.len()], "{name}");
            let count = numbers.len() as f32;
            let mean = numbers.iter().sum::<f32>() / count;
            let width = kit::length(numbers.into_iter()) / count.sqrt();
            // Four standard errors of either.
            assert!(mean.abs() < 4.0 * expected / count.sqrt(), "{name}: {mean}");
            assert!(
                (width / expected - 1.0).abs() < 4.0 / (2.0 * count).sqrt(),
                "{name}: {width} and not {expected}"
            );
        }
    }
    assert!(shapes.is_empty(), "not made: {shapes:?}");
    let inputs = Inputs::load();
    let vectors = twin.embed(&inputs.borrowed(), None).expect("computed");
    assert_eq!(vectors.dims(), [inputs.all.len(), 160]);
}

#[test]
fn options_that_cannot_be_followed_are_named() {
    let refused = |change: &dyn Fn(&mut sightstream_jobs::twin::AdapterOptions)| {
        let mut options = kit::options(&["q_proj"], false);
        change(&mut options);
        let trainable = Trainable::Adapter(options);
        match Twin::load(&kit::files("grouped"), &trainable, DType::F32, &Device::Cpu) {
            Err(JobError::Config(message)) => message,
            other => panic!("{other:?}"),
        }
    };
    let unknown = refused(&|options| options.target_modules = vec!["q_proj".into(), "query".into()]);
    assert_eq!(
        unknown,
        "`lora_target_modules` names `query`, and this checkpoint has no such module; it has proj, qkv, fc1, fc2, mlp.0, mlp.2, \
         q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"
    );
    assert!(refused(&|options| options.rank = 0).contains("lora_rank"));
    assert!(refused(&|options| options.alpha = f64::NAN).contains("lora_alpha"));
    assert!(refused(&|options| options.dropout = 1.0).contains("lora_dropout"));
    assert!(refused(&|options| options.target_modules.clear()).contains("lora_target_modules"));
}

#[test]
fn tensors_that_do_not_belong_are_refused_and_nothing_is_set() {
    let reference = Reference::load("grouped", "lora");
    let twin = kit::twin("grouped", "lora", &reference);
    let before: Vec<_> = twin
        .parameters()
        .iter()
        .map(|parameter| kit::numbers(&parameter.var))
        .collect();
    let name = "base_model.model.model.language_model.layers.1.mlp.up_proj.lora_A.weight";
    let refused = |change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let mut tensors: HashMap<_, _> = reference.adapter();
        for tensor in tensors.values_mut() {
            *tensor = tensor.zeros_like().expect("made");
        }
        change(&mut tensors);
        twin.set_parameters(&tensors).expect_err("refused").to_string()
    };
    assert!(refused(&|tensors| drop(tensors.remove(name))).contains(name));
    let wrong = Tensor::zeros((3, 64), DType::F32, &Device::Cpu).expect("made");
    assert!(refused(&|tensors| drop(tensors.insert(name.into(), wrong.clone()))).contains("[3, 64]"));
    assert!(refused(&|tensors| drop(tensors.insert("lm_head.weight".into(), wrong.clone()))).contains("lm_head"));
    let after: Vec<_> = twin
        .parameters()
        .iter()
        .map(|parameter| kit::numbers(&parameter.var))
        .collect();
    assert_eq!(before, after);
}

#[test]
fn an_input_that_does_not_fit_is_named_by_its_place() {
    let mut inputs = Inputs::load();
    inputs.all[4].token_ids.push(784);
    let twin = Twin::load(&kit::files("grouped"), &Trainable::All, DType::F32, &Device::Cpu).expect("loaded");
    let error = twin.embed(&inputs.borrowed(), None).expect_err("refused").to_string();
    assert!(error.contains("784"), "{error}");
    assert!(matches!(
        twin.embed(&inputs.borrowed(), None),
        Err(JobError::Model(sightstream_model::error::ModelError::Input {
            index: 4,
            ..
        }))
    ));
}
