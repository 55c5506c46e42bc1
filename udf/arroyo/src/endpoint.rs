//! `/metrics` for Prometheus, where an address is set.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds, in seconds, for every histogram whose name ends in `_seconds`: those of the command.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Upper bounds for every other histogram: inputs or tokens in a batch.
const COUNTS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0,
    65536.0,
];

/// How often the recorder moves what it has gathered into its histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// Records metrics from now on and serves them at `address` until the process ends, on a thread of its own.
///
/// What is recorded grows until it is moved into histograms, so nothing is recorded before there is a thread that does it.
///
/// # Errors
/// If it cannot be listened on: where several workers run on one machine, only one of them can have it. Nothing is recorded
/// then.
pub fn serve(address: SocketAddr) -> Result<(), String> {
    let listener = TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    // The port is the real one where port 0 was asked for.
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let (hand_over, handed_over) = mpsc::channel::<PrometheusHandle>();
    std::thread::Builder::new()
        .name("sightstream-metrics".into())
        .spawn(move || {
            let Ok(recorder) = handed_over.recv() else {
                return;
            };
            if let Err(error) = runtime.block_on(answer(listener, recorder.clone())) {
                tracing::error!(%error, "the metrics endpoint stopped; rows go on");
            }
            // What goes on to be recorded still has to be moved.
            loop {
                std::thread::sleep(UPKEEP);
                recorder.run_upkeep();
            }
        })
        .map_err(|error| format!("no thread: {error}"))?;
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
        .and_then(|builder| builder.set_buckets(COUNTS))
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| format!("metrics cannot be recorded: {error}"))?;
    hand_over
        .send(recorder)
        .map_err(|_| "the thread that serves metrics has ended".to_owned())?;
    tracing::info!(%address, "metrics are served");
    Ok(())
}

async fn answer(listener: TcpListener, recorder: PrometheusHandle) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let upkeep = recorder.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    let metrics = get(async move || {
        (
            [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
            recorder.render(),
        )
    });
    axum::serve(listener, Router::new().route("/metrics", metrics)).await
}

#[cfg(test)]
mod tests {
    use metrics::NoopRecorder;

    use super::*;

    #[test]
    fn where_the_port_is_taken_nothing_is_recorded() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("it has one");
        let error = serve(address).expect_err("it is taken");
        assert!(error.contains(&address.to_string()), "{error}");
        metrics::set_global_recorder(NoopRecorder).expect("there was no recorder");
    }
}
