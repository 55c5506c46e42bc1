//! AdamW, its schedules and clipping, held against PyTorch's and transformers'.

mod fake;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use fake::Fake;
use sightstream_jobs::objective::{GradCache, Gradients, InfoNce};
use sightstream_jobs::optimiser::{AdamW, AdamWOptions, Schedule, ScheduleKind};
use sightstream_jobs::{Embed, JobError, Parameter};

type Result = std::result::Result<(), JobError>;

const NAMES: [&str; 3] = ["matrix", "vector", "rare"];
const OPTIONS: AdamWOptions = AdamWOptions {
    beta1: 0.9,
    beta2: 0.98,
    epsilon: 1e-6,
    weight_decay: 0.1,
    decay_vectors: false,
};

fn fixture(name: &str) -> HashMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    candle_core::safetensors::load(path, &Device::Cpu).expect("the fixture is committed")
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor
        .to_dtype(DType::F32)
        .expect("tensors of the CPU")
        .flatten_all()
        .expect("tensors of the CPU")
        .to_vec1::<f32>()
        .expect("tensors of the CPU")
}

fn assert_near(found: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    for (one, other) in numbers(found).iter().zip(numbers(expected)) {
        assert!(
            (one - other).abs() <= 2e-6 * other.abs().max(0.1),
            "{what}: {one} and {other}"
        );
    }
}

fn parameters(fixture: &HashMap<String, Tensor>, dtype: DType) -> Vec<Parameter> {
    let parameter = |name: &&str| {
        let start = fixture[&format!("start.{name}")]
            .to_dtype(dtype)
            .expect("tensors of the CPU");
        Parameter {
            name: (*name).to_owned(),
            var: Var::from_tensor(&start.copy().expect("tensors of the CPU")).expect("tensors of the CPU"),
        }
    };
    NAMES.iter().map(parameter).collect()
}

/// Gradients as a backward pass gives them.
fn gradients(
    fixture: &HashMap<String, Tensor>,
    step: u64,
    parameters: &[Parameter],
) -> std::result::Result<Gradients, JobError> {
    let mut gradients = Gradients::none(parameters.len());
    for parameter in parameters {
        if let Some(gradient) = fixture.get(&format!("{step}.gradient.{}", parameter.name)) {
            let stand_in = (parameter.var.to_dtype(DType::F32)? * gradient)?.sum_all()?;
            gradients.collect(stand_in.backward()?, parameters)?;
        }
    }
    Ok(gradients)
}

#[test]
fn steps_with_clipping_decay_and_a_schedule_are_pytorchs() -> Result {
    let fixture = fixture("optimiser.safetensors");
    let parameters = parameters(&fixture, DType::F32);
    let mut adamw = AdamW::new(&parameters, OPTIONS)?;
    let schedule = Schedule {
        kind: ScheduleKind::Linear,
        warmup_steps: 2,
        total_steps: 6,
    };
    let mut clipped = 0;
    for step in 0..6u64 {
        let mut gradients = gradients(&fixture, step, &parameters)?;
        let norm = gradients.clip(2.0)?;
        let expected = f64::from(numbers(&fixture[&format!("{step}.norm")])[0]);
        assert!(
            (norm / expected - 1.0).abs() < 1e-6,
            "step {step}: a norm of {norm} instead of {expected}"
        );
        clipped += usize::from(norm > 2.0);
        for (gradient, name) in gradients.iter().zip(NAMES) {
            let expected = fixture.get(&format!("{step}.clipped.{name}"));
            assert_eq!(gradient.is_some(), expected.is_some(), "step {step}, {name}");
            if let (Some(gradient), Some(expected)) = (gradient, expected) {
                assert_near(gradient, expected, &format!("step {step}: gradient of {name}"));
            }
        }
        let learning_rate = 0.05 * schedule.share(step);
        let expected = f64::from(numbers(&fixture[&format!("{step}.learning_rate")])[0]);
        assert!((learning_rate - expected).abs() < 1e-8);
        assert_eq!(adamw.step(&gradients, learning_rate)?, None);
        for parameter in &parameters {
            let expected = &fixture[&format!("{step}.weight.{}", parameter.name)];
            assert_near(
                &parameter.var,
                expected,
                &format!("step {step}: weights of {}", parameter.name),
            );
        }
    }
    assert!(
        (1..6).contains(&clipped),
        "the fixture has steps with and without clipping"
    );
    Ok(())
}

