//! HTTP and object stores, against a server on the loopback interface.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sightstream_model::error::MediaError;
use sightstream_model::fetch::{FetchOptions, Fetched, Fetcher};
use sightstream_model::reference::MediaReference;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers each path in its own way, and counts the requests.
struct Server {
    address: String,
    requests: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket").to_string();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                // A client that stops reading in the middle is part of the tests.
                tokio::spawn(async move { drop(answer(stream, number).await) });
            }
        });
        Self { address, requests }
    }

    async fn fetch(&self, options: FetchOptions, path: &str) -> Result<Fetched, MediaError> {
        let reference = format!("http://{}{path}", self.address);
        let fetcher = Fetcher::new(options).expect("valid options");
        fetcher
            .fetch(&MediaReference::parse(&reference).expect("a reference"))
            .await
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// One request a connection. `number` counts the connections of this server.
async fn answer(mut stream: TcpStream, number: usize) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let ok = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
    let dates = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nETag: \"1\"\r\n";
    let content = format!("{ok}{dates}Content-Type: image/png; q=1\r\nContent-Length: 5\r\n\r\nhello");
    let status = |line: &str| format!("HTTP/1.1 {line}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let response = match path {
        "/content" | "/bucket/cat%231.png" => content,
        "/vague.webp" => format!("{ok}Content-Type: application/octet-stream\r\nContent-Length: 2\r\n\r\nhi"),
        "/second-time" | "/bucket/second-time.png" if number > 0 => content,
        "/second-time" | "/bucket/second-time.png" => status("503 Unavailable\r\nRetry-After: 0"),
        "/redirect" => status("302 Found\r\nLocation: /content"),
        "/circle" => status("302 Found\r\nLocation: /circle"),
        "/teapot" => status("418 I'm a teapot"),
        "/forbidden" | "/bucket/forbidden.png" => status("403 Forbidden"),
        "/broken" => status("500 Broken"),
        "/says-large" => format!("{ok}Content-Length: 1000000\r\n\r\n"),
        "/cut" => format!("{ok}Content-Length: 10\r\n\r\nhello"),
        "/endless" => {
            stream.write_all(format!("{ok}\r\n").as_bytes()).await?;
            loop {
                stream.write_all(&[0; 4096]).await?;
            }
        }
        "/silent" => {
            stream
                .write_all(format!("{ok}Content-Length: 10\r\n\r\nhello").as_bytes())
                .await?;
            return std::future::pending().await;
        }
        "/drip" => {
            stream.write_all(format!("{ok}\r\n").as_bytes()).await?;
            loop {
                stream.write_all(b".").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        _ => status("404 Not Found"),
    };
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

fn options() -> FetchOptions {
    FetchOptions {
        max_bytes: 100_000,
        retries: 2,
        ..FetchOptions::default()
    }
}

#[tokio::test]
async fn content_comes_with_its_media_type() {
    let server = Server::start().await;
    let fetched = server.fetch(options(), "/content").await.expect("fetched");
    assert_eq!(
        (&fetched.bytes[..], fetched.media_type.as_deref()),
        (&b"hello"[..], Some("image/png; q=1"))
    );
    let fetched = server.fetch(options(), "/vague.webp").await.expect("fetched");
    assert_eq!(fetched.media_type.as_deref(), Some("image/webp"));
}

#[tokio::test]
async fn what_will_not_pass_is_not_asked_for_again() {
    let server = Server::start().await;
    for (path, reason) in [
        ("/missing", "not_found"),
        ("/forbidden", "denied"),
        ("/teapot", "http_status"),
    ] {
        let before = server.requests();
        let error = server.fetch(options(), path).await.expect_err(path);
        assert_eq!(error.reason(), reason);
        assert!(
            error
                .to_string()
                .starts_with(&format!("http://{}{path}: ", server.address)),
            "{error}"
        );
        assert_eq!(server.requests() - before, 1, "{path}");
    }
}

#[tokio::test]
async fn what_may_pass_is_asked_for_again() {
    let server = Server::start().await;
    assert_eq!(
        server.fetch(options(), "/second-time").await.expect("fetched").bytes,
        "hello"
    );
    assert_eq!(server.requests(), 2);
    let server = Server::start().await;
    let error = server.fetch(options(), "/broken").await.expect_err("broken");
    assert_eq!(
        error.to_string(),
        format!(
            "http://{}/broken: the server answered with HTTP status 500",
            server.address
        )
    );
    assert!(error.is_transient());
    assert_eq!(server.requests(), 3, "once, and two retries");
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
    assert_eq!(server.requests(), 2, "neither is tried again");
}

#[tokio::test]
async fn a_body_that_ends_early_is_a_transient_failure() {
    let server = Server::start().await;
    let error = server.fetch(options(), "/cut").await.expect_err("cut");
    assert_eq!((error.reason(), error.is_transient()), ("unavailable", true));
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn redirects_are_followed_up_to_the_limit() {
    let server = Server::start().await;
    assert_eq!(
        server.fetch(options(), "/redirect").await.expect("fetched").bytes,
        "hello"
    );
    let none = FetchOptions {
        max_redirects: 0,
        ..options()
    };
    assert_eq!(
        server.fetch(none, "/redirect").await.expect_err("a redirect").reason(),
        "unsupported"
    );
    let before = server.requests();
    let error = server
        .fetch(options(), "/circle")
        .await
        .expect_err("a circle")
        .to_string();
    assert!(error.contains("redirects more than 5 times"), "{error}");
    assert_eq!(server.requests() - before, 6);
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

#[tokio::test]
async fn objects_come_from_the_store_that_the_settings_name() {
    let server = Server::start().await;
    let settings = [
        ("aws_endpoint", format!("http://{}", server.address)),
        ("aws_allow_http", "true".into()),
        ("aws_access_key_id", "key".into()),
        ("aws_secret_access_key", "secret".into()),
        ("aws_unrelated", "ignored".into()),
    ];
    let object_store = settings
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let fetcher = Fetcher::new(FetchOptions {
        object_store,
        ..options()
    })
    .expect("valid options");
    let fetch = async |reference| fetcher.fetch(&MediaReference::parse(reference).expect(reference)).await;
    assert_eq!(
        fetch("s3://bucket/missing.png").await.expect_err("missing").reason(),
        "not_found"
    );
    assert_eq!(
        fetch("s3://bucket/forbidden.png")
            .await
            .expect_err("forbidden")
            .reason(),
        "denied"
    );
    let fetched = fetch("s3://bucket/cat#1.png").await.expect("fetched");
    assert_eq!(
        (&fetched.bytes[..], fetched.media_type.as_deref()),
        (&b"hello"[..], Some("image/png; q=1"))
    );
}
