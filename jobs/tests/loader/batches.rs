//! What is in batches.

use std::fs;

use sightstream_jobs::data::{DatasetOptions, Loaded, Loader, LoaderOptions, ParserKind, Position};
use sightstream_jobs::example::Batch;
use sightstream_model::media::Media;
use sightstream_model::processor::ModelInput;

use super::kit::{self, drawn, fails, folder, images, load, options, processor, text, texts};

#[test]
fn batches_are_the_same_whoever_prepares_them_and_from_wherever_they_go_on() {
    let folder = folder();
    let datasets = vec![
        images(&folder, "red", 33),
        texts(&folder, "blue", 60),
        images(&folder, "green", 12),
    ];
    let options = LoaderOptions {
        epochs: Some(2),
        hard_negatives: 1,
        ..options(datasets)
    };
    let expected = load(
        LoaderOptions {
            workers: 1,
            ahead: Some(1),
            ..options.clone()
        },
        None,
    );
    assert!(expected.len() > 10);
    let skipped: usize = expected.iter().map(|loaded| loaded.skipped.len()).sum();
    assert!(skipped > 8, "{skipped} bad rows");
    let ways = [
        (1, None, 4 << 30),
        (4, None, 4 << 30),
        (4, Some(3), 4 << 30),
        (4, Some(100), 1),
        (3, Some(17), 300_000),
    ];
    for (workers, ahead, ahead_bytes) in ways {
        let options = LoaderOptions {
            workers,
            ahead,
            ahead_bytes,
            ..options.clone()
        };
        assert_eq!(
            load(options, None),
            expected,
            "{workers} workers, {ahead:?} ahead, {ahead_bytes} bytes"
        );
    }
    for (index, loaded) in expected.iter().enumerate().step_by(3) {
        let written = serde_json::to_string(&loaded.after).expect("written");
        let position: Position = serde_json::from_str(&written).expect("read");
        let options = LoaderOptions {
            workers: 1 + 3 * (index % 2),
            ..options.clone()
        };
        assert_eq!(
            load(options, Some(&position)),
            expected[index + 1..],
            "after batch {index}"
        );
    }
}

#[test]
fn a_batch_has_sub_batches_of_one_dataset_and_bad_rows_are_replaced_and_counted() {
    let folder = folder();
    let processor = processor();
    let options = LoaderOptions {
        epochs: Some(3),
        ..options(vec![images(&folder, "red", 20), texts(&folder, "blue", 24)])
    };
    let loaded = load(options, None);
    let mut seen = [0, 0];
    for Loaded { batch, .. } in &loaded {
        let Batch { examples, sources } = batch;
        assert_eq!((examples.len(), sources.len()), (8, 2));
        for (examples, (source, count)) in examples.chunks(4).zip(sources) {
            assert_eq!(*count, 4);
            let (index, rows) = if source == "red" { (0, 20) } else { (1, 24) };
            seen[index] += 1;
            for example in examples {
                let row = (0..rows).find(|row| example.query == text(&processor, &format!("{source} {row}")));
                let row = row.expect("a row of its dataset");
                let target = match index {
                    0 => processor
                        .process(&Media::Image(drawn(row as u8)), None, "image")
                        .expect("an image"),
                    _ => text(&processor, &format!("of {source} {row}")),
                };
                assert_eq!(example.targets, [target]);
            }
        }
    }
    assert!(seen[0] > 2 && seen[1] > 2, "{seen:?}");

    let last = loaded.last().expect("batches");
    let [red, blue] = last.after.sources() else {
        panic!("two datasets")
    };
    let of = |name: &'static str| {
        loaded
            .iter()
            .flat_map(|loaded| &loaded.skipped)
            .filter(move |row| row.dataset == name)
    };
    assert_eq!(red.bad.get("not_found").copied(), Some(of("red").count() as u64));
    assert_eq!(blue.bad.get("row").copied(), Some(of("blue").count() as u64));
    assert_eq!((red.tried - red.bad_rows()) as usize, seen[0] * 4);
    let row = of("red").next().expect("a bad row");
    let place = folder.path().join("red.jsonl");
    assert!(
        row.message.starts_with(&format!("{} line ", place.display())) && row.message.contains("not found"),
        "{row:?}"
    );
    assert!(of("blue").all(|row| row.message.contains("blue.jsonl line 6: it is no JSON")));
}

