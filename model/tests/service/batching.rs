//! How batches fill, and what pushes back.

use std::time::{Duration, Instant};

use futures::future::join_all;
use sightstream_model::service::ServiceOptions;

use crate::fakes::{FOREVER, Hold, fine, start};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_when_its_token_budget_is_full() {
    let options = ServiceOptions {
        max_batch_tokens: 100,
        max_wait: FOREVER,
        ..ServiceOptions::default()
    };
    let (service, controls) = start(options, Hold::default());
    let urls: Vec<String> = (0..30).map(|number| fine(10, number)).collect();
    let vectors = join_all(urls.iter().map(|url| service.embed(url, None))).await;
    assert!(vectors.iter().all(Result::is_ok));
    let sizes: Vec<usize> = controls.other_batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [10, 10, 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_when_it_holds_enough_inputs() {
    let options = ServiceOptions {
        max_batch_inputs: 4,
        max_wait: FOREVER,
        ..ServiceOptions::default()
    };
    let (service, controls) = start(options, Hold::default());
    let urls: Vec<String> = (0..12).map(|number| fine(1, number)).collect();
    let vectors = join_all(urls.iter().map(|url| service.embed(url, None))).await;
    assert!(vectors.iter().all(Result::is_ok));
    let sizes: Vec<usize> = controls.other_batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [4, 4, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_before_an_input_that_would_pass_the_budget() {
    let options = ServiceOptions {
        max_batch_tokens: 100,
        queue_tokens: Some(1000),
        max_wait: FOREVER,
        ..ServiceOptions::default()
    };
    let (service, controls) = start(options, Hold::default());
    let urls: Vec<String> = (0..4).map(|number| fine(60, number)).collect();
    let caller = service.clone();
    let calls = tokio::spawn(async move { join_all(urls.iter().map(|url| caller.embed(url, None))).await });
    for _ in 0..3 {
        assert_eq!(
            controls.batch().len(),
            1,
            "two inputs of 60 tokens pass a budget of 100"
        );
    }
    // The fourth waits for what fills its batch.
    service.embed(&fine(40, 4), None).await.expect("encoded");
    assert_eq!(controls.batch().len(), 2);
    assert!(calls.await.expect("no panic").iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_does_not_fill_goes_after_its_wait() {
    let max_wait = Duration::from_millis(50);
    let (service, controls) = start(
        ServiceOptions {
            max_wait,
            ..ServiceOptions::default()
        },
        Hold::default(),
    );
    let asked = Instant::now();
    let vector = service.embed(&fine(3, 7), None).await.expect("encoded");
    assert_eq!(vector.as_ref(), [7.0, 3.0]);
    assert!(asked.elapsed() >= max_wait);
    assert_eq!(controls.other_batches(), [[7]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_larger_than_the_budget_and_the_queue_goes_alone() {
    let options = ServiceOptions {
        max_batch_tokens: 100,
        queue_tokens: Some(200),
        max_wait: FOREVER,
        ..ServiceOptions::default()
    };
    let (service, controls) = start(options, Hold::default());
    let vector = service.embed(&fine(500, 1), None).await.expect("encoded");
    assert_eq!(vector.as_ref(), [1.0, 500.0]);
    assert_eq!(controls.other_batches(), [[1]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_device_holds_back_preprocessing_and_fetches() {
    let options = ServiceOptions {
        max_batch_tokens: 10,
        queue_tokens: Some(20),
        fetch_concurrency: 3,
        preprocess_threads: 2,
        max_wait: Duration::ZERO,
        ..ServiceOptions::default()
    };
    let (service, controls) = start(
        options,
        Hold {
            device: true,
            ..Hold::default()
        },
    );
    let urls: Vec<String> = (0..50).map(|number| fine(10, number)).collect();
    let calls = tokio::spawn(async move { join_all(urls.iter().map(|url| service.embed(url, None))).await });

    // One on the device, two in the queue, two that found it full; and three fetched behind those.
    controls
        .until(|progress| progress.preparing == 5 && progress.fetched == 8)
        .await;
    controls.release(50);
    let vectors = calls.await.expect("no panic");
    assert!(vectors.iter().all(Result::is_ok));
    let progress = controls.progress();
    assert_eq!(progress.encoded, 50);
    assert_eq!(
        (progress.most_prepared, progress.most_fetched),
        (5, 8),
        "more were prepared or fetched than allowed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_max_in_flight_are_begun() {
    let options = ServiceOptions {
        max_in_flight: 6,
        max_wait: Duration::ZERO,
        ..ServiceOptions::default()
    };
    let (service, controls) = start(
        options,
        Hold {
            fetches: true,
            ..Hold::default()
        },
    );
    let urls: Vec<String> = (0..100).map(|number| fine(1, number)).collect();
    let calls = tokio::spawn(async move { join_all(urls.iter().map(|url| service.embed(url, None))).await });
    controls.until(|progress| progress.fetched == 6).await;
    controls.fetches.add_permits(100);
    assert!(calls.await.expect("no panic").iter().all(Result::is_ok));
    assert!(controls.progress().most_fetched <= 6, "{:?}", controls.progress());
}
