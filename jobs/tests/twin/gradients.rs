//! Gradients of every trained tensor against PyTorch's.

use candle_core::{DType, Device};
use sightstream_jobs::Embed;
use sightstream_jobs::twin::{Trainable, Twin};
use sightstream_model::processor::{ModelInput, VisionInput, VisionKind};

use crate::kit::{self, Inputs, Reference, largest_difference};

/// How far a gradient may be from PyTorch's, relative to its length.
const CLOSE: f32 = 1e-4;

fn compare(prepare: impl Fn(&mut Twin)) {
    let inputs = Inputs::load();
    for (kit, case) in kit::cases() {
        let reference = Reference::load(kit, case);
        let mut twin = kit::twin(kit, case, &reference);
        prepare(&mut twin);
        let mut names: Vec<_> = twin
            .parameters()
            .iter()
            .map(|parameter| parameter.name.as_str())
            .collect();
        names.sort_unstable();
        assert_eq!(names, reference.trained(), "{kit} {case}");
        let (loss, vectors, gradients) = kit::train_once(&twin, &inputs, None);
        let expected = reference.numbers("vectors");
        let pairs = kit::numbers(&vectors).into_iter().zip(expected);
        let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 2e-5, "{kit} {case}: vectors differ by {apart}");
        let expected = reference.numbers("loss")[0];
        assert!(
            (loss - expected).abs() < 1e-4 * expected,
            "{kit} {case}: {loss} and not {expected}"
        );
        let mut distances = kit::distances(twin.parameters(), &gradients, &reference);
        distances.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (worst, name) = &distances[0];
        assert!(*worst < CLOSE, "{kit} {case}: the gradient of {name} is off by {worst}");
        println!("{kit} {case}: {} tensors, at most {worst:e} ({name})", distances.len());
    }
}

#[test]
fn every_gradient_is_pytorchs() {
    compare(|_| {});
}

#[test]
fn every_gradient_is_pytorchs_by_candles_operations() {
    compare(|twin| twin.set_plain(true));
}

#[test]
fn every_gradient_is_pytorchs_with_layers_computed_again() {
    compare(|twin| twin.set_checkpoints(true));
    compare(|twin| {
        twin.set_plain(true);
        twin.set_checkpoints(true);
    });
}

#[test]
fn a_batch_of_one_and_parts_of_a_batch_add_up_to_the_whole() {
    let inputs = Inputs::load();
    let reference = Reference::load("grouped", "all");
    let twin = kit::twin("grouped", "all", &reference);
    let (_, vectors, gradients) = kit::train_once(&twin, &inputs, None);
    // The loss's slope at each vector, from the vectors alone.
    let leaf = candle_core::Var::from_tensor(&vectors.detach()).expect("a variable");
    let slopes = kit::info_nce(&leaf, inputs.queries).backward().expect("differentiable");
    let slopes = slopes.get(&leaf).expect("a slope");
    let mut sums: Vec<Option<candle_core::Tensor>> = vec![None; twin.parameters().len()];
    for (place, input) in inputs.all.iter().enumerate() {
        let vector = twin.embed(&[input], None).expect("computed");
        let slope = slopes.narrow(0, place, 1).expect("in range");
        let parts = (vector * slope)
            .and_then(|product| product.sum_all()?.backward())
            .expect("differentiable");
        for (sum, parameter) in sums.iter_mut().zip(twin.parameters()) {
            // A text gives the vision tower no gradient.
            let Some(part) = parts.get(&parameter.var) else {
                assert!(parameter.name.starts_with("visual."), "{}", parameter.name);
                assert!(input.vision.is_none());
                continue;
            };
            *sum = Some(match sum.take() {
                Some(sum) => (sum + part).expect("one shape"),
                None => part.clone(),
            });
        }
    }
    for (sum, parameter) in sums.iter().zip(twin.parameters()) {
        let whole = gradients.get(&parameter.var).expect("a gradient");
        let sum = sum
            .as_ref()
            .unwrap_or_else(|| panic!("{} has no gradient", parameter.name));
        let scale = kit::length(kit::numbers(whole).into_iter());
        let apart = largest_difference(whole, sum);
        assert!(apart < 1e-4 * scale, "{}: {apart} of {scale}", parameter.name);
    }
}

