//! Where requests may go.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use sightstream_model::error::MediaError;
use sightstream_model::fetch::{FetchOptions, Fetched, Fetcher, Resolver};
use sightstream_model::reference::MediaReference;

use crate::server::{Server, bytes, fetch, options};

/// Gives one answer after the other, and the last for ever.
#[derive(Debug)]
struct Answers {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Answers {
    fn new(answers: &[&[[u8; 4]]]) -> Arc<Self> {
        let answers = answers
            .iter()
            .map(|answer| answer.iter().copied().map(IpAddr::from).collect())
            .collect();
        Arc::new(Self {
            answers,
            asked: AtomicUsize::new(0),
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Resolver for Answers {
    async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(self.answers[number.min(self.answers.len() - 1)].clone())
    }
}

async fn fetch_resolved(resolver: &Arc<Answers>, options: FetchOptions, url: &str) -> Result<Fetched, MediaError> {
    let fetcher = Fetcher::with_resolver(options, resolver.clone()).expect("valid options");
    fetcher.fetch(&MediaReference::parse(url).expect(url)).await
}

#[tokio::test]
async fn no_request_goes_to_an_address_that_is_not_public() {
    let server = Server::start().await;
    for address in [
        &server.address,
        "10.1.2.3",
        "192.168.0.1:8080",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fd00:ec2::254]",
        "0.0.0.0",
        "0x7f000001",
    ] {
        let url = format!("http://{address}/content");
        let error = fetch(FetchOptions::default(), &url).await.expect_err(&url);
        assert_eq!(
            (error.reason(), error.is_transient()),
            ("not_allowed", false),
            "{error}"
        );
        assert!(error.to_string().contains("--allow-network"), "{error}");
    }
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_name_is_judged_by_what_it_resolves_to() {
    let server = Server::start().await;
    let port = server.address.rsplit_once(':').expect("an address").1;
    let url = format!("http://localhost:{port}/content");
    let error = fetch(FetchOptions::default(), &url).await.expect_err("localhost");
    assert_eq!(error.reason(), "not_allowed", "{error}");
    assert!(error.to_string().contains("localhost is at "), "{error}");
    assert_eq!(server.asked(), 0);

    let inside = Answers::new(&[&[[10, 0, 0, 7], [192, 168, 1, 1]]]);
    let error = fetch_resolved(&inside, FetchOptions::default(), "https://cdn.example/a.png?sig=abc")
        .await
        .expect_err("inside");
    assert_eq!(
        error.to_string(),
        "https://cdn.example/a.png?sig=…: not allowed: cdn.example is at 10.0.0.7, a private address; \
         --allow-network 10.0.0.7/32 would allow it"
    );
    assert_eq!(inside.asked(), 1, "nothing is tried again");
}

#[tokio::test]
async fn what_was_judged_is_what_is_connected_to() {
    let server = Server::start().await;
    let port = server.address.rsplit_once(':').expect("an address").1;
    let url = format!("http://turncoat.example:{port}/content");
    // Allowed when it is judged, and another address when it is asked for again.
    let rebinding = Answers::new(&[&[[127, 0, 0, 1]], &[[127, 0, 0, 2]]]);
    let fetched = fetch_resolved(&rebinding, options(), &url).await.expect("fetched");
    assert_eq!(bytes(&fetched), "hello");
    assert_eq!(rebinding.asked(), 1, "one resolution, judged and used");
    let error = fetch_resolved(&rebinding, options(), &url)
        .await
        .expect_err("it turned");
    assert_eq!(error.reason(), "not_allowed", "{error}");
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn of_several_addresses_only_the_allowed_ones_are_connected_to() {
    let server = Server::start().await;
    let port = server.address.rsplit_once(':').expect("an address").1;
    let both = Answers::new(&[&[[127, 0, 0, 2], [127, 0, 0, 1], [10, 0, 0, 1]]]);
    for _ in 0..5 {
        let url = format!("http://both.example:{port}/content");
        let fetched = fetch_resolved(&both, options(), &url).await.expect("fetched");
        assert_eq!(bytes(&fetched), "hello");
    }
}

#[tokio::test]
async fn a_proxy_is_used_only_when_it_is_named_and_addresses_are_judged_before_it() {
    let proxy = Server::start().await;
    let through = FetchOptions {
        proxy: Some(format!("http://{}", proxy.address)),
        retries: 0,
        ..FetchOptions::default()
    };
    let error = fetch(through.clone(), "http://media.example/a.png")
        .await
        .expect_err("404");
    assert_eq!(error.reason(), "not_found", "the proxy answers: {error}");
    assert!(
        proxy.requests()[0].starts_with("GET http://media.example/a.png "),
        "{:?}",
        proxy.requests()
    );
    for url in ["http://169.254.169.254/latest", "http://localhost/a.png"] {
        let error = fetch(through.clone(), url).await.expect_err(url);
        assert_eq!(error.reason(), "not_allowed", "{error}");
    }
    assert_eq!(proxy.asked(), 1);
    let wrong = FetchOptions {
        proxy: Some("http://me:s3cret@:x".into()),
        ..FetchOptions::default()
    };
    let error = Fetcher::new(wrong).err().expect("no URL").to_string();
    assert!(
        error.starts_with("fetch_proxy: ") && !error.contains("s3cret"),
        "{error}"
    );
}
