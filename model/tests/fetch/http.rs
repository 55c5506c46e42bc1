//! HTTP: content, limits, silence.

use std::time::{Duration, Instant};

use sightstream_model::fetch::{FetchOptions, Fetcher};
use sightstream_model::reference::MediaReference;
use tokio::net::TcpListener;

use crate::server::{Server, bytes, options};

#[tokio::test]
async fn content_comes_with_its_media_type() {
    let server = Server::start().await;
    let fetched = server.fetch(options(), "/content").await.expect("fetched");
    assert_eq!(
        (&bytes(&fetched)[..], fetched.media_type.as_deref()),
        (&b"hello"[..], Some("image/png; q=1"))
    );
    let fetched = server.fetch(options(), "/vague.webp").await.expect("fetched");
    assert_eq!(fetched.media_type.as_deref(), Some("image/webp"));
}

#[tokio::test]
async fn a_body_past_the_limit_is_cut_off() {
    let server = Server::start().await;
    assert_eq!(
        server.fetch(options(), "/endless").await.expect_err("endless").reason(),
        "too_large"
    );
    let error = server
        .fetch(options(), "/says-large")
        .await
        .expect_err("large")
        .to_string();
    assert!(
        error.ends_with("too large: 1000000 bytes; the limit is 100000"),
        "{error}"
    );
    assert_eq!(server.asked(), 2, "neither is tried again");
}

#[tokio::test]
async fn a_body_that_ends_early_is_a_transient_failure() {
    let server = Server::start().await;
    let error = server.fetch(options(), "/cut").await.expect_err("cut");
    assert_eq!((error.reason(), error.is_transient()), ("unavailable", true));
    assert_eq!(server.asked(), 3);
}

#[tokio::test]
async fn silence_and_slowness_time_out() {
    let server = Server::start().await;
    let silence = FetchOptions {
        read_timeout: Duration::from_millis(200),
        retries: 0,
        ..options()
    };
    let error = server.fetch(silence, "/silent").await.expect_err("silent");
    assert_eq!((error.reason(), error.is_transient()), ("timeout", true));
    // A byte now and then keeps the connection alive, but the whole has its limit too.
    let total = FetchOptions {
        total_timeout: Duration::from_millis(400),
        ..options()
    };
    let begun = Instant::now();
    let error = server.fetch(total, "/drip").await.expect_err("slow");
    assert_eq!(error.reason(), "timeout");
    assert!(error.to_string().contains("not complete after 400ms"), "{error}");
    assert!(begun.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn a_closed_port_is_a_transient_failure_without_credentials_in_it() {
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port")
        .local_addr()
        .expect("bound")
        .port();
    let reference =
        MediaReference::parse(&format!("http://me:secret@127.0.0.1:{port}/a?sig=abc")).expect("a reference");
    let fetcher = Fetcher::new(FetchOptions {
        retries: 0,
        ..options()
    })
    .expect("valid options");
    let error = fetcher.fetch(&reference).await.expect_err("nobody listens");
    assert_eq!((error.reason(), error.is_transient()), ("unavailable", true));
    let message = error.to_string();
    assert!(
        message.contains("refused") && !message.contains("secret") && !message.contains("abc"),
        "{message}"
    );
}
