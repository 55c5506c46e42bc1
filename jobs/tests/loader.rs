//! Batches: what is in them, that they do not depend on who prepared them, and what becomes of bad rows.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{Rgb, RgbImage};
use sightstream_jobs::data::{
    DatasetOptions, Item, Loaded, Loader, LoaderOptions, Medium, ParserKind, Position, PrepareOptions, Preparer,
};
use sightstream_jobs::example::Batch;
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::isolation::{DecoderIsolation, WorkerOptions};
use sightstream_model::media::Media;
use sightstream_model::processor::{ModelInput, Processor, ProcessorOverrides, VisionKind, Words};
use tempfile::TempDir;

fn processor() -> Arc<Processor> {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/grouped");
    let files = CheckpointFiles::locate(kit.to_str()).expect("the kit");
    Arc::new(Processor::load(&files, &ProcessorOverrides::default()).expect("its processor"))
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// An image of its own for each number.
fn drawn(number: u8) -> RgbImage {
    RgbImage::from_fn(56, 56, |x, y| {
        Rgb([number.wrapping_mul(37), (x * 4) as u8, (y * 4) as u8 ^ number])
    })
}

fn draw(path: &Path, number: u8) {
    drawn(number).save(path).expect("saved");
}

/// A dataset of so many rows: the text `NAME number` finds an image; every tenth image from the fourth on is missing.
fn images(folder: &TempDir, name: &str, rows: usize) -> DatasetOptions {
    let mut lines = String::new();
    for row in 0..rows {
        if row % 10 != 3 {
            draw(&folder.path().join(format!("{name}{row}.png")), row as u8);
        }
        lines += &format!(
            "{{\"query\": {{\"text\": \"{name} {row}\"}}, \"positive\": {{\"url\": \"{name}{row}.png\"}}, \"negatives\": [{{\"text\": \"not {name} {row}\"}}]}}\n"
        );
    }
    let path = folder.path().join(format!("{name}.jsonl"));
    fs::write(&path, lines).expect("written");
    DatasetOptions::new(name, ParserKind::Pairs, path)
}

/// A dataset of texts alone; row 5 is no JSON.
fn texts(folder: &TempDir, name: &str, rows: usize) -> DatasetOptions {
    let line = |row: usize| match row {
        5 => "{broken".to_owned(),
        row => {
            format!("{{\"query\": {{\"text\": \"{name} {row}\"}}, \"positive\": {{\"text\": \"of {name} {row}\"}}}}")
        }
    };
    let lines: Vec<String> = (0..rows).map(line).collect();
    let path = folder.path().join(format!("{name}.jsonl"));
    fs::write(&path, lines.join("\n")).expect("written");
    DatasetOptions::new(name, ParserKind::Pairs, path)
}

fn options(datasets: Vec<DatasetOptions>) -> LoaderOptions {
    LoaderOptions {
        seed: 3,
        sub_batch_size: 4,
        workers: 2,
        max_bad_share: 0.5,
        ..LoaderOptions::new(datasets, 8)
    }
}

fn load(options: LoaderOptions, from: Option<&Position>) -> Vec<Loaded> {
    let loader = Loader::new(options, processor(), from).expect("a loader");
    loader.collect::<Result<_, _>>().expect("no error")
}

fn fails(options: LoaderOptions) -> String {
    let mut loader = match Loader::new(options, processor(), None) {
        Ok(loader) => loader,
        Err(error) => return error.to_string(),
    };
    let error = loader.find_map(Result::err).expect("an error").to_string();
    assert!(loader.next().is_none(), "nothing comes after an error");
    error
}

fn text(processor: &Processor, words: &str) -> ModelInput {
    processor
        .process(&Media::Text(words.into()), None, "text")
        .expect("text")
}

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
        let rows: std::collections::HashSet<u64> = batch.examples.iter().map(|example| example.row).collect();
        assert!(rows.len() < 16, "14 rows can be read");
        for example in &batch.examples {
            let number = *numbers.entry(&example.query.token_ids).or_insert(example.row);
            assert_eq!(number, example.row);
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
        ..self::options(vec![DatasetOptions::new("alone", ParserKind::Pairs, alone)])
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

#[test]
fn too_many_bad_rows_end_the_run_and_say_why() {
    let folder = folder();
    let mut options = LoaderOptions {
        max_bad_share: 0.05,
        ..options(vec![images(&folder, "red", 40), texts(&folder, "blue", 40)])
    };
    let message = fails(options.clone());
    let expected = [
        "dataset `red`: ",
        " of ",
        "more than max_bad_share (0.05) allows",
        "red3.png: not found",
    ];
    assert!(expected.iter().all(|part| message.contains(part)), "{message}");

    options.max_bad_share = 0.2;
    options.epochs = Some(2);
    assert!(!load(options, None).is_empty());
}

#[test]
fn settings_that_cannot_be_followed_are_refused_by_name() {
    let folder = folder();
    let good = options(vec![texts(&folder, "blue", 40)]);
    let refused = |change: &dyn Fn(&mut LoaderOptions)| {
        let mut options = good.clone();
        change(&mut options);
        fails(options)
    };
    assert_eq!(
        refused(&|options| options.sub_batch_size = 3),
        "sub_batch_size: 3 does not divide batch_size, 8"
    );
    assert!(refused(&|options| options.batch_size = 0).starts_with("batch_size: 0"));
    assert!(refused(&|options| options.workers = 0).starts_with("workers: 0"));
    assert!(refused(&|options| options.max_bad_share = 1.5).starts_with("max_bad_share: 1.5 is no share"));
    assert!(refused(&|options| options.datasets[0].rows = Some(3)).contains("fewer than a sub-batch of 4"));
    let too_large = refused(&|options| {
        options.batch_size = 80;
        options.epochs = Some(1);
    });
    assert!(
        too_large.starts_with("batch_size: no batch of 80 is full"),
        "{too_large}"
    );
    let worker = WorkerOptions {
        launch_patience: std::time::Duration::ZERO,
        ..WorkerOptions::new(vec!["/no/such/worker".into()])
    };
    let images = images(&folder, "red", 20);
    let message = refused(&|options| {
        options.datasets = vec![images.clone()];
        options.prepare.decoder = DecoderIsolation::Workers(worker.clone());
    });
    assert!(message.starts_with("nothing can be decoded: "), "{message}");
}

#[test]
fn decoded_media_are_kept_within_a_limit_and_change_nothing() {
    let folder = folder();
    let datasets = vec![images(&folder, "red", 24)];
    let with = |cache_bytes: usize| LoaderOptions {
        epochs: Some(3),
        prepare: PrepareOptions {
            cache_bytes,
            ..PrepareOptions::default()
        },
        ..options(datasets.clone())
    };
    let expected = load(with(0), None);
    // Five images and no more.
    assert_eq!(load(with(5 * 56 * 56 * 3 + 500), None), expected);
    let mut loader = Loader::new(with(1 << 30), processor(), None).expect("a loader");
    let loaded: Vec<Loaded> = loader.by_ref().take(3).collect::<Result<_, _>>().expect("one pass");
    assert_eq!(loaded, expected[..3]);
    for row in 0..24 {
        _ = fs::remove_file(folder.path().join(format!("red{row}.png")));
    }
    let rest: Vec<Loaded> = loader.collect::<Result<_, _>>().expect("nothing is read again");
    assert_eq!(rest, expected[3..]);
}

fn media(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/media")
        .join(name)
}

fn preparer(folder: &TempDir) -> Preparer {
    let mut options = PrepareOptions::default();
    options.fetch.allow_directories = vec![folder.path().to_owned(), media("")];
    Preparer::new(&options, processor()).expect("a preparer")
}

fn url(path: &Path) -> Medium {
    Medium::Url(path.to_str().expect("UTF-8").to_owned())
}

fn part(path: &Path, fragment: &str) -> Medium {
    Medium::Url(format!("{}#{fragment}", path.display()))
}

fn grid(input: &ModelInput) -> (VisionKind, u32) {
    let vision = input.vision.as_ref().expect("pixels");
    (vision.kind, vision.grid_thw[0])
}

#[test]
fn videos_are_one_clip_and_documents_are_asked_for_by_page() {
    let folder = folder();
    let preparer = preparer(&folder);
    let prepare = |medium: Medium| preparer.prepare(&Item::medium(medium, None));
    let film = media("jumping_ball.webm");
    let whole = prepare(url(&film)).expect("a clip");
    assert_eq!(grid(&whole), (VisionKind::Video, 4));
    let beginning = prepare(part(&film, "t=0,1")).expect("a part of it");
    assert_eq!(grid(&beginning).0, VisionKind::Video);
    assert_ne!(beginning, whole);

    let document = media("harbour_report.pdf");
    let page = prepare(part(&document, "page=2")).expect("a page");
    assert_eq!(grid(&page), (VisionKind::Image, 1));
    let message = prepare(url(&document)).expect_err("several pages").to_string();
    assert!(
        message.contains("pages is no input; name one page, as in #page=1"),
        "{message}"
    );
}

#[test]
fn frames_in_a_folder_are_a_clip() {
    let folder = folder();
    let processor = processor();
    let preparer = preparer(&folder);
    let frames = folder.path().join("film");
    fs::create_dir(&frames).expect("a folder");
    for number in 0..12 {
        draw(&frames.join(format!("{number}.png")), number);
    }
    let prepared = preparer
        .prepare(&Item::medium(Medium::Frames(frames.clone()), None))
        .expect("a clip");
    // numpy.linspace(0, 11, 8, dtype=int)
    let clip = Media::Clip([0, 1, 3, 4, 6, 7, 9, 11].map(drawn).to_vec());
    assert_eq!(prepared, processor.process(&clip, None, "clip").expect("a clip"));

    RgbImage::new(84, 28).save(frames.join("11.png")).expect("saved");
    let again = self::preparer(&folder).prepare(&Item::medium(Medium::Frames(frames), None));
    let message = again.expect_err("two sizes").to_string();
    assert!(
        message.ends_with("film: corrupt: its frames are of several sizes"),
        "{message}"
    );
}

#[test]
fn pixels_in_a_row_and_words_beside_pixels_are_read() {
    let folder = folder();
    let processor = processor();
    let preparer = preparer(&folder);
    let mut png = std::io::Cursor::new(Vec::new());
    drawn(5).write_to(&mut png, image::ImageFormat::Png).expect("encoded");
    let medium = Medium::Bytes {
        bytes: png.into_inner().into(),
        name: "row 1".into(),
    };
    let fitted = Media::Image(drawn(5));
    let fitted = processor.target().fit(&fitted);
    let pack = |words| processor.pack_words(&fitted, words, "image").expect("packed");
    let plain = Item::medium(medium.clone(), Some("Look."));
    assert_eq!(
        preparer.prepare(&plain).expect("an image"),
        pack(Words::instruction(Some("Look.")))
    );

    let mut asked = plain.clone();
    asked.words = sightstream_jobs::data::ItemWords::Given {
        instruction: Some("Answer:".into()),
        text: Some("How many?".into()),
    };
    let words = Words::Given {
        instruction: Some("Answer:"),
        text: Some("How many?"),
    };
    assert_eq!(preparer.prepare(&asked).expect("an image"), pack(words));

    let mut around = plain;
    around.words = sightstream_jobs::data::ItemWords::Around {
        before: "See ".into(),
        after: "\nHow many?".into(),
    };
    let words = Words::Around {
        before: "See ",
        after: "\nHow many?",
    };
    let inputs = preparer
        .prepare_all(&[&around, &asked, &Item::text("red", None)])
        .expect("all");
    assert_eq!(inputs[0], pack(words));
    assert_eq!(inputs[2], text(&processor, "red"));

    let broken = Medium::Bytes {
        bytes: (*b"\x89PNG\r\n\x1a\n broken").into(),
        name: "a.parquet row 7 `image`".into(),
    };
    let message = preparer
        .prepare(&Item::medium(broken, None))
        .expect_err("broken")
        .to_string();
    assert!(message.starts_with("a.parquet row 7 `image`: corrupt: "), "{message}");
    let outside = preparer.prepare(&Item::medium(Medium::Url("/etc/hostname".into()), None));
    assert!(outside.expect_err("outside").to_string().contains("not allowed"));
}

#[test]
fn an_item_of_too_many_tokens_is_a_bad_row() {
    let folder = folder();
    let mut options = options(vec![texts(&folder, "blue", 40)]);
    options.prepare.max_tokens = Some(1);
    let message = fails(options);
    assert!(
        message.contains("the text `") && message.contains("tokens; the limit is 1"),
        "{message}"
    );
}
