//! The embedding service with decoders in workers.

use std::fs;
use std::path::Path;

use futures::future::join_all;
use sightstream_model::encoder::{DeviceChoice, Encoder, EncoderOptions};
use sightstream_model::fetch::{FetchOptions, Fetcher};
use sightstream_model::isolation::{DecoderIsolation, WorkerOptions};
use sightstream_model::service::{EmbedError, EmbeddingService, ServiceOptions};

use crate::support::{POISON, Test, formats, workers};

pub const TESTS: &[Test] = &[
    (
        "a_poisoned_row_fails_alone_and_its_neighbours_have_the_vectors_of_the_process",
        neighbours_arrive,
    ),
    (
        "a_service_whose_workers_cannot_start_does_not_start",
        a_service_whose_workers_cannot_start_does_not_start,
    ),
    (
        "a_service_whose_workers_cannot_start_any_more_stops_and_blames_no_row",
        workers_that_cannot_start_any_more,
    ),
];

fn service(decoder: DecoderIsolation) -> Result<EmbeddingService, String> {
    let options = EncoderOptions {
        device: DeviceChoice::Cpu,
        ..EncoderOptions::default()
    };
    let encoder = Encoder::load(&options).expect("the demo checkpoint is built in");
    let fetcher = Fetcher::new(FetchOptions {
        allow_directories: vec!["/".into()],
        ..FetchOptions::default()
    })
    .expect("a fetcher");
    let options = ServiceOptions {
        decoder,
        preprocess_threads: 3,
        // One input a batch: a vector's last bits depend on what shares its batch.
        max_batch_inputs: 1,
        ..ServiceOptions::default()
    };
    EmbeddingService::start(encoder, fetcher, options).map_err(|error| error.to_string())
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(future)
}

fn vectors(service: &EmbeddingService, urls: &[String]) -> Vec<Result<Vec<f32>, EmbedError>> {
    let outcomes = block_on(join_all(urls.iter().map(|url| service.embed(url, None))));
    outcomes
        .into_iter()
        .map(|outcome| outcome.map(|vector| vector.to_vec()))
        .collect()
}

fn poison(folder: &Path) -> String {
    let path = folder.join("poison.jpg");
    fs::write(&path, POISON).expect("a new file");
    path.to_str().expect("a UTF-8 path").to_owned()
}

fn neighbours_arrive() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let image = |name: &str| formats().join(name).to_str().expect("a UTF-8 path").to_owned();
    let good = [
        "420.jpg",
        "grey.png",
        "555.bmp",
        "animated.gif",
        "lossy.webp",
        "lzw.tiff",
    ]
    .map(image);
    let here = vectors(&service(DecoderIsolation::InProcess).expect("a service"), &good);
    assert!(here.iter().all(Result::is_ok));
    for kind in ["aborts", "takes-memory", "sends-garbage"] {
        let options = WorkerOptions {
            memory: 128 << 20,
            ..workers(kind)
        };
        let service = service(DecoderIsolation::Workers(options)).expect("a service");
        let mut urls = good.to_vec();
        urls.insert(3, poison(folder.path()));
        urls.push("data:,red%20bicycle".into());
        let mut there = vectors(&service, &urls);
        assert!(there.pop().expect("the text").is_ok());
        let poisoned = there.remove(3).expect_err("poison");
        assert!(matches!(poisoned.reason(), "crashed" | "decode_memory"), "{poisoned}");
        assert_eq!(there, here, "{kind}");
    }
}

fn a_service_whose_workers_cannot_start_does_not_start() {
    let missing = WorkerOptions::new(vec!["/no/such/executable".into()]);
    let refused = service(DecoderIsolation::Workers(missing)).expect_err("no worker");
    assert!(
        refused.starts_with("decoding: /no/such/executable cannot be started"),
        "{refused}"
    );
}

fn workers_that_cannot_start_any_more() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // An executable that goes away while the service runs.
    let executable = folder.path().join("worker");
    fs::copy(
        std::env::current_exe().expect("this executable has a path"),
        &executable,
    )
    .expect("a copy");
    let mut options = workers("aborts");
    options.command[0] = executable.clone().into();
    options.launch_patience = std::time::Duration::from_millis(300);
    let service = service(DecoderIsolation::Workers(options)).expect("a service");
    fs::remove_file(&executable).expect("it is there");
    let good = formats().join("420.jpg").to_str().expect("a UTF-8 path").to_owned();
    let outcomes = vectors(&service, &[poison(folder.path()), good]);
    for outcome in &outcomes {
        // The good one may have found the worker before the poison did.
        assert!(matches!(outcome, Ok(_) | Err(EmbedError::Stopped(_))), "{outcome:?}");
    }
    let later = vectors(&service, &["data:,red%20bicycle".to_owned()])
        .remove(0)
        .expect_err("stopped");
    assert!(
        matches!(&later, EmbedError::Stopped(why) if why.contains("cannot be started")),
        "{later}"
    );
}