#[test]
fn gradients_are_the_same_to_the_bit_each_time() {
    let inputs = Inputs::load();
    for case in ["all", "dora"] {
        let reference = Reference::load("wide_heads", case);
        let train = || {
            let twin = kit::twin("wide_heads", case, &reference);
            let (loss, _, gradients) = kit::train_once(&twin, &inputs, Some(3));
            let numbers = |parameter: &sightstream_jobs::Parameter| {
                kit::numbers(gradients.get(&parameter.var).expect("a gradient"))
            };
            (loss, twin.parameters().iter().map(numbers).collect::<Vec<_>>())
        };
        assert!(train() == train(), "{case}");
    }
}

#[test]
fn sequences_of_many_blocks_have_the_gradients_of_candles_operations() {
    // So many tokens and patches of a frame that queries come in several blocks, the last one shorter.
    let (height, width) = (36, 20);
    let merged = (height * width / 4) as usize;
    let number = |i: u64| ((7919 * i % 2003) as f64 / 1001.0 - 1.0) as f32;
    let mut image = ModelInput {
        token_ids: vec![766; merged],
        vision: Some(VisionInput {
            kind: VisionKind::Image,
            patches: (0..u64::from(height * width) * 1176).map(number).collect(),
            grid_thw: [1, height, width],
        }),
    };
    image.token_ids.extend((0..500).map(|place| 3 + place * 31 % 700));
    let text = ModelInput {
        token_ids: (0..300).map(|place| 3 + place * 17 % 700).collect(),
        vision: None,
    };
    let train = |plain: bool| {
        let mut twin = Twin::load(&kit::files("grouped"), &Trainable::All, DType::F32, &Device::Cpu).expect("loaded");
        twin.set_plain(plain);
        let vectors = twin.embed(&[&image, &text], None).expect("computed");
        let slopes = (0..128).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
        let slopes = candle_core::Tensor::from_vec(slopes, (2, 64), &Device::Cpu).expect("made");
        let loss = (vectors * slopes)
            .and_then(|product| product.sum_all())
            .expect("computed");
        let gradients = loss.backward().expect("differentiable");
        let gradient = |parameter: &sightstream_jobs::Parameter| {
            let gradient = gradients.get(&parameter.var).expect("a gradient").clone();
            (parameter.name.clone(), gradient)
        };
        twin.parameters().iter().map(gradient).collect::<Vec<_>>()
    };
    for ((name, ours), (_, plain)) in train(false).into_iter().zip(train(true)) {
        let scale = kit::length(kit::numbers(&plain).into_iter());
        let apart = largest_difference(&ours, &plain);
        assert!(apart < 1e-4 * scale, "{name}: {apart} of {scale}");
    }
}

#[test]
fn half_precision_points_the_same_way() {
    let inputs = Inputs::load();
    for (case, dtype) in [("all", DType::BF16), ("all", DType::F16), ("dora", DType::BF16)] {
        let reference = Reference::load("grouped", case);
        let twin = Twin::load(&kit::files("grouped"), &kit::trainable(case), dtype, &Device::Cpu).expect("loaded");
        let exact =
            Twin::load(&kit::files("grouped"), &kit::trainable(case), DType::F32, &Device::Cpu).expect("loaded");
        if case != "all" {
            twin.set_parameters(&reference.adapter()).expect("the adapter");
            exact.set_parameters(&reference.adapter()).expect("the adapter");
        }
        let (.., gradients) = kit::train_once(&twin, &inputs, None);
        let (.., exact_gradients) = kit::train_once(&exact, &inputs, None);
        let (mut along, mut ours, mut theirs) = (0.0, 0.0, 0.0);
        for (a, b) in twin.parameters().iter().zip(exact.parameters()) {
            // An adapter's own tensors are f32 whatever the weights are.
            let expected = if case == "all" { dtype } else { DType::F32 };
            let found = gradients
                .get(&a.var)
                .unwrap_or_else(|| panic!("{} has no gradient", a.name));
            assert_eq!((a.var.dtype(), found.dtype()), (expected, expected), "{}", a.name);
            for (x, y) in kit::numbers(found)
                .into_iter()
                .zip(kit::numbers(exact_gradients.get(&b.var).expect("one")))
            {
                let (x, y) = (f64::from(x), f64::from(y));
                along += x * y;
                ours += x * x;
                theirs += y * y;
            }
        }
        let cosine = along / (ours * theirs).sqrt();
        assert!(cosine > 0.98, "{case} {dtype:?}: {cosine}");
    }
}
