//! Redirects: judged like the first request, and without what was meant for another server.

use sightstream_model::fetch::FetchOptions;

use crate::server::{Server, bytes, fetch, options};

#[tokio::test]
async fn redirects_are_followed_up_to_the_limit() {
    let server = Server::start().await;
    let fetched = server.fetch(options(), "/to//content").await.expect("fetched");
    assert_eq!(bytes(&fetched), "hello");
    let none = FetchOptions {
        max_redirects: 0,
        ..options()
    };
    let error = server.fetch(none, "/to//content").await.expect_err("a redirect");
    assert_eq!(error.reason(), "unsupported");
    let before = server.asked();
    let error = server
        .fetch(options(), "/chain/0")
        .await
        .expect_err("a chain")
        .to_string();
    assert!(error.ends_with("it redirects more than 5 times"), "{error}");
    assert_eq!(server.asked() - before, 6);
}

#[tokio::test]
async fn a_circle_is_called_one_and_not_tried_again() {
    let server = Server::start().await;
    let error = server.fetch(options(), "/circle").await.expect_err("a circle");
    assert_eq!((error.reason(), error.is_transient()), ("unsupported", false));
    assert!(error.to_string().ends_with("it redirects in a circle"), "{error}");
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn a_redirect_to_an_address_that_is_not_allowed_is_not_followed() {
    let (server, inner) = (Server::start().await, Server::at("127.0.0.2").await);
    let target = format!("http://{}/content?token=abc", inner.address);
    let error = server
        .fetch(options(), &format!("/to/{target}"))
        .await
        .expect_err("inside");
    assert_eq!(error.reason(), "not_allowed");
    let expected = format!(
        "it redirects to http://{}/content?token=…, and 127.0.0.2 is a loopback address; --allow-network 127.0.0.2/32 \
         would allow it",
        inner.address
    );
    assert!(error.to_string().ends_with(&expected), "{error}");
    for target in ["http://169.254.169.254/latest", "http://127.0.0.3:1/", "//[::1]/"] {
        let error = server
            .fetch(options(), &format!("/to/{target}"))
            .await
            .expect_err(target);
        assert_eq!(error.reason(), "not_allowed", "{error}");
    }
    assert_eq!((server.asked(), inner.asked()), (4, 0));
}

#[tokio::test]
async fn a_redirect_leads_to_http_alone() {
    let server = Server::start().await;
    for target in ["file:///etc/passwd", "ftp://h/a.png", "data:,a", "s3://bucket/a.png"] {
        let error = server
            .fetch(options(), &format!("/to/{target}"))
            .await
            .expect_err(target);
        assert_eq!(error.reason(), "unsupported", "{error}");
        assert!(error.to_string().contains("only http and https"), "{error}");
    }
    let error = server.fetch(options(), "/nowhere").await.expect_err("no URL");
    assert!(error.to_string().ends_with("it redirects to what is no URL"), "{error}");
}

#[tokio::test]
async fn credentials_stay_with_the_server_that_they_are_for() {
    let (first, second) = (Server::start().await, Server::start().await);
    let url = format!(
        "http://me:s3cret@{}/to/http://{}/content?sig=abc",
        first.address, second.address
    );
    fetch(options(), &url).await.expect("fetched");
    assert!(first.requests()[0].to_lowercase().contains("authorization: basic"));
    let asked = second.requests()[0].to_lowercase();
    assert!(
        !asked.contains("authorization") && !asked.contains("referer"),
        "{asked}"
    );

    // The same server, named in whole or not.
    for target in ["/content".to_owned(), format!("http://{}/content", first.address)] {
        fetch(options(), &format!("http://me:s3cret@{}/to/{target}", first.address))
            .await
            .expect("fetched");
        let asked = first.requests().pop().expect("a request").to_lowercase();
        assert!(
            asked.starts_with("get /content ") && asked.contains("authorization: basic"),
            "{asked}"
        );
    }
}
