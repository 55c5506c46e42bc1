//! How the service ends.

use futures::future::{FutureExt, join_all};
use sightstream_model::service::{EmbedError, ServiceOptions};

use crate::fakes::{FOREVER, Hold, fine, start};

fn shut_down() -> EmbedError {
    EmbedError::Stopped("it was shut down".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_device_thread_ends_with_the_last_handle() {
    let (service, controls) = start(ServiceOptions::default(), Hold::default());
    let clone = service.clone();
    drop(service);
    clone.embed(&fine(1, 1), None).await.expect("a handle is left");
    drop(clone);
    controls.until_ended();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_answers_callers_in_every_stage() {
    let options = ServiceOptions {
        max_wait: FOREVER,
        max_in_flight: 4,
        ..ServiceOptions::default()
    };
    let (service, controls) = start(
        options,
        Hold {
            fetches: true,
            ..Hold::default()
        },
    );
    let urls: Vec<String> = (0..8).map(|number| fine(1, number)).collect();
    let mut calls: Vec<_> = urls.iter().map(|url| service.embed(url, None).boxed()).collect();
    for call in &mut calls {
        assert!(call.now_or_never().is_none());
    }
    // Two wait in the queue or on their way to it, two for their fetch, four for a place.
    controls.fetches.add_permits(2);
    controls
        .until(|progress| progress.fetched == 4 && progress.preparing == 2)
        .await;
    service.stop();
    assert!(join_all(calls).await.iter().all(|outcome| *outcome == Err(shut_down())));
    assert_eq!(service.embed("fine/1/1", None).await, Err(shut_down()));
    controls.until_ended();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_the_device_end_its_batch() {
    let options = ServiceOptions {
        max_batch_inputs: 1,
        ..ServiceOptions::default()
    };
    let (service, controls) = start(
        options,
        Hold {
            device: true,
            ..Hold::default()
        },
    );
    let url = fine(1, 1);
    let mut call = service.embed(&url, None).boxed();
    assert!((&mut call).now_or_never().is_none());
    assert_eq!(controls.batch(), [1]);
    service.stop();
    assert_eq!(call.await, Err(shut_down()));
    controls.release(1);
    controls.until_ended();
    assert_eq!(controls.progress().encoded, 1);
}
