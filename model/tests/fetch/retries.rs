//! What is tried again, and what not; how many at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sightstream_model::fetch::{FetchOptions, FetchPlaces, Fetcher};
use sightstream_model::reference::MediaReference;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::{Server, bytes, fetch, options};

#[tokio::test]
async fn what_will_not_pass_is_not_asked_for_again() {
    let server = Server::start().await;
    for (path, reason) in [
        ("/missing", "not_found"),
        ("/forbidden", "denied"),
        ("/teapot", "http_status"),
        ("/unbuilt", "http_status"),
    ] {
        let before = server.asked();
        let error = server.fetch(options(), path).await.expect_err(path);
        assert_eq!(error.reason(), reason);
        let name = format!("http://{}{path}: ", server.address);
        assert!(error.to_string().starts_with(&name), "{error}");
        assert_eq!(server.asked() - before, 1, "{path}");
    }
}

#[tokio::test]
async fn what_may_pass_is_asked_for_again() {
    let server = Server::start().await;
    let fetched = server.fetch(options(), "/second-time").await.expect("fetched");
    assert_eq!(bytes(&fetched), "hello");
    assert_eq!(server.asked(), 2);
    for (path, status) in [("/broken", 500), ("/busy", 429)] {
        let before = server.asked();
        let error = server.fetch(options(), path).await.expect_err(path);
        assert_eq!(
            error.to_string(),
            format!(
                "http://{}{path}: the server answered with HTTP status {status}",
                server.address
            )
        );
        assert!(error.is_transient());
        assert_eq!(server.asked() - before, 3, "once, and two retries");
    }
}

#[tokio::test]
async fn a_server_decides_when_it_is_asked_again_within_the_time_of_the_fetch() {
    let server = Server::start().await;
    let begun = Instant::now();
    server.fetch(options(), "/busy-a-second").await.expect("fetched");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.asked(), 2);
    let error = server.fetch(options(), "/busy-an-hour").await.expect_err("an hour");
    assert_eq!(error.reason(), "http_status");
    assert_eq!(server.asked(), 3, "an hour is more than the fetch has");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_and_not_tried_again() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
    let certificate = CertificateDer::from_pem_file(folder.join("certificate.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let accepted = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        // The client ends the handshake.
        drop(acceptor.accept(stream).await);
        let again = tokio::time::timeout(Duration::from_secs(1), listener.accept()).await;
        assert!(again.is_err(), "it came back");
    });
    let error = fetch(options(), &format!("https://{address}/a.png"))
        .await
        .expect_err("self-signed");
    assert_eq!((error.reason(), error.is_transient()), ("tls", false), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    accepted.await.expect("one connection");
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let connections = tokio::spawn(async move {
        for connection in 0.. {
            let next = tokio::time::timeout(Duration::from_secs(2), listener.accept()).await;
            let Ok(Ok((mut stream, _))) = next else {
                return connection;
            };
            let refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refusal).await.expect("the client listens");
            // Closed after the client, whose handshake would else be cut by a reset.
            drop(stream.read_to_end(&mut Vec::new()).await);
        }
        unreachable!("the client gives up")
    });
    let error = fetch(options(), &format!("https://{address}/a.png"))
        .await
        .expect_err("no TLS");
    assert_eq!((error.reason(), error.is_transient()), ("tls", false), "{error}");
    assert_eq!(connections.await.expect("it was counted"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_sent_so_many_requests_at_once() {
    let server = Server::start().await;
    let fetcher = Fetcher::new(FetchOptions {
        concurrency_per_host: 3,
        ..options()
    })
    .expect("valid options");
    let references: Vec<MediaReference> = (0..12)
        .map(|number| format!("http://{}/slow?{number}", server.address))
        .map(|url| MediaReference::parse(&url).expect("a reference"))
        .collect();
    let fetched = join_all(references.iter().map(|reference| fetcher.fetch(reference))).await;
    assert!(fetched.iter().all(Result::is_ok), "{fetched:?}");
    assert_eq!((server.asked(), server.most_at_once()), (12, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_host_does_not_take_the_places_of_others() {
    let (slow, quick) = (Server::start().await, Server::start().await);
    let fetcher = Fetcher::new(FetchOptions {
        concurrency_per_host: 2,
        read_timeout: Duration::from_secs(3600),
        ..options()
    })
    .expect("valid options");
    let places = FetchPlaces::new(3, None);
    let stuck: Vec<_> = (0..10)
        .map(|number| {
            let (fetcher, mut place) = (fetcher.clone(), places.place());
            let url = format!("http://{}/silent?{number}", slow.address);
            tokio::spawn(async move {
                let reference = MediaReference::parse(&url).expect("a reference");
                fetcher.fetch_in(&reference, &mut place).await
            })
        })
        .collect();
    while slow.asked() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Ten wait for the slow host, which has two of the three places; from the quick one to the slow one and back neither.
    for path in ["/content".to_owned(), format!("/to/http://{}/content", quick.address)] {
        let url = format!("http://{}{path}", quick.address);
        let reference = MediaReference::parse(&url).expect("a reference");
        let fetched = fetcher.fetch_in(&reference, &mut places.place()).await;
        assert_eq!(bytes(&fetched.expect("the third place is free")), "hello");
    }
    assert_eq!(slow.asked(), 2);
    stuck.iter().for_each(|task| task.abort());
}
