//! The HTTP endpoint of a running job: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever supervises it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

/// Upper bounds, in seconds, for every histogram whose name ends in `_seconds`.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Upper bounds for every other histogram: inputs or tokens in a batch, rows in an epoch.
const COUNTS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0,
    65536.0,
];

/// How often the recorder moves what it has gathered into its histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// The endpoint, and the switch behind `/readyz`.
#[derive(Debug, Clone)]
pub struct Endpoint {
    ready: Arc<AtomicBool>,
}

impl Endpoint {
    /// Records metrics from now on and serves them at `address`, until the process ends.
    pub async fn serve(address: SocketAddr) -> anyhow::Result<Self> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
            .and_then(|builder| builder.set_buckets(COUNTS))
            .and_then(PrometheusBuilder::install_recorder)
            .context("metrics cannot be recorded")?;
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}; choose another --metrics-address"))?;
        // The port is the real one where port 0 was asked for.
        let address = listener.local_addr()?;
        let ready = Arc::new(AtomicBool::new(false));
        let upkeep = recorder.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                upkeep.run_upkeep();
            }
        });
        let routes = routes(recorder, ready.clone());
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the metrics endpoint stopped");
            }
        });
        tracing::info!(%address, "metrics are served");
        Ok(Self { ready })
    }

    /// What `/readyz` answers from now on: whether the job is taking rows.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }
}

fn routes(recorder: PrometheusHandle, ready: Arc<AtomicBool>) -> Router {
    Router::new()
        .route("/metrics", get(metrics_text))
        .with_state(recorder)
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness).with_state(ready))
}

async fn metrics_text(State(recorder): State<PrometheusHandle>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        recorder.render(),
    )
}

async fn readiness(State(ready): State<Arc<AtomicBool>>) -> (StatusCode, &'static str) {
    if ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: the job is not taking rows\n",
        )
    }
}
