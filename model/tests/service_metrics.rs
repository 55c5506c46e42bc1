//! What the service tells a metrics recorder. Alone in its process, because a recorder sees every service in it.

#[allow(dead_code, reason = "shared with the tests of the service, which use all of it")]
#[path = "service/fakes.rs"]
mod fakes;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::{FutureExt, join_all};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sightstream_model::service::ServiceOptions;

use fakes::{FOREVER, Hold, fine, start};

/// The values as Prometheus would read them, by name and labels.
fn values(recorder: &PrometheusHandle) -> BTreeMap<String, f64> {
    let text = recorder.render();
    let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let parsed = samples.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    });
    parsed.collect()
}

/// The values once `ready` holds.
async fn values_when(
    recorder: &PrometheusHandle,
    ready: impl Fn(&BTreeMap<String, f64>) -> bool,
) -> BTreeMap<String, f64> {
    let poll = async {
        loop {
            let values = values(recorder);
            if ready(&values) {
                break values;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), poll)
        .await
        .expect("the metrics get there")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stage_and_outcome_is_counted() {
    let recorder = PrometheusBuilder::new()
        .install_recorder()
        .expect("the only recorder of this process");
    let options = ServiceOptions {
        max_batch_inputs: 3,
        max_wait: FOREVER,
        ..ServiceOptions::default()
    };
    let (service, controls) = start(
        options,
        Hold {
            device: true,
            ..Hold::default()
        },
    );

    // Three inputs of five tokens make a batch; two equal calls share one of them; two inputs stay in the queue.
    let urls: Vec<String> = (0..5).map(|number| fine(5, number)).collect();
    let mut first: Vec<_> = urls[..3].iter().map(|url| service.embed(url, None).boxed()).collect();
    first.push(service.embed(&urls[0], None).boxed());
    for call in &mut first {
        assert!(call.now_or_never().is_none());
    }
    assert_eq!(controls.batch().len(), 3);
    let mut queued: Vec<_> = urls[3..].iter().map(|url| service.embed(url, None).boxed()).collect();
    for call in &mut queued {
        assert!(call.now_or_never().is_none());
    }
    assert_eq!(
        service.embed("missing/1/0", None).await.expect_err("missing").reason(),
        "not_found"
    );
    let queued_both = |values: &BTreeMap<String, f64>| values["sightstream_queue_inputs"] == 2.0;
    let before = values_when(&recorder, queued_both).await;
    assert_eq!(before["sightstream_queue_tokens"], 10.0);
    assert_eq!(before["sightstream_coalesced_total"], 1.0);
    assert_eq!(before["sightstream_batch_inputs_sum"], 3.0);
    assert_eq!(before["sightstream_batch_tokens_sum"], 15.0);
    assert_eq!(
        before[r#"sightstream_inputs_total{outcome="failed",reason="not_found"}"#],
        1.0
    );

    controls.release(1);
    assert!(join_all(first).await.iter().all(Result::is_ok));
    drop(queued);
    let cancelled = r#"sightstream_inputs_total{outcome="cancelled",reason="none"}"#;
    let after = values_when(&recorder, |values| values.get(cancelled) == Some(&2.0)).await;
    assert_eq!(after["sightstream_queue_inputs"], 0.0);
    assert_eq!(after["sightstream_queue_tokens"], 0.0);
    assert_eq!(after[r#"sightstream_inputs_total{outcome="ok",reason="none"}"#], 3.0);
    for (stage, inputs) in [("fetch", 6.0), ("preprocess", 5.0), ("queue", 3.0), ("device", 3.0)] {
        let key = format!("sightstream_stage_seconds_count{{stage=\"{stage}\"}}");
        assert_eq!(after[&key], inputs, "{key}");
    }
    let share = "sightstream_device_busy_share";
    let ended = values_when(&recorder, |values| values.contains_key(share)).await;
    assert!((0.0..=1.0).contains(&ended[share]), "{}", ended[share]);
    assert!(ended.contains_key("sightstream_device_busy_microseconds_total"));
    let text = recorder.render();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().expect("a name");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no description");
    }
    waiting_for_room_counts_as_queueing(&recorder).await;
    parts_are_counted(&recorder).await;
}

/// A document of four pages of which one is torn out; one of three pages, twice, and then one of them.
async fn parts_are_counted(recorder: &PrometheusHandle) {
    let (service, _controls) = start(ServiceOptions::default(), Hold::default());
    for url in ["broken/4/1", "kept/3/0", "kept/3/0", "kept/3/0#page=2"] {
        service.embed(url, None).await.expect("embedded");
    }
    let values = values(recorder);
    assert_eq!(values[r#"sightstream_parts_failed_total{reason="corrupt"}"#], 1.0);
    // Three pages of either document, and then four times one that is known.
    assert_eq!(values[r#"sightstream_part_vectors_total{outcome="computed"}"#], 6.0);
    assert_eq!(values[r#"sightstream_part_vectors_total{outcome="shared"}"#], 4.0);
}

/// Of three inputs one is on the device, one fills the queue, and one waits for room in it.
async fn waiting_for_room_counts_as_queueing(recorder: &PrometheusHandle) {
    let options = ServiceOptions {
        max_batch_tokens: 5,
        queue_tokens: Some(5),
        preprocess_threads: 1,
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
    let queued = || values(recorder)[r#"sightstream_stage_seconds_sum{stage="queue"}"#];
    let urls: Vec<String> = (0..3).map(|number| fine(5, number)).collect();
    let mut calls = Vec::new();
    for (index, url) in urls.iter().enumerate() {
        let mut call = service.embed(url, None).boxed();
        assert!((&mut call).now_or_never().is_none());
        calls.push(call);
        controls.until(|progress| progress.preparing == index + 1).await;
        if index == 0 {
            assert_eq!(controls.batch(), [0]);
        }
    }
    let (before, held) = (queued(), Instant::now());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let held = held.elapsed().as_secs_f64();
    controls.release(3);
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    let waited = queued() - before;
    assert!(
        waited > 1.5 * held,
        "two inputs waited {held} s each, and counted {waited} s"
    );
}
