//! Many callers: who shares what, who gets what, and who goes away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::{FutureExt, join_all};
use sightstream_model::service::ServiceOptions;

use crate::fakes::{FOREVER, Hold, fine, start};

fn without_wait() -> ServiceOptions {
    ServiceOptions {
        max_wait: Duration::ZERO,
        ..ServiceOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_callers_each_get_their_own_vector() {
    let (service, controls) = start(ServiceOptions::default(), Hold::default());
    let calls = (0..10_000_u32).map(|number| {
        let service = service.clone();
        tokio::spawn(async move {
            let tokens = 1 + number as usize % 97;
            (number, tokens, service.embed(&fine(tokens, number), None).await)
        })
    });
    for call in join_all(calls).await {
        let (number, tokens, vector) = call.expect("no panic");
        assert_eq!(vector.expect("encoded").as_ref(), [number as f32, tokens as f32]);
    }
    assert_eq!(controls.progress().encoded, 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_requests_in_flight_are_encoded_once() {
    let (service, controls) = start(
        without_wait(),
        Hold {
            fetches: true,
            ..Hold::default()
        },
    );
    let url = fine(2, 5);
    let mut calls: Vec<_> = (0..100).map(|_| Box::pin(service.embed(&url, None))).collect();
    for call in &mut calls {
        assert!(call.now_or_never().is_none(), "the fetch is held");
    }
    controls.fetches.add_permits(1);
    let vectors: Vec<Arc<[f32]>> = join_all(calls)
        .await
        .into_iter()
        .map(|vector| vector.expect("encoded"))
        .collect();
    assert!(vectors.iter().all(|vector| Arc::ptr_eq(vector, &vectors[0])));
    assert_eq!(controls.other_batches(), [[5]]);
    assert_eq!(controls.prepares.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_after_its_equal_ended_is_encoded_again() {
    let (service, controls) = start(without_wait(), Hold::default());
    let url = fine(2, 5);
    for _ in 0..2 {
        service.embed(&url, None).await.expect("encoded");
    }
    assert_eq!(controls.other_batches(), [[5], [5]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instruction_is_another_request() {
    let (service, controls) = start(
        without_wait(),
        Hold {
            fetches: true,
            ..Hold::default()
        },
    );
    let url = fine(1, 5);
    let mut calls = [
        service.embed(&url, None).boxed(),
        service.embed(&url, Some("abc")).boxed(),
    ];
    for call in &mut calls {
        assert!(call.now_or_never().is_none(), "the fetch is held");
    }
    controls.fetches.add_permits(2);
    let vectors = join_all(calls).await;
    assert_eq!(vectors[0].as_ref().expect("encoded").as_ref(), [5.0, 1.0]);
    assert_eq!(vectors[1].as_ref().expect("encoded").as_ref(), [8.0, 1.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_the_others_of_its_request() {
    let (service, controls) = start(
        without_wait(),
        Hold {
            fetches: true,
            ..Hold::default()
        },
    );
    let url = fine(2, 5);
    let (mut first, mut second) = (service.embed(&url, None).boxed(), service.embed(&url, None).boxed());
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    drop(first);
    controls.fetches.add_permits(1);
    assert_eq!(second.await.expect("encoded").as_ref(), [5.0, 2.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_device_never_sees_an_input_whose_caller_went_away() {
    let options = ServiceOptions {
        preprocess_threads: 1,
        ..without_wait()
    };
    let (service, controls) = start(
        options,
        Hold {
            device: true,
            ..Hold::default()
        },
    );
    let urls: Vec<String> = (0..4).map(|number| fine(1, number)).collect();
    let mut calls: Vec<_> = Vec::new();
    for (index, url) in urls.iter().enumerate() {
        let mut call = service.embed(url, None).boxed();
        assert!((&mut call).now_or_never().is_none());
        calls.push(call);
        // The only preprocessing thread begins the next input when the one before is in the queue.
        controls.until(|progress| progress.preparing == index + 1).await;
        if index == 0 {
            assert_eq!(controls.batch(), [0]);
        }
    }
    drop(calls.remove(1));
    controls.release(4);
    let vectors = join_all(calls).await;
    assert!(vectors.iter().all(Result::is_ok));
    assert_eq!(controls.other_batches().concat(), [2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_while_fetching_frees_its_place() {
    let options = ServiceOptions {
        max_in_flight: 1,
        fetch_concurrency: 1,
        ..without_wait()
    };
    let (service, controls) = start(
        options,
        Hold {
            fetches: true,
            ..Hold::default()
        },
    );
    let (gone_url, next_url) = (fine(1, 1), fine(1, 2));
    let mut gone = service.embed(&gone_url, None).boxed();
    assert!((&mut gone).now_or_never().is_none());
    controls.until(|progress| progress.fetched == 1).await;
    drop(gone);
    // The abandoned fetch may still take one of them on its way out.
    controls.fetches.add_permits(2);
    assert_eq!(
        service.embed(&next_url, None).await.expect("encoded").as_ref(),
        [2.0, 1.0]
    );
    assert_eq!(controls.other_batches(), [[2]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_while_queued_frees_the_queue() {
    let options = ServiceOptions {
        max_batch_tokens: 10,
        queue_tokens: Some(10),
        preprocess_threads: 1,
        ..without_wait()
    };
    let (service, controls) = start(
        options,
        Hold {
            device: true,
            ..Hold::default()
        },
    );
    let urls: Vec<String> = (0..4).map(|number| fine(10, number)).collect();
    let mut calls: Vec<_> = Vec::new();
    for (index, url) in urls[..3].iter().enumerate() {
        let mut call = service.embed(url, None).boxed();
        assert!((&mut call).now_or_never().is_none());
        calls.push(call);
        controls.until(|progress| progress.preparing == index + 1).await;
        if index == 0 {
            assert_eq!(controls.batch(), [0]);
        }
    }
    // 0 is on the device, 1 fills the queue, 2 holds the only preprocessing place until there is room, so 3 is held back.
    let mut last = service.embed(&urls[3], None).boxed();
    assert!((&mut last).now_or_never().is_none());
    controls.until(|progress| progress.fetched == 4).await;
    assert_eq!(controls.progress().preparing, 3);
    drop(calls.remove(1));
    controls.until(|progress| progress.preparing == 4).await;
    controls.release(4);
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    last.await.expect("encoded");
    assert_eq!(controls.other_batches(), [[2], [3]]);
}

#[test]
fn callers_need_no_runtime_of_ours() {
    let (service, _controls) = start(without_wait(), Hold::default());
    let vector = futures::executor::block_on(service.embed(&fine(1, 3), None)).expect("encoded");
    assert_eq!(vector.as_ref(), [3.0, 1.0]);
}

#[test]
fn a_runtime_that_ends_takes_no_shared_request_with_it() {
    let options = ServiceOptions {
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
    let first = tokio::runtime::Runtime::new().expect("a runtime");
    let starter = service.clone();
    first.spawn(async move { starter.embed(&fine(1, 3), None).await });
    first.block_on(controls.until(|progress| progress.fetched == 1));
    let mut joined = service.embed("fine/1/3", None).boxed();
    assert!((&mut joined).now_or_never().is_none());
    first.shutdown_timeout(FOREVER);
    controls.fetches.add_permits(1);
    assert_eq!(
        futures::executor::block_on(joined).expect("encoded").as_ref(),
        [3.0, 1.0]
    );
    assert_eq!(controls.progress().fetched, 1);
}
