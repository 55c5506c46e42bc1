//! The loss and its gradients, held against PyTorch's; and GradCache against the whole batch at once.

mod fake;
mod whole_batch;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device, Tensor};
use fake::Fake;
use sightstream_jobs::objective::{Alike, GradCache, InfoNce, Scored};
use sightstream_jobs::{Embed, Example, JobError};
use whole_batch::{difference, numbers};

type Result = std::result::Result<(), JobError>;

const PLAIN: InfoNce = InfoNce {
    temperature: 0.1,
    symmetric: false,
    mask_duplicates: false,
};
const SYMMETRIC: InfoNce = InfoNce {
    temperature: 0.1,
    symmetric: true,
    mask_duplicates: false,
};

fn fixture(name: &str) -> HashMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    candle_core::safetensors::load(path, &Device::Cpu).expect("the fixture is committed")
}

/// So many targets of which no two say the same.
fn apart(targets: usize) -> Vec<usize> {
    (0..targets).collect()
}

/// Scores a batch of rows of which none comes twice.
fn score(
    objective: InfoNce,
    queries: &Tensor,
    targets: &Tensor,
    says: &[usize],
) -> std::result::Result<Scored, JobError> {
    let (rows, each) = (queries.dim(0)?, targets.dim(0)? / queries.dim(0)?.max(1));
    let rows: Vec<u64> = (0..rows as u64).flat_map(|row| vec![row; each]).collect();
    objective.evaluate(queries, targets, Alike { rows: &rows, says })
}

