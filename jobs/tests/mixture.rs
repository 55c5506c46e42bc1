//! Which rows come, and in which order: weights, passes, epochs, and going on from a position.

use std::collections::HashMap;

use sightstream_jobs::JobError;
use sightstream_jobs::data::{Draw, Mixture, MixtureOptions, Part, Position, Stopping};

fn parts(parts: &[(&str, f64, usize)]) -> Vec<Part> {
    let part = |&(name, weight, rows): &(&str, f64, usize)| Part {
        name: name.into(),
        weight,
        rows,
    };
    parts.iter().map(part).collect()
}

fn options(sub_batch_size: usize, stopping: Stopping, epochs: Option<u64>) -> MixtureOptions {
    MixtureOptions {
        seed: 7,
        sub_batch_size,
        stopping,
        epochs,
    }
}

fn mixture(of: &[(&str, f64, usize)], sub_batch_size: usize, stopping: Stopping, epochs: Option<u64>) -> Mixture {
    Mixture::new(parts(of), options(sub_batch_size, stopping, epochs), None).expect("a mixture")
}

fn refused(of: &[(&str, f64, usize)], sub_batch_size: usize) -> String {
    let options = options(sub_batch_size, Stopping::AllExhausted, None);
    let error = Mixture::new(parts(of), options, None).expect_err("refused");
    assert!(matches!(error, JobError::Config(_)), "{error:?}");
    error.to_string()
}

/// Draws a sub-batch in which rows that are `bad` are passed over; `None` at the end.
fn sub_batch(mixture: &mut Mixture, bad: &dyn Fn(Draw) -> bool) -> Option<Vec<Draw>> {
    let mut draws = Vec::new();
    loop {
        let draw = mixture.draw().expect("enough rows")?;
        if bad(draw) {
            continue;
        }
        draws.push(draw);
        if mixture.accept(draw) {
            return Some(draws);
        }
    }
}

fn all_good(mixture: &mut Mixture) -> Option<Vec<Draw>> {
    sub_batch(mixture, &|_| false)
}

#[test]
fn datasets_come_as_often_as_their_weights_say_and_a_sub_batch_is_of_one() {
    let mut mixture = mixture(
        &[("a", 1.0, 64), ("b", 0.5, 64), ("c", 2.5, 64)],
        4,
        Stopping::AllExhausted,
        None,
    );
    let mut counts = [0; 3];
    for _ in 0..4000 {
        let draws = all_good(&mut mixture).expect("no end");
        assert!(draws.iter().all(|draw| draw.part == draws[0].part));
        counts[draws[0].part] += 1;
    }
    // 1000, 500 and 2500, within five standard deviations.
    for (count, expected) in counts.into_iter().zip([1000.0_f64, 500.0, 2500.0]) {
        let deviation = (expected * (1.0 - expected / 4000.0)).sqrt();
        assert!((f64::from(count) - expected).abs() < 5.0 * deviation, "{counts:?}");
    }
}

#[test]
fn a_pass_has_each_row_once_and_the_next_another_order() {
    let mut mixture = mixture(&[("a", 1.0, 100)], 7, Stopping::AllExhausted, None);
    let mut passes: HashMap<u64, Vec<u32>> = HashMap::new();
    for _ in 0..100 {
        for draw in all_good(&mut mixture).expect("no end") {
            passes.entry(draw.pass).or_default().push(draw.row);
        }
    }
    // 700 rows: seven passes, although epochs ended in the middle of sub-batches.
    assert_eq!(passes.len(), 7);
    for rows in passes.values() {
        let mut sorted = rows.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }
    assert_ne!(passes[&0], passes[&1]);
    assert_eq!(mixture.epoch(), 7);
}

#[test]
fn a_sub_batch_never_holds_a_row_twice() {
    for (rows, sub_batch_size) in [(8, 8), (9, 8), (10, 7), (3, 2)] {
        let mut mixture = mixture(&[("a", 1.0, rows)], sub_batch_size, Stopping::AllExhausted, None);
        for _ in 0..50 {
            let mut seen: Vec<u32> = all_good(&mut mixture)
                .expect("no end")
                .iter()
                .map(|draw| draw.row)
                .collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), sub_batch_size, "{rows} rows");
        }
    }
}

#[test]
fn an_epoch_ends_with_the_last_dataset_or_with_the_first() {
    let of = [("small", 1.0, 20), ("large", 1.0, 200)];
    let rows = |stopping| {
        let mut mixture = mixture(&of, 5, stopping, Some(1));
        let mut rows = [Vec::new(), Vec::new()];
        while let Some(draws) = all_good(&mut mixture) {
            rows[draws[0].part].extend(draws.iter().map(|draw| draw.row));
        }
        assert_eq!(mixture.epoch(), 1);
        rows
    };
    let distinct = |rows: &[u32]| rows.iter().collect::<std::collections::HashSet<_>>().len();

    let [small, large] = rows(Stopping::AllExhausted);
    assert_eq!((distinct(&small), large.len(), distinct(&large)), (20, 200, 200));
    assert!(small.len() > 100, "the small one repeats: {}", small.len());

    let [small, large] = rows(Stopping::FirstExhausted);
    assert_eq!((small.len(), distinct(&small)), (20, 20));
    assert!(large.len() < 100 && distinct(&large) == large.len());
}

#[test]
fn after_an_epoch_a_dataset_that_was_left_unfinished_begins_anew() {
    let mut mixture = mixture(
        &[("small", 1.0, 10), ("large", 1.0, 1000)],
        5,
        Stopping::FirstExhausted,
        None,
    );
    let mut passes = HashMap::new();
    while mixture.epoch() < 3 {
        let epoch = mixture.epoch();
        for draw in all_good(&mut mixture).expect("no end") {
            passes
                .entry((draw.part, epoch))
                .or_insert_with(Vec::new)
                .push(draw.pass);
        }
    }
    for ((part, epoch), passes) in passes {
        assert!(
            passes.iter().all(|&pass| pass == epoch),
            "part {part}, epoch {epoch}: {passes:?}"
        );
    }
}

