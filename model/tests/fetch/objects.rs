//! Object stores, played by a server on the loopback interface. Its address needs no leave: the settings name it.

use sightstream_model::error::MediaError;
use sightstream_model::fetch::{FetchOptions, Fetched, Fetcher};
use sightstream_model::reference::MediaReference;
use tokio::net::TcpListener;

use crate::server::{Server, bytes};

fn settings(named: &[(&str, &str)]) -> Vec<(String, String)> {
    named
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn fetcher(object_store: Vec<(String, String)>) -> Fetcher {
    Fetcher::new(FetchOptions {
        object_store,
        retries: 2,
        ..FetchOptions::default()
    })
    .expect("valid options")
}

fn s3(server: &Server) -> Fetcher {
    fetcher(settings(&[
        ("aws_endpoint", &format!("http://{}", server.address)),
        ("aws_allow_http", "true"),
        ("aws_access_key_id", "key"),
        ("aws_secret_access_key", "s3cret"),
        ("aws_unrelated", "ignored"),
    ]))
}

async fn fetch(fetcher: &Fetcher, reference: &str) -> Result<Fetched, MediaError> {
    fetcher.fetch(&MediaReference::parse(reference).expect(reference)).await
}

#[tokio::test]
async fn objects_come_from_the_store_that_the_settings_name() {
    let server = Server::start().await;
    let s3 = s3(&server);
    let missing = fetch(&s3, "s3://bucket/missing.png").await.expect_err("missing");
    assert_eq!(
        missing.to_string(),
        "s3://bucket/missing.png: not found: the store answered with HTTP status 404"
    );
    let forbidden = fetch(&s3, "s3://bucket/forbidden.png").await.expect_err("forbidden");
    assert_eq!(
        forbidden.to_string(),
        "s3://bucket/forbidden.png: access denied: the store answered with HTTP status 403 (AccessDenied)",
        "of the answer's body its code alone"
    );
    let fetched = fetch(&s3, "s3://bucket/cat#1.png").await.expect("fetched");
    assert_eq!(
        (&bytes(&fetched)[..], fetched.media_type.as_deref()),
        (&b"hello"[..], Some("image/png; q=1"))
    );
    assert_eq!(server.asked(), 3);
}

#[tokio::test]
async fn a_store_that_throttles_is_waited_for_beyond_the_retries() {
    let server = Server::start().await;
    let fetched = fetch(&s3(&server), "s3://bucket/fifth-time.png")
        .await
        .expect("fetched");
    assert_eq!(bytes(&fetched), "hello");
    assert_eq!(server.asked(), 5, "four times 503 Slow Down, with two retries");
}

#[tokio::test]
async fn a_redirect_of_a_store_is_not_followed() {
    let (server, elsewhere) = (Server::start().await, Server::start().await);
    let reference = format!("s3://bucket/away/{}", elsewhere.address);
    let error = fetch(&s3(&server), &reference).await.expect_err("a redirect");
    assert_eq!(error.reason(), "http_status", "{error}");
    assert!(error.to_string().ends_with("HTTP status 307"), "{error}");
    assert_eq!((server.asked(), elsewhere.asked()), (1, 0));
}

#[tokio::test]
async fn a_key_does_not_lead_out_of_its_bucket() {
    let server = Server::start().await;
    let s3 = s3(&server);
    for reference in [
        "s3://bucket/../other/content",
        "s3://bucket/%2e%2e/other/content",
        "s3://bucket/a/%2e%2e%2f%2e%2e%2fother/content",
        "s3://bucket//../../other/content",
        "s3://bucket/%252e%252e/content",
    ] {
        let error = fetch(&s3, reference).await.expect_err(reference);
        assert!(["not_found", "invalid_reference"].contains(&error.reason()), "{error}");
    }
    for request in server.requests() {
        assert!(
            request.starts_with("GET /bucket/") && !request.contains("/.."),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_shared_access_signature_is_in_no_message() {
    let server = Server::start().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let closed = nobody.local_addr().expect("bound").to_string();
    drop(nobody);
    for (address, reason) in [(&server.address, "http_status"), (&closed, "unavailable")] {
        let azure = fetcher(settings(&[
            ("azure_storage_account_name", "account"),
            ("azure_storage_sas_key", "sv=2022&sig=s3cret"),
            ("azure_storage_endpoint", &format!("http://{address}")),
            ("azure_allow_http", "true"),
        ]));
        let error = fetch(&azure, "az://media/broken.png").await.expect_err("broken");
        assert_eq!(error.reason(), reason, "{error}");
        let told = format!("{error} {error:?}");
        assert!(!told.contains("s3cret") && !told.contains("sig="), "{told}");
    }
    let asked = server.requests();
    assert!(asked[0].contains("sig=s3cret"), "the store itself is told: {asked:?}");
}
