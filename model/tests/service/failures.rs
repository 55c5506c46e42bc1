//! One bad input fails alone.

use std::time::Duration;

use futures::future::join_all;
use sightstream_model::error::MediaError;
use sightstream_model::service::{EmbedError, ServiceOptions};

use crate::fakes::{FOREVER, Hold, fine, start};

/// Embeds one bad reference between nine good ones, which must all succeed, and gives its error.
async fn among_good_ones(bad: &str, options: ServiceOptions) -> EmbedError {
    let (service, controls) = start(options, Hold::default());
    let mut urls: Vec<String> = (0..9).map(|number| fine(1, number)).collect();
    urls.insert(4, bad.to_owned());
    let mut vectors = join_all(urls.iter().map(|url| service.embed(url, None))).await;
    let error = vectors.remove(4).expect_err("a bad reference");
    for (number, vector) in vectors.into_iter().enumerate() {
        assert_eq!(vector.expect("a good one").as_ref(), [number as f32, 1.0]);
    }
    // And the service goes on.
    let calls = (20..30).map(|number| {
        let service = &service;
        async move { service.embed(&fine(1, number), None).await }
    });
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    drop(controls);
    error
}

/// All ten go to the device in one batch.
fn one_batch() -> ServiceOptions {
    ServiceOptions {
        max_batch_inputs: 10,
        max_wait: FOREVER,
        ..ServiceOptions::default()
    }
}

fn small_wait() -> ServiceOptions {
    ServiceOptions {
        max_wait: Duration::from_millis(1),
        ..ServiceOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_fetched() {
    let error = among_good_ones("missing/1/0", small_wait()).await;
    assert!(
        matches!(error, EmbedError::Media(MediaError::NotFound { .. })),
        "{error}"
    );
    assert_eq!(error.reason(), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_reference() {
    let error = among_good_ones("gopher://host/1", small_wait()).await;
    assert_eq!(error.reason(), "invalid_reference", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_fetch() {
    let error = among_good_ones("panics-in-fetch/1/0", small_wait()).await;
    assert_eq!(error.reason(), "panicked");
    assert!(error.to_string().contains("the fetcher's bug"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_decoder() {
    let error = among_good_ones("panics-in-decoder/1/0", small_wait()).await;
    assert_eq!(error.reason(), "panicked");
    assert!(
        error.to_string().contains("panics-in-decoder/1/0"),
        "the message names the input: {error}"
    );
    assert!(error.to_string().contains("the decoder's bug"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_device() {
    let error = among_good_ones("fails-on-device/1/0", one_batch()).await;
    assert_eq!(error, EmbedError::Device("device: out of memory".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_on_the_device() {
    let error = among_good_ones("panics-on-device/1/0", one_batch()).await;
    assert_eq!(
        error,
        EmbedError::Device("the encoder panicked: the kernel's bug".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vector_that_is_not_finite() {
    let error = among_good_ones("not-a-number/1/0", one_batch()).await;
    assert_eq!(
        error,
        EmbedError::Device("the encoder gave a vector that holds NaN".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vector_of_another_length() {
    let error = among_good_ones("too-short/1/0", one_batch()).await;
    assert_eq!(
        error,
        EmbedError::Device("the encoder gave a vector of 1 numbers instead of 2".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_failed_batch_is_tried_one_by_one() {
    let (service, controls) = start(
        ServiceOptions {
            max_batch_inputs: 3,
            max_wait: FOREVER,
            ..ServiceOptions::default()
        },
        Hold::default(),
    );
    let urls = ["fine/1/1", "fails-on-device/1/0", "fine/1/2"];
    join_all(urls.map(|url| service.embed(url, None))).await;
    let sizes: Vec<usize> = controls.other_batches().iter().map(Vec::len).collect();
    // The fourth is the single token by which the device shows that it still works.
    assert_eq!(sizes, [3, 1, 1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_contradicts_itself() {
    let error = among_good_ones("contradictory/1/0", one_batch()).await;
    assert_eq!(
        error.to_string(),
        "the encoder failed: input 0 of the batch: no such token"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_device_stops_the_service_and_blames_no_input() {
    let options = ServiceOptions {
        max_batch_inputs: 3,
        max_wait: FOREVER,
        ..ServiceOptions::default()
    };
    let (service, controls) = start(
        options,
        Hold {
            fetches: true,
            device: true,
        },
    );
    let embed = |url: &'static str| {
        let service = service.clone();
        tokio::spawn(async move { service.embed(url, None).await })
    };
    controls.fetches.add_permits(3);
    let mut calls: Vec<_> = ["loses-device/1/0", "fine/1/1", "fine/1/2"].map(embed).into();
    assert_eq!(controls.batch().len(), 3);
    // Two more do not get to the device.
    calls.extend(["fine/1/3", "fine/1/4"].map(embed));
    controls.until(|progress| progress.fetched == 5).await;
    controls.release(3);
    let mut outcomes: Vec<_> = join_all(calls)
        .await
        .into_iter()
        .map(|call| call.expect("no panic"))
        .collect();
    outcomes.push(service.embed("fine/1/5", None).await);
    for outcome in outcomes {
        let cause = "device: it fell off the bus";
        let message = format!("the device is lost: {cause}; and then, on a single token: {cause}");
        assert_eq!(outcome, Err(EmbedError::Stopped(message)));
    }
    controls.until_ended();
    let sizes: Vec<usize> = controls.other_batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 1], "after the batch, one of it alone and a single token");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_caller_of_a_shared_request_gets_its_error() {
    let (service, _controls) = start(small_wait(), Hold::default());
    let errors = join_all((0..20).map(|_| service.embed("missing/1/0", None))).await;
    assert!(
        errors
            .iter()
            .all(|error| matches!(error, Err(EmbedError::Media(MediaError::NotFound { .. }))))
    );
}