#[test]
fn small_weights_move_as_their_exact_copies_do() -> Result {
    let fixture = fixture("optimiser.safetensors");
    for dtype in [DType::BF16, DType::F16] {
        let small = parameters(&fixture, dtype);
        let exact: Vec<Parameter> = small
            .iter()
            .map(|one| {
                let var = Var::from_tensor(&one.var.to_dtype(DType::F32).expect("tensors of the CPU"))
                    .expect("tensors of the CPU");
                Parameter {
                    name: one.name.clone(),
                    var,
                }
            })
            .collect();
        let (mut one, mut other) = (AdamW::new(&small, OPTIONS)?, AdamW::new(&exact, OPTIONS)?);
        let mut stood_still = 0;
        for step in 0..6 {
            // So small that rounding would lose every step: what moves them is the sum that the copy holds.
            let before = numbers(&small[0].var);
            one.step(&gradients(&fixture, step, &exact)?, 5e-4)?;
            other.step(&gradients(&fixture, step, &exact)?, 5e-4)?;
            for (small, exact) in small.iter().zip(&exact) {
                assert_eq!(
                    numbers(&small.var),
                    numbers(&exact.var.to_dtype(dtype)?),
                    "step {step}: {}",
                    small.name
                );
            }
            let after = numbers(&small[0].var);
            stood_still += before
                .iter()
                .zip(&after)
                .filter(|(before, after)| before == after)
                .count();
        }
        assert!(
            stood_still > 0 || dtype == DType::F16,
            "steps that a bf16 number cannot hold are part of this"
        );
    }
    Ok(())
}

#[test]
fn vectors_decay_if_asked() -> Result {
    let zeros = Tensor::zeros(3, DType::F32, &Device::Cpu)?;
    for (decay_vectors, expected) in [(false, 1.0), (true, 0.99)] {
        let parameter = Parameter {
            name: "bias".to_owned(),
            var: Var::ones(3, DType::F32, &Device::Cpu)?,
        };
        let parameters = [parameter];
        let mut gradients = Gradients::none(1);
        gradients.collect(
            (parameters[0].var.as_tensor() * &zeros)?.sum_all()?.backward()?,
            &parameters,
        )?;
        AdamW::new(
            &parameters,
            AdamWOptions {
                decay_vectors,
                ..OPTIONS
            },
        )?
        .step(&gradients, 0.1)?;
        assert_eq!(numbers(&parameters[0].var), [expected; 3]);
    }
    Ok(())
}

#[test]
fn schedules_are_those_of_transformers() {
    let fixture = fixture("schedules.safetensors");
    for (name, kind) in [
        ("linear", ScheduleKind::Linear),
        ("cosine", ScheduleKind::Cosine),
        ("constant", ScheduleKind::Constant),
    ] {
        for warmup_steps in [0, 4] {
            let schedule = Schedule {
                kind,
                warmup_steps,
                total_steps: 12,
            };
            let expected = fixture[&format!("{name}_{warmup_steps}")]
                .to_vec1::<f64>()
                .expect("tensors of the CPU");
            assert_eq!(expected.len(), 13);
            for (step, expected) in expected.into_iter().enumerate() {
                let share = schedule.share(step as u64);
                assert!(
                    (share - expected).abs() < 1e-12,
                    "{name}, {warmup_steps}, step {step}: {share} and {expected}"
                );
            }
        }
    }
}