#[test]
fn the_number_of_batches_is_known_ahead() {
    let of = [("a", 1.0, 33), ("b", 3.0, 150)];
    let mut mixture = mixture(&of, 4, Stopping::AllExhausted, Some(2));
    let (all, ahead) = (mixture.batches_left(3).expect("two epochs"), mixture.clone());
    let mut sub_batches = 0;
    while all_good(&mut mixture).is_some() {
        sub_batches += 1;
    }
    assert_eq!((all, mixture.batches_left(3)), (sub_batches / 3, Some(0)));
    assert_eq!(ahead.batches_left(1), Some(sub_batches));
    assert_eq!(
        self::mixture(&of, 4, Stopping::AllExhausted, None).batches_left(3),
        None
    );
}

#[test]
fn a_run_goes_on_from_any_position_as_if_it_had_not_stopped() {
    let of = [("a", 1.0, 13), ("b", 2.0, 40), ("c", 0.5, 25)];
    // Some rows are bad in each dataset.
    let bad = |draw: Draw| draw.row.is_multiple_of(6);
    for stopping in [Stopping::AllExhausted, Stopping::FirstExhausted] {
        let mut whole = mixture(&of, 5, stopping, Some(4));
        let mut positions = vec![whole.position()];
        let mut sub_batches = Vec::new();
        while let Some(draws) = sub_batch(&mut whole, &bad) {
            sub_batches.push(draws);
            positions.push(whole.position());
        }
        assert!(sub_batches.len() > 10);
        for (index, position) in positions.iter().enumerate() {
            let written = serde_json::to_string(position).expect("written");
            let read: Position = serde_json::from_str(&written).expect("read");
            assert_eq!(read, *position);
            let mut rest = Mixture::new(parts(&of), options(5, stopping, Some(4)), Some(&read)).expect("goes on");
            for expected in &sub_batches[index..] {
                assert_eq!(sub_batch(&mut rest, &bad).as_ref(), Some(expected));
            }
            assert_eq!(sub_batch(&mut rest, &bad), None);
        }
    }
}

/// Runs that were stopped by an earlier version go on with the same rows: these numbers may change only with the seed.
/// SHA-256, ChaCha8 and Fisher and Yates' shuffle, written out in Python, gave them too.
#[test]
fn the_order_of_a_seed_is_the_same_everywhere() {
    let mut mixture = mixture(&[("a", 1.0, 10), ("b", 1.0, 10)], 3, Stopping::AllExhausted, None);
    let draws: Vec<(usize, Vec<u32>)> = (0..4)
        .map(|_| {
            let draws = all_good(&mut mixture).expect("no end");
            (draws[0].part, draws.iter().map(|draw| draw.row).collect())
        })
        .collect();
    assert_eq!(draws, FROZEN.map(|(part, rows)| (part, rows.to_vec())));
}

const FROZEN: [(usize, [u32; 3]); 4] = [(0, [7, 2, 9]), (1, [6, 0, 8]), (0, [8, 6, 1]), (0, [0, 5, 3])];

#[test]
fn what_cannot_be_mixed_is_refused_by_name() {
    assert_eq!(refused(&[], 1), "datasets: there is none; name one or more");
    assert_eq!(
        refused(&[("a", 1.0, 9), ("a", 1.0, 9)], 1),
        "datasets: two have the name `a`; give each its own"
    );
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(refused(&[("a", weight, 9)], 1).starts_with("dataset `a`: weight: "));
    }
    let message = refused(&[("a", 1.0, 9), ("b", 1.0, 3)], 4);
    assert!(
        message.starts_with("dataset `b` has 3 rows, fewer than a sub-batch of 4"),
        "{message}"
    );
}

#[test]
fn a_position_of_other_data_is_refused() {
    let of = [("a", 1.0, 9), ("b", 1.0, 9)];
    let position = mixture(&of, 3, Stopping::AllExhausted, None).position();
    let refused = |of: &[(&str, f64, usize)], seed| {
        let options = MixtureOptions {
            seed,
            ..options(3, Stopping::AllExhausted, None)
        };
        Mixture::new(parts(of), options, Some(&position))
            .expect_err("refused")
            .to_string()
    };
    assert!(refused(&of, 8).contains("seed was 7 and is 8"));
    assert!(refused(&[("a", 1.0, 9)], 7).contains("the datasets were a, b and are a"));
    assert!(refused(&[("a", 1.0, 9), ("b", 1.0, 10)], 7).contains("dataset `b` had 9 rows and has 10"));
}

#[test]
fn a_dataset_with_too_few_rows_that_can_be_read_ends_the_run() {
    let mut mixture = mixture(&[("a", 1.0, 20)], 6, Stopping::AllExhausted, None);
    let error = loop {
        match mixture.draw() {
            Ok(Some(draw)) if draw.row < 5 => _ = mixture.accept(draw),
            Ok(Some(_)) => {}
            Ok(None) => panic!("there is no end"),
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(
        error,
        "dataset `a`: only 5 of its 20 rows can be read, and a sub-batch takes 6"
    );
}

#[test]
fn strategies_read_back_what_they_write() {
    for stopping in [Stopping::AllExhausted, Stopping::FirstExhausted] {
        assert_eq!(stopping.to_string().parse::<Stopping>().expect("valid"), stopping);
    }
    let error = "some_exhausted".parse::<Stopping>().expect_err("none").to_string();
    assert!(error.contains("all_exhausted or first_exhausted"), "{error}");
}