#[test]
fn loss_accuracy_and_gradients_are_pytorchs() -> Result {
    let fixture = fixture("objective.safetensors");
    for targets in [1, 3] {
        for temperature in [0.02, 0.5] {
            for (symmetric, mask_duplicates) in [(false, false), (true, false), (false, true), (true, true)] {
                let name = format!(
                    "{targets}_{temperature}_{}{}",
                    if symmetric { "symmetric" } else { "plain" },
                    if mask_duplicates { "_masked" } else { "" }
                );
                // The third query asks for what the first does, and where it has more targets, its second one says it again.
                let mut says = apart(5 * targets);
                if mask_duplicates {
                    says[2 * targets..2 * targets + targets.min(2)].fill(0);
                }
                let objective = InfoNce {
                    temperature,
                    symmetric,
                    mask_duplicates,
                };
                let of = |part: &str| &fixture[&format!("{name}.{part}")];
                let scored = score(objective, of("queries"), of("targets"), &says)?;
                let (loss, accuracy) = (numbers(of("loss"))[0], numbers(of("accuracy"))[0]);
                assert!(
                    (scored.loss - loss).abs() < 1e-5 * loss.max(1.0),
                    "{name}: {} and {loss}",
                    scored.loss
                );
                assert_eq!(scored.accuracy, accuracy, "{name}");
                let on_queries = difference(&scored.query_gradient, of("query_gradient"));
                let on_targets = difference(&scored.target_gradient, of("target_gradient"));
                assert!(
                    on_queries < 1e-5 && on_targets < 1e-5,
                    "{name}: {on_queries}, {on_targets}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn a_batch_that_is_nearly_learned_still_has_an_exact_gradient() -> Result {
    // Opposite pairs: the negative's share is exp(-2/0.1), far below what f32 tells from one.
    let vectors = Tensor::new(&[[1.0f32, 0.0], [-1.0, 0.0]], &Device::Cpu)?;
    let scored = score(PLAIN, &vectors, &vectors, &apart(vectors.dim(0)?))?;
    let share = (-20.0f64).exp() / (1.0 + (-20.0f64).exp());
    assert!((f64::from(scored.loss) / (-20.0f64).exp().ln_1p() - 1.0).abs() < 1e-6);
    let gradient = f64::from(numbers(&scored.query_gradient)[0]);
    let expected = -2.0 * share / (2.0 * 0.1);
    assert!((gradient / expected - 1.0).abs() < 1e-6, "{gradient} and {expected}");
    Ok(())
}

#[test]
fn equal_vectors_for_everything_score_nothing() -> Result {
    let vectors = Tensor::new(&[[1.0f32, 0.0], [1.0, 0.0], [1.0, 0.0]], &Device::Cpu)?;
    let scored = score(PLAIN, &vectors, &vectors, &apart(vectors.dim(0)?))?;
    assert_eq!(scored.accuracy, 0.0);
    assert!((scored.loss - 3.0f32.ln()).abs() < 1e-6);
    Ok(())
}

#[test]
fn another_target_that_says_the_same_is_no_miss() -> Result {
    // Two of three queries ask for the same: by vectors alone, neither finds its own.
    let vectors = Tensor::new(&[[1.0f32, 0.0], [1.0, 0.0], [0.0, 1.0]], &Device::Cpu)?;
    assert_eq!(score(PLAIN, &vectors, &vectors, &apart(3))?.accuracy, 1.0 / 3.0);
    assert_eq!(score(PLAIN, &vectors, &vectors, &[0, 0, 2])?.accuracy, 1.0);

    // GradCache sees it by the tokens, and only of targets.
    let model = Fake::new(3, DType::F32);
    let mut batch = fake::examples(1, 2, 1);
    batch[1] = Example {
        rows: batch[1].rows.clone(),
        ..batch[0].clone()
    };
    let accuracy = |batch: &[Example]| {
        GradCache::default()
            .gradients(&model, batch, &PLAIN, None)
            .map(|of| of.accuracy)
    };
    assert_eq!(accuracy(&batch)?, 1.0);
    batch[0].targets[0].token_ids = vec![3, 4];
    batch[1].targets[0].token_ids = vec![4, 3];
    assert_eq!(
        accuracy(&batch)?,
        0.0,
        "to the fake, words in another order make the same vector"
    );
    Ok(())
}

#[test]
fn a_target_that_stands_in_elsewhere_is_no_negative_of_its_own_row() -> Result {
    let queries = Tensor::new(&[[1.0f32, 0.0], [0.0, 1.0]], &Device::Cpu)?;
    // Each query's positive, and behind it the other's.
    let targets = Tensor::new(&[[1.0f32, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]], &Device::Cpu)?;
    let says = apart(4);
    let rows = [5, 6, 6, 5];
    let alike = Alike {
        rows: &rows,
        says: &says,
    };
    let scored = PLAIN.evaluate(&queries, &targets, alike)?;
    assert_eq!(scored.accuracy, 1.0);
    // What is left are two targets of the other row.
    let expected = (2.0 * (-1.0 / PLAIN.temperature).exp()).ln_1p();
    assert!((f64::from(scored.loss) - expected).abs() < 1e-6, "{}", scored.loss);
    assert_eq!(score(PLAIN, &queries, &targets, &says)?.accuracy, 0.0);
    Ok(())
}

/// The mean cross-entropy of each row of `scores` against its own column, among those that `counts` for it.
fn cross_entropy(scores: &[Vec<f32>], own: impl Fn(usize) -> usize, counts: impl Fn(usize, usize) -> bool) -> f64 {
    let of_row = |(row, scores): (usize, &Vec<f32>)| {
        let counted = scores.iter().enumerate().filter(|(column, _)| counts(row, *column));
        let all: f64 = counted.map(|(_, score)| f64::from(*score).exp()).sum();
        all.ln() - f64::from(scores[own(row)])
    };
    scores.iter().enumerate().map(of_row).sum::<f64>() / scores.len() as f64
}

#[test]
fn a_row_that_comes_twice_is_no_negative_of_itself() -> Result {
    let rows = [7, 1, 7, 9, 1];
    for targets in [1, 3] {
        let random = |count: usize| -> std::result::Result<Tensor, JobError> {
            let numbers = Tensor::arange(0u32, count as u32 * 4, &Device::Cpu)?.to_dtype(DType::F32)?;
            let numbers = (numbers * 1.7)?.sin()?.reshape((count, 4))?;
            Ok(numbers.broadcast_div(&numbers.sqr()?.sum_keepdim(1)?.sqrt()?)?)
        };
        let (queries, found) = (random(5)?, random(5 * targets)?.affine(-1.0, 0.0)?);
        let says = apart(5 * targets);
        let each: Vec<u64> = rows.iter().flat_map(|row| vec![*row; targets]).collect();
        let alike = Alike {
            rows: &each,
            says: &says,
        };
        let scores = (queries.matmul(&found.t()?)? / PLAIN.temperature)?;
        let is_other = |one: usize, other: usize| one == other || rows[one] != rows[other];
        let there = cross_entropy(
            &scores.to_vec2()?,
            |row| row * targets,
            |row, column| is_other(row, column / targets),
        );
        let firsts: Vec<u32> = (0..5).map(|row| row * targets as u32).collect();
        let columns = scores
            .index_select(&Tensor::from_vec(firsts, 5, &Device::Cpu)?, 1)?
            .t()?
            .contiguous()?;
        let back = cross_entropy(&columns.to_vec2()?, |row| row, is_other);
        for (objective, expected) in [(PLAIN, there), (SYMMETRIC, (there + back) / 2.0)] {
            let loss = f64::from(objective.evaluate(&queries, &found, alike)?.loss);
            assert!(
                (loss - expected).abs() < 1e-5,
                "{targets}, {objective:?}: {loss} {expected}"
            );
            let apart = f64::from(score(objective, &queries, &found, &says)?.loss);
            assert!(apart > expected, "{targets}, {objective:?}: {apart} {expected}");
        }
    }

    // GradCache sees it by the numbers of the rows: what stands alone has nothing to learn.
    let model = Fake::new(3, DType::F32);
    let mut batch = fake::examples(1, 2, 1);
    batch[1].rows = batch[0].rows.clone();
    let outcome = GradCache::default().gradients(&model, &batch, &SYMMETRIC, None)?;
    assert_eq!((outcome.loss, outcome.accuracy), (0.0, 1.0));
    Ok(())
}

#[test]
fn settings_and_shapes_that_make_no_loss_are_refused() {
    let two = Tensor::ones((2, 4), DType::F32, &Device::Cpu).expect("tensors of the CPU");
    let three = Tensor::ones((3, 4), DType::F32, &Device::Cpu).expect("tensors of the CPU");
    for temperature in [0.0, -1.0, f64::NAN] {
        let error = score(InfoNce { temperature, ..PLAIN }, &two, &two, &apart(2)).expect_err("this is refused");
        assert!(error.to_string().contains("`temperature`"), "{error}");
    }
    let error = score(PLAIN, &two, &three, &apart(3)).expect_err("this is refused");
    assert!(
        error.to_string().contains("2 queries") && error.to_string().contains("3 targets"),
        "{error}"
    );

    let model = Fake::new(1, DType::F32);
    let mut batch = fake::examples(1, 3, 2);
    batch[1].targets.pop();
    let error = GradCache::default()
        .gradients(&model, &batch, &PLAIN, None)
        .expect_err("this is refused");
    assert!(error.to_string().contains("example 1"), "{error}");
    assert!(GradCache::default().gradients(&model, &[], &PLAIN, None).is_err());
    let zero = GradCache {
        query_chunk: None,
        target_chunk: Some(0),
    };
    let error = zero
        .gradients(&model, &fake::examples(1, 3, 2), &PLAIN, None)
        .expect_err("this is refused");
    assert!(error.to_string().contains("`gc_p_chunk_size`"), "{error}");
}

#[test]
fn chunks_give_the_gradients_of_the_whole_batch() -> Result {
    let model = Fake::new(3, DType::F32);
    let sizes = [
        (None, None),
        (Some(1), Some(1)),
        (Some(3), Some(4)),
        (None, Some(5)),
        (Some(4), None),
        (Some(100), Some(100)),
    ];
    for objective in [PLAIN, SYMMETRIC] {
        for targets in [1, 3] {
            let batch = fake::examples(targets as u64, 10, targets);
            for (query_chunk, target_chunk) in sizes {
                for dropout in [None, Some(17)] {
                    let cache = GradCache {
                        query_chunk,
                        target_chunk,
                    };
                    whole_batch::assert_same_gradients(&model, &batch, objective, cache, dropout, 1e-5)?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn dropout_is_the_same_for_the_same_seed_and_another_for_another() -> Result {
    let model = Fake::new(3, DType::F32);
    let batch = fake::examples(1, 6, 1);
    let cache = GradCache {
        query_chunk: Some(2),
        target_chunk: Some(2),
    };
    let loss = |seed| {
        cache
            .gradients(&model, &batch, &PLAIN, seed)
            .map(|outcome| outcome.loss.to_bits())
    };
    assert_eq!(loss(Some(1))?, loss(Some(1))?);
    assert_ne!(loss(Some(1))?, loss(Some(2))?);
    assert_ne!(loss(Some(1))?, loss(None)?);
    // Chunks of equal inputs draw masks of their own.
    let same: Vec<Example> = (0..4)
        .map(|row| Example::new(row, batch[0].query.clone(), batch[0].targets.clone()))
        .collect();
    let one = GradCache {
        query_chunk: Some(1),
        target_chunk: Some(1),
    };
    let outcome = one.gradients(&model, &same, &PLAIN, Some(1))?;
    assert!(
        (outcome.loss - 4.0f32.ln()).abs() > 1e-3,
        "equal inputs under equal masks cannot be told apart: {}",
        outcome.loss
    );
    Ok(())
}

#[test]
fn no_more_than_one_chunk_has_a_graph_however_large_the_batch() -> Result {
    for count in [8, 64, 512] {
        let model = Fake::new(3, DType::F32);
        let cache = GradCache {
            query_chunk: Some(4),
            target_chunk: Some(6),
        };
        let outcome = cache.gradients(&model, &fake::examples(1, count, 2), &SYMMETRIC, Some(5))?;
        assert_eq!(model.most_live.load(Ordering::SeqCst), 6, "in a batch of {count}");
        // Nor do the gradients hold on to one.
        assert_eq!(model.live(), 0);
        assert!(!outcome.gradients.is_empty());
    }
    Ok(())
}

#[test]
fn what_need_not_be_embedded_twice_is_not() -> Result {
    let batch = fake::examples(1, 12, 2);
    for (query_chunk, target_chunk, embedded) in [
        (None, None, 36),
        (Some(4), None, 36 + 12),
        (Some(4), Some(8), 72 - 8),
        (Some(100), Some(100), 36 + 12),
    ] {
        let model = Fake::new(3, DType::F32);
        GradCache {
            query_chunk,
            target_chunk,
        }
        .gradients(&model, &batch, &PLAIN, None)?;
        assert_eq!(
            model.embedded.load(Ordering::SeqCst),
            embedded,
            "chunks of {query_chunk:?} and {target_chunk:?}"
        );
    }
    Ok(())
}

#[test]
fn a_stop_ends_the_work_at_the_next_chunk() -> Result {
    let model = Fake::new(3, DType::F32);
    let cache = GradCache {
        query_chunk: Some(2),
        target_chunk: Some(2),
    };
    let stopped = cache.gradients_unless(&AtomicBool::new(true), &model, &fake::examples(1, 6, 1), &PLAIN, None)?;
    assert!(stopped.is_none());
    assert_eq!(model.embedded.load(Ordering::SeqCst), 0);
    Ok(())
}

#[test]
fn a_parameter_that_no_input_passes_has_no_gradient() -> Result {
    let model = Fake::new(3, DType::F32);
    let mut batch = fake::examples(1, 6, 1);
    for input in batch
        .iter_mut()
        .flat_map(|one| std::iter::once(&mut one.query).chain(&mut one.targets))
    {
        input.token_ids.iter_mut().for_each(|id| *id %= fake::RARE);
    }
    let outcome = GradCache::default().gradients(&model, &batch, &PLAIN, None)?;
    let has: Vec<bool> = outcome.gradients.iter().map(|gradient| gradient.is_some()).collect();
    assert_eq!(has, [true, true, true, true, false]);
    Ok(())
}

#[test]
fn gradients_are_f32_whatever_the_weights_are() -> Result {
    let model = Fake::new(3, DType::BF16);
    let cache = GradCache {
        query_chunk: Some(2),
        target_chunk: Some(3),
    };
    let outcome = cache.gradients(&model, &fake::examples(1, 12, 1), &PLAIN, None)?;
    for gradient in outcome.gradients.iter() {
        assert_eq!(gradient.expect("every parameter is used").dtype(), DType::F32);
    }
    Ok(())
}

#[test]
fn a_loss_that_is_no_number_comes_back_without_gradients() -> Result {
    let model = Fake::new(3, DType::F32);
    let broken = Tensor::full(f32::NAN, model.parameters()[2].var.shape(), &Device::Cpu)?;
    model.parameters()[2].var.set(&broken)?;
    let outcome = GradCache::default().gradients(&model, &fake::examples(1, 4, 1), &PLAIN, None)?;
    assert!(outcome.loss.is_nan() && outcome.gradients.is_empty());
    Ok(())
}
