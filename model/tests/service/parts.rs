//! Wholes with parts: how their vectors come from those of their parts, and what is shared.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::{FutureExt, join_all};
use sightstream_model::service::{EmbedError, Merge, ServiceOptions};

use crate::fakes::{FOREVER, Hold, fine, start};

fn without_wait() -> ServiceOptions {
    ServiceOptions {
        max_wait: Duration::ZERO,
        ..ServiceOptions::default()
    }
}

fn held_fetches() -> Hold {
    Hold {
        fetches: true,
        ..Hold::default()
    }
}

/// `numbers`, at unit length.
fn unit(numbers: [f32; 2]) -> [f32; 2] {
    let length = numbers[0].hypot(numbers[1]);
    numbers.map(|number| number / length)
}

fn assert_near(found: &[f32], expected: [f32; 2]) {
    let near = found
        .iter()
        .zip(expected)
        .all(|(found, expected)| (found - expected).abs() < 1e-6);
    assert!(near && found.len() == 2, "{found:?} is not {expected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_has_the_largest_numbers_of_its_parts_at_unit_length() {
    let (service, controls) = start(without_wait(), Hold::default());
    // The pages' vectors are [11, 3], [12, 2] and [13, 1].
    assert_near(
        &service.embed("document/3/10", None).await.expect("embedded"),
        unit([13.0, 3.0]),
    );
    assert_eq!(
        service
            .embed("document/3/10#page=2", None)
            .await
            .expect("embedded")
            .as_ref(),
        [12.0, 2.0]
    );
    // With an instruction of two letters, they are [13, 3], [14, 2] and [15, 1].
    let instructed = service.embed("document/3/10", Some("it")).await.expect("embedded");
    assert_near(&instructed, unit([15.0, 3.0]));
    let mut numbers = controls.other_batches().concat();
    numbers.sort_unstable();
    assert_eq!(numbers, [11, 12, 12, 13, 13, 14, 15]);
    // 200 s are 7 windows: [1, 7] to [7, 1].
    assert_near(
        &service.embed("video/200/0", None).await.expect("embedded"),
        unit([7.0, 7.0]),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_centroid_is_the_direction_of_the_mean() {
    let options = ServiceOptions {
        merge: Merge::Centroid,
        ..without_wait()
    };
    let (service, _controls) = start(options, Hold::default());
    assert_near(
        &service.embed("document/3/10", None).await.expect("embedded"),
        unit([12.0, 2.0]),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_go_in_batches_with_everything_else() {
    let options = ServiceOptions {
        max_batch_inputs: 8,
        max_wait: FOREVER,
        ..ServiceOptions::default()
    };
    let (service, controls) = start(options, Hold::default());
    let others: Vec<String> = (100..102).map(|number| fine(1, number)).collect();
    let calls = ["document/2/10", "document/4/20"]
        .into_iter()
        .chain(others.iter().map(String::as_str));
    let vectors = join_all(calls.map(|url| service.embed(url, None))).await;
    assert!(vectors.iter().all(Result::is_ok));
    let mut batch = controls.batch();
    batch.sort_unstable();
    assert_eq!(batch, [11, 12, 21, 22, 23, 24, 100, 101]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_go_on_where_there_is_one_place_of_each_kind() {
    let options = ServiceOptions {
        max_in_flight: 1,
        fetch_concurrency: 1,
        preprocess_threads: 1,
        max_batch_tokens: 100,
        queue_tokens: Some(100),
        ..without_wait()
    };
    let (service, controls) = start(options, Hold::default());
    let urls: Vec<String> = (0..20)
        .flat_map(|number| [format!("document/100/{number}"), fine(1, number)])
        .collect();
    let embedded = tokio::time::timeout(
        Duration::from_secs(60),
        join_all(urls.iter().map(|url| service.embed(url, None))),
    );
    let vectors = embedded.await.expect("they do not wait for one another in a circle");
    for (url, vector) in urls.iter().zip(vectors) {
        assert!(vector.is_ok(), "{url}: {vector:?}");
    }
    assert_eq!(controls.progress().encoded, 20 * 100 + 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_document_asks_for_some_of_its_pages_at_a_time() {
    let (service, controls) = start(without_wait(), held_fetches());
    let mut whole = service.embed("document/1000/0", None).boxed();
    assert!((&mut whole).now_or_never().is_none());
    controls.fetches.add_permits(1);
    controls.until(|progress| progress.fetched == 33).await;
    // Whoever comes then does not wait for the rest of them.
    let other = fine(1, 5);
    let mut other = service.embed(&other, None).boxed();
    assert!((&mut other).now_or_never().is_none());
    controls.until(|progress| progress.fetched == 34).await;
    controls.fetches.add_permits(33);
    other.await.expect("embedded");
    controls.fetches.add_permits(1000);
    assert_near(&whole.await.expect("embedded"), unit([1000.0, 1000.0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_computed_once_whoever_asks_and_however_it_is_spelled() {
    let (service, controls) = start(without_wait(), held_fetches());
    let mut calls = vec![service.embed("video/190/0", None).boxed()];
    assert!((&mut calls[0]).now_or_never().is_none());
    controls.fetches.add_permits(1);
    controls.until(|progress| progress.fetched == 8).await;
    for spelled in ["#t=30,60", "#t=0:30,1:00", "#t=npt:30,60.0"] {
        let url = format!("video/190/0{spelled}");
        let service = service.clone();
        calls.push(async move { service.embed(&url, None).await }.boxed());
        let last = calls.last_mut().expect("one was pushed");
        assert!(last.now_or_never().is_none());
    }
    controls.fetches.add_permits(7);
    let vectors = join_all(calls).await;
    assert_near(vectors[0].as_ref().expect("embedded"), unit([7.0, 7.0]));
    for window in &vectors[1..] {
        assert_eq!(window.as_ref().expect("embedded").as_ref(), [2.0, 6.0]);
    }
    assert_eq!(
        controls.prepares.load(Ordering::SeqCst),
        8,
        "the whole, and its seven windows"
    );
    assert_eq!(controls.progress().encoded, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_parts_are_kept_for_the_next_who_asks() {
    let (service, controls) = start(without_wait(), Hold::default());
    let first = service.embed("kept/5/0", None).await.expect("embedded");
    assert_eq!(controls.progress().encoded, 5);
    assert_eq!(service.embed("kept/5/0", None).await.expect("embedded"), first);
    assert_eq!(
        service.embed("kept/5/0#page=5", None).await.expect("embedded").as_ref(),
        [5.0, 1.0]
    );
    assert_eq!(controls.progress().encoded, 5);
    // The whole was looked at twice, its pages once.
    assert_eq!(controls.prepares.load(Ordering::SeqCst), 7);
    // The same content elsewhere; other content; another instruction.
    assert_eq!(
        service
            .embed("elsewhere/kept/5/0#page=5", None)
            .await
            .expect("embedded")
            .as_ref(),
        [5.0, 1.0]
    );
    assert_eq!(controls.progress().encoded, 5);
    service.embed("kept/4/0#page=4", None).await.expect("embedded");
    service.embed("kept/5/0#page=5", Some("it")).await.expect("embedded");
    assert_eq!(controls.progress().encoded, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_whose_callers_go_away_gives_its_parts_up() {
    let options = ServiceOptions {
        max_in_flight: 4,
        ..without_wait()
    };
    let (service, controls) = start(options, held_fetches());
    let mut whole = service.embed("document/100/0", None).boxed();
    assert!((&mut whole).now_or_never().is_none());
    controls.fetches.add_permits(1);
    controls.until(|progress| progress.fetching == 4).await;
    // Somebody else wants the first page, which stays.
    let mut page = service.embed("document/100/0#page=1", None).boxed();
    assert!((&mut page).now_or_never().is_none());
    drop(whole);
    controls.until(|progress| progress.fetching == 1).await;
    controls.fetches.add_permits(100);
    assert_eq!(page.await.expect("embedded").as_ref(), [1.0, 100.0]);
    assert_eq!(
        service.embed(&fine(1, 500), None).await.expect("embedded").as_ref(),
        [500.0, 1.0]
    );
    assert_eq!(controls.other_batches(), [[1], [500]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_parts_are_left_out_if_half_of_them_have_vectors() {
    let (service, controls) = start(without_wait(), Hold::default());
    // Pages 3 and 4 are left: [5, 2] and [6, 1].
    assert_near(
        &service.embed("broken/4/2", None).await.expect("embedded"),
        unit([6.0, 2.0]),
    );
    let error = service
        .embed("broken/5/3", None)
        .await
        .expect_err("two of five are left");
    assert_eq!(error.reason(), "corrupt");
    let message = "3 of 5 parts have no vector, first broken/5/3#page=1: corrupt: torn out";
    assert_eq!(error.to_string(), message);
    assert!(
        matches!(
            error,
            EmbedError::Parts {
                failed: 3,
                parts: 5,
                ..
            }
        ),
        "{error:?}"
    );
    let error = service
        .embed("broken/5/3#page=3", None)
        .await
        .expect_err("it is torn out");
    assert_eq!(error.to_string(), "broken/5/3#page=3: corrupt: torn out");
    drop(controls);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_fault_of_a_part_fails_the_whole() {
    let (service, controls) = start(without_wait(), Hold::default());
    let error = service
        .embed("failing/10/3", None)
        .await
        .expect_err("the device fails on page 3");
    assert_eq!(error, EmbedError::Device("device: out of memory".into()));
    let error = service
        .embed("missing/10/3#page=2", None)
        .await
        .expect_err("it is not there");
    assert_eq!(error.reason(), "not_found");
    let error = service.embed("document/0/1", None).await.expect_err("it has no pages");
    assert_eq!(error.to_string(), "document/0/1: corrupt: it is empty");
    let error = service.embed("document/30000/1", None).await.expect_err("too many");
    assert_eq!(
        error.to_string(),
        "document/30000/1: too large: 30000 parts; the limit is 20160"
    );
    drop(controls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_ends_wholes_that_wait_for_their_parts() {
    let (service, controls) = start(without_wait(), held_fetches());
    let (embedding, listing) = (service.clone(), service.clone());
    let whole = tokio::spawn(async move { embedding.embed("document/10/0", None).await });
    controls.fetches.add_permits(1);
    controls.until(|progress| progress.fetched == 11).await;
    let parts = tokio::spawn(async move { listing.segments("document/10/0").await });
    controls.until(|progress| progress.fetched == 12).await;
    service.stop();
    assert_eq!(whole.await.expect("no panic").expect_err("stopped").reason(), "stopped");
    assert_eq!(parts.await.expect("no panic").expect_err("stopped").reason(), "stopped");
    assert_eq!(
        service.segments("document/10/0").await.expect_err("stopped").reason(),
        "stopped"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_are_the_addresses_of_the_parts_in_order() {
    let (service, controls) = start(without_wait(), Hold::default());
    let segments = |url: &'static str| service.segments(url);
    let windows = segments("video/200/0").await.expect("listed");
    assert_eq!(windows.len(), 7);
    assert_eq!(
        (windows[0].as_str(), windows[6].as_str()),
        ("video/200/0#t=0,30", "video/200/0#t=180,200")
    );
    let pages = segments("take #2/document/2/0").await.expect("listed");
    assert_eq!(pages, ["take #2/document/2/0#page=1", "take #2/document/2/0#page=2"]);
    assert_eq!(segments("fine/1/2").await.expect("listed"), ["fine/1/2"]);
    let fetched = controls.progress().fetched;
    assert_eq!(
        segments("video/200/0#t=0:30,1:00").await.expect("listed"),
        ["video/200/0#t=0:30,1:00"]
    );
    assert_eq!(controls.progress().fetched, fetched, "a part is not looked into");
    for (url, reason) in [
        ("missing/1/1", "not_found"),
        ("video/200/0#t=60,30", "invalid_reference"),
        ("panics-in-decoder/1/1", "panicked"),
        ("document/30000/1", "too_large"),
    ] {
        assert_eq!(segments(url).await.expect_err(url).reason(), reason);
    }
    assert_eq!(controls.progress().encoded, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_listings_in_flight_are_one_and_a_caller_that_goes_away_frees_its_place() {
    let options = ServiceOptions {
        max_in_flight: 1,
        fetch_concurrency: 1,
        ..without_wait()
    };
    let (service, controls) = start(options, held_fetches());
    let mut calls: Vec<_> = (0..50).map(|_| service.segments("document/3/0").boxed()).collect();
    let mut gone = service.segments("document/4/0").boxed();
    for call in calls.iter_mut().chain([&mut gone]) {
        assert!(call.now_or_never().is_none());
    }
    drop(gone);
    controls.fetches.add_permits(1);
    for listed in join_all(calls).await {
        assert_eq!(listed.expect("listed").len(), 3);
    }
    assert_eq!(
        (controls.progress().fetched, controls.prepares.load(Ordering::SeqCst)),
        (1, 1)
    );
    controls.fetches.add_permits(1);
    service.embed(&fine(1, 1), None).await.expect("the place is free");
}
