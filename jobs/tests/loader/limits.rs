//! Limits, and what is refused.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use sightstream_jobs::data::{DatasetOptions, Loaded, Loader, LoaderOptions, ParserKind, PrepareOptions};
use sightstream_model::isolation::{DecoderIsolation, WorkerOptions};

use super::kit::{fails, folder, images, load, options, processor, texts};

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

#[test]
fn a_batch_that_waits_for_its_media_is_given_up_when_it_is_stopped() {
    let folder = folder();
    // Takes connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("its address");
    let row =
        format!("{{\"query\": {{\"text\": \"a ship\"}}, \"positive\": {{\"url\": \"http://{address}/ship.png\"}}}}\n");
    let path = folder.path().join("far.jsonl");
    fs::write(&path, row.repeat(8)).expect("written");
    let mut options = options(vec![DatasetOptions::new("far", ParserKind::Pairs, path)]);
    options.prepare.fetch.allow_network = vec!["127.0.0.0/8".parse().expect("a network")];
    let stop = Arc::clone(&options.stop);
    let mut loader = Loader::new(options, processor(), None).expect("a loader");
    let stopping = thread::spawn(move || {
        // By now a worker waits for the server.
        let connection = silent.accept().expect("a connection");
        stop.store(true, Ordering::Relaxed);
        connection
    });
    assert!(loader.next().is_none(), "neither a batch nor an error");
    drop(stopping.join().expect("no panic"));
}