#[test]
fn each_dataset_is_seen_once_and_a_last_batch_that_is_not_full_is_left_out() {
    let folder = folder();
    let options = LoaderOptions {
        epochs: Some(1),
        sub_batch_size: 2,
        ..options(vec![images(&folder, "red", 21)])
    };
    let loader = Loader::new(options.clone(), processor(), None).expect("a loader");
    assert_eq!(loader.batches_left(), Some(2));
    assert_eq!(loader.parts().map(|part| part.rows).collect::<Vec<_>>(), [21]);
    let loaded = load(options, None);
    // 19 of 21 rows can be read, and so 20 are loaded: one of them begins the next pass.
    assert_eq!(loaded.len(), 2);
    let queries: Vec<&Vec<u32>> = loaded
        .iter()
        .flat_map(|loaded| &loaded.batch.examples)
        .map(|example| &example.query.token_ids)
        .collect();
    let distinct: std::collections::HashSet<_> = queries.iter().collect();
    assert_eq!((queries.len(), distinct.len()), (16, 16));
}

#[test]
fn a_row_that_comes_twice_in_a_batch_has_its_number_twice() {
    let folder = folder();
    let options = LoaderOptions {
        epochs: Some(4),
        batch_size: 16,
        ..options(vec![texts(&folder, "red", 7), texts(&folder, "blue", 9)])
    };
    let loaded = load(options, None);
    assert!(!loaded.is_empty());
    let mut numbers = std::collections::HashMap::new();
    for Loaded { batch, .. } in &loaded {
        let rows: std::collections::HashSet<u64> = batch.examples.iter().map(|example| example.rows[0]).collect();
        assert!(rows.len() < 16, "14 rows can be read");
        for example in &batch.examples {
            let number = *numbers.entry(&example.query.token_ids).or_insert(example.rows[0]);
            assert_eq!(example.rows, [number]);
        }
    }
    let distinct: std::collections::HashSet<&u64> = numbers.values().collect();
    assert_eq!((numbers.len(), distinct.len()), (14, 14));
}

#[test]
fn hard_negatives_are_the_rows_own_and_others_targets_where_it_has_too_few() {
    let folder = folder();
    let processor = processor();
    let datasets = vec![images(&folder, "red", 12)];
    let options = LoaderOptions {
        epochs: Some(1),
        hard_negatives: 3,
        ..options(datasets)
    };
    let pictures: Vec<ModelInput> = (0..12)
        .map(|row| {
            processor
                .process(&Media::Image(drawn(row)), None, "image")
                .expect("an image")
        })
        .collect();
    for example in load(options.clone(), None)
        .iter()
        .flat_map(|loaded| &loaded.batch.examples)
    {
        let row = pictures
            .iter()
            .position(|picture| *picture == example.targets[0])
            .expect("a row's image");
        assert_eq!(example.query, text(&processor, &format!("red {row}")));
        assert_eq!(example.targets[1], text(&processor, &format!("not red {row}")));
        let others: Vec<usize> = example.targets[2..]
            .iter()
            .map(|target| {
                pictures
                    .iter()
                    .position(|picture| picture == target)
                    .expect("another row's image")
            })
            .collect();
        assert_eq!(others.len(), 2);
        // Of one dataset the number is the row's: a target that stands in has that of its own.
        let rows = [row, row, others[0], others[1]].map(|row| row as u64);
        assert_eq!(example.rows, rows);
        assert!(
            others[0] != others[1] && !others.contains(&row) && !others.contains(&3),
            "{row}: {others:?}"
        );
    }

    let alone = folder.path().join("alone.jsonl");
    let line = "{\"query\": {\"text\": \"a\"}, \"positive\": {\"text\": \"same\"}}\n";
    fs::write(&alone, line.repeat(8)).expect("written");
    let message = fails(LoaderOptions {
        hard_negatives: 1,
        ..kit::options(vec![DatasetOptions::new("alone", ParserKind::Pairs, alone)])
    });
    assert!(
        message.contains("it has 0 of 1 hard negatives, and no other row"),
        "{message}"
    );
}

#[test]
fn a_row_with_several_positives_shows_all_of_them_in_time() {
    let folder = folder();
    let processor = processor();
    let path = folder.path().join("captions.jsonl");
    let line = |row: usize| {
        format!(
            "{{\"query\": {{\"text\": \"{row}\"}}, \"positive\": [{{\"text\": \"a{row}\"}}, {{\"text\": \"b{row}\"}}]}}\n"
        )
    };
    fs::write(&path, (0..4).map(line).collect::<String>()).expect("written");
    let loaded = load(
        LoaderOptions {
            epochs: Some(20),
            batch_size: 4,
            ..options(vec![DatasetOptions::new("captions", ParserKind::Pairs, path)])
        },
        None,
    );
    let examples: Vec<_> = loaded.iter().flat_map(|loaded| &loaded.batch.examples).collect();
    for row in 0..4 {
        let query = text(&processor, &row.to_string());
        for positive in ["a", "b"] {
            let target = text(&processor, &format!("{positive}{row}"));
            let count = examples
                .iter()
                .filter(|example| example.query == query && example.targets[0] == target);
            assert!((2..19).contains(&count.count()), "{positive}{row}");
        }
    }
}
