//! A model that nobody asks is given up, and taken again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sightstream_model::encoder::{DeviceChoice, Encoder, EncoderOptions};
use sightstream_model::error::MediaError;
use sightstream_model::fetch::{FetchOptions, Fetcher};
use sightstream_model::service::{EmbedError, EmbeddingService, ServiceOptions};

use crate::fakes::{Hold, fine, start};

fn soon_idle() -> ServiceOptions {
    ServiceOptions {
        max_wait: Duration::from_millis(1),
        idle_release: Some(Duration::from_millis(20)),
        ..ServiceOptions::default()
    }
}

async fn until_released(service: &EmbeddingService) {
    let released = async {
        while !service.device().is_released() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, released)
        .await
        .expect("the model is given up in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_there_again_for_the_next_request() {
    let (service, _controls) = start(soon_idle(), Hold::default());
    for number in 0..3 {
        until_released(&service).await;
        let vector = service
            .embed(&fine(1, number), None)
            .await
            .expect("the model is taken again");
        assert_eq!(vector.as_ref(), [number as f32, 1.0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_loaded_again_fails_requests_until_a_later_try_goes_well() {
    let (service, controls) = start(soon_idle(), Hold::default());
    until_released(&service).await;
    controls.refusals.store(2, Ordering::SeqCst);
    let error = service.embed(&fine(1, 0), None).await.expect_err("refused");
    assert_eq!(error, EmbedError::Model("device: out of memory".into()));
    assert_eq!(error.reason(), "model");
    assert!(service.device().is_released());
    controls.refusals.store(0, Ordering::SeqCst);
    // Requests during the wait load nothing.
    let mut refused = 0;
    let vector = loop {
        match service.embed(&fine(1, 7), None).await {
            Ok(vector) => break vector,
            Err(error) => assert_eq!(error, EmbedError::Model("device: out of memory".into())),
        }
        refused += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(refused > 0, "the wait is longer than a request takes");
    assert_eq!(vector.as_ref(), [7.0, 1.0]);
    assert_eq!(
        controls.other_batches(),
        [[7]],
        "the device was not asked without its model"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_while_it_is_given_up_stops_the_service_and_hangs_nobody() {
    let (service, controls) = start(soon_idle(), Hold::default());
    controls.release_panics.store(true, Ordering::SeqCst);
    // It may have been given up before that, and is then there again.
    let embedded = service.embed(&fine(1, 1), None).await;
    assert!(matches!(embedded, Ok(_) | Err(EmbedError::Stopped(_))));
    controls.until_ended();
    let error = service.embed(&fine(1, 2), None).await.expect_err("the device is lost");
    let message = "the device is lost: giving the model up panicked: the driver's bug";
    assert_eq!(error, EmbedError::Stopped(message.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_checkpoint_gives_the_same_vectors_before_and_after() {
    let options = EncoderOptions {
        device: DeviceChoice::Cpu,
        ..EncoderOptions::default()
    };
    let encoder = Encoder::load(&options).expect("the demo checkpoint is built in");
    let fetcher = Fetcher::new(FetchOptions::default()).expect("the defaults are usable");
    let service = EmbeddingService::start(encoder, fetcher, soon_idle()).expect("the service starts");
    let before = service.embed("data:,red%20bicycle", None).await.expect("embedded");
    until_released(&service).await;
    let after = service
        .embed("data:,red%20bicycle", None)
        .await
        .expect("embedded again");
    assert_eq!(before, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_a_model_lists_parts_and_embeds_nothing() {
    let fetcher = Fetcher::new(FetchOptions::default()).expect("the defaults are usable");
    let service = EmbeddingService::without_model(fetcher, ServiceOptions::default()).expect("the service starts");
    let parts = service
        .segments("data:,red%20bicycle")
        .await
        .expect("a text is one part");
    assert_eq!(parts, ["data:,red%20bicycle"]);
    let missing = service.segments("no-such-file.mp4").await.expect_err("not there");
    assert!(
        matches!(missing, EmbedError::Media(MediaError::NotFound { .. })),
        "{missing}"
    );
    let error = service.embed("data:,red%20bicycle", None).await.expect_err("no model");
    assert_eq!(error.reason(), "model");
}
