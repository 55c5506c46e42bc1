//! The HTTP endpoint of a running job: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever supervises it.
//!
//! It has a thread of its own, so that it answers however busy the job is, and tells when the job is stuck.

mod health;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics::{Unit, describe_gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

pub use health::Health;

/// Upper bounds, in seconds, for every histogram whose name ends in `_seconds`: from a request of half a millisecond to
/// an epoch that waited out an outage.
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

/// What the handlers answer from.
struct Served {
    recorder: PrometheusHandle,
    process: Collector,
    health: Arc<Health>,
}

/// Records metrics from now on and serves them at `address` until the process ends, with what `health` tells.
///
/// # Errors
/// If the address cannot be listened on.
pub fn serve(address: SocketAddr, health: Arc<Health>) -> anyhow::Result<()> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
        .and_then(|builder| builder.set_buckets(COUNTS))
        .and_then(PrometheusBuilder::install_recorder)
        .context("metrics cannot be recorded")?;
    sightstream_sql::metrics::describe();
    describe_gauge!(
        "sightstream_build_info",
        Unit::Count,
        "1; the labels tell the program's version, the model and its device."
    );
    let process = Collector::default();
    process.describe();
    let listener = TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .with_context(|| format!("cannot listen on {address}; choose another --metrics-address"))?;
    // The port is the real one where port 0 was asked for.
    let address = listener.local_addr()?;
    let served = Arc::new(Served {
        recorder,
        process,
        health,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("endpoint".to_string())
        .spawn(move || {
            if let Err(error) = runtime.block_on(answer(listener, served)) {
                tracing::error!(%error, "the metrics endpoint stopped; the job goes on");
            }
        })
        .context("no thread for the metrics endpoint")?;
    tracing::info!(%address, "metrics are served");
    Ok(())
}

async fn answer(listener: TcpListener, served: Arc<Served>) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let upkeep = served.recorder.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    axum::serve(listener, routes(served)).await
}

fn routes(served: Arc<Served>) -> Router {
    Router::new()
        .route("/metrics", get(metrics_text))
        .route(
            "/healthz",
            get(async |State(served): State<Arc<Served>>| verdict(served.health.live(), "ok")),
        )
        .route(
            "/readyz",
            get(async |State(served): State<Arc<Served>>| verdict(served.health.ready(), "ready")),
        )
        .with_state(served)
}

async fn metrics_text(State(served): State<Arc<Served>>) -> impl IntoResponse {
    served.process.collect();
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        served.recorder.render(),
    )
}

/// `word`, or the reasons against it, a line each.
fn verdict(verdict: Result<(), Vec<String>>, word: &str) -> (StatusCode, String) {
    match verdict {
        Ok(()) => (StatusCode::OK, format!("{word}\n")),
        Err(reasons) => (
            StatusCode::SERVICE_UNAVAILABLE,
            reasons
                .into_iter()
                .map(|reason| format!("not {word}: {reason}\n"))
                .collect(),
        ),
    }
}