#[test]
fn a_restored_optimiser_goes_on_to_the_same_bits() -> Result {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for dtype in [DType::F32, DType::BF16] {
        let batch = fake::examples(4, 6, 1);
        let objective = InfoNce {
            temperature: 0.1,
            symmetric: false,
            mask_duplicates: false,
        };
        let train = |model: &Fake, adamw: &mut AdamW, steps: std::ops::Range<u64>| {
            for step in steps {
                let outcome = GradCache::default()
                    .gradients(model, &batch, &objective, Some(step))
                    .expect("tensors of the CPU");
                adamw.step(&outcome.gradients, 0.01).expect("the weights move");
            }
        };
        let through = Fake::new(1, dtype);
        let mut adamw = AdamW::new(through.parameters(), OPTIONS)?;
        train(&through, &mut adamw, 0..3);
        let file = folder.path().join("optimizer.safetensors");
        candle_core::safetensors::save(&adamw.state()?, &file)?;
        train(&through, &mut adamw, 3..6);

        // Other weights at first: all have to come from the file.
        let resumed = Fake::new(2, dtype);
        let mut adamw = AdamW::new(resumed.parameters(), OPTIONS)?;
        adamw.restore(candle_core::safetensors::load(&file, &Device::Cpu)?)?;
        assert_ne!(resumed.bits(), through.bits());
        train(&resumed, &mut adamw, 3..6);
        assert_eq!(resumed.bits(), through.bits(), "{dtype:?}");
    }
    Ok(())
}

#[test]
fn a_state_of_other_parameters_is_refused_and_changes_nothing() -> Result {
    let model = Fake::new(1, DType::F32);
    let before = model.bits();
    let mut adamw = AdamW::new(model.parameters(), OPTIONS)?;
    let state = || {
        AdamW::new(Fake::new(2, DType::F32).parameters(), OPTIONS)
            .expect("tensors of the CPU")
            .state()
            .expect("tensors of the CPU")
    };
    let mut refused = |state: HashMap<String, Tensor>, part: &str| {
        let error = adamw.restore(state).expect_err("this is refused").to_string();
        assert!(error.contains(part), "{error}");
        assert_eq!(model.bits(), before);
    };
    let mut missing = state();
    missing.remove("weight.rare.weight");
    refused(missing, "`rare.weight`");
    let mut unknown = state();
    unknown.insert("weight.other".to_owned(), Tensor::zeros(1, DType::F32, &Device::Cpu)?);
    refused(unknown, "`weight.other`");
    let mut shaped = state();
    shaped.insert(
        "weight.hidden.bias".to_owned(),
        Tensor::zeros(3, DType::F32, &Device::Cpu)?,
    );
    refused(shaped, "`weight.hidden.bias`");
    let mut half = state();
    half.insert(
        "first_moment.hidden.bias".to_owned(),
        Tensor::zeros(8, DType::F32, &Device::Cpu)?,
    );
    refused(half, "`hidden.bias`");
    Ok(())
}

#[test]
fn weights_that_are_no_numbers_any_more_are_named() -> Result {
    let parameters = [Parameter {
        name: "half".to_owned(),
        var: Var::from_tensor(&Tensor::new(&[[65_000f32]], &Device::Cpu)?.to_dtype(DType::F16)?)?,
    }];
    let mut gradients = Gradients::none(1);
    gradients.collect(
        parameters[0]
            .var
            .to_dtype(DType::F32)?
            .affine(-1.0, 0.0)?
            .sum_all()?
            .backward()?,
        &parameters,
    )?;
    let mut adamw = AdamW::new(&parameters, AdamWOptions::default())?;
    assert_eq!(adamw.step(&gradients, 1e4)?, Some("half"));
    Ok(())
}

#[test]
fn settings_out_of_range_are_refused() {
    let model = Fake::new(1, DType::F32);
    for (options, name) in [
        (AdamWOptions { beta1: 1.0, ..OPTIONS }, "`adam_beta1`"),
        (AdamWOptions { beta2: -0.1, ..OPTIONS }, "`adam_beta2`"),
        (
            AdamWOptions {
                epsilon: f64::NAN,
                ..OPTIONS
            },
            "`adam_epsilon`",
        ),
        (
            AdamWOptions {
                weight_decay: -1.0,
                ..OPTIONS
            },
            "`weight_decay`",
        ),
    ] {
        let error = AdamW::new(model.parameters(), options)
            .expect_err("this is refused")
            .to_string();
        assert!(error.contains(name), "{error}");
    }
}
