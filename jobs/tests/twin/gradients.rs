//! Gradients of every trained tensor against PyTorch's.

use sightstream_jobs::Embed;

use crate::kit::{self, Inputs, Reference, largest_difference};

/// How far a gradient may be from PyTorch's, relative to its length.
const CLOSE: f32 = 1e-4;

fn compare(prepare: impl Fn(&mut sightstream_jobs::twin::Twin)) {
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
