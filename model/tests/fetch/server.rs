//! An HTTP server that answers each path in its own way, and remembers what it was asked.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sightstream_model::error::MediaError;
use sightstream_model::fetch::{FetchOptions, Fetched, Fetcher};
use sightstream_model::reference::MediaReference;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub struct Server {
    pub address: String,
    requests: Arc<Mutex<Vec<String>>>,
    open: Arc<Open>,
}

/// How many slow requests are being answered, and how many were at most.
#[derive(Default)]
struct Open {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Server {
    pub async fn start() -> Self {
        Self::at("127.0.0.1").await
    }

    pub async fn at(ip: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket").to_string();
        let (requests, open) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Open::default()));
        let (seen, counts) = (requests.clone(), open.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, counts) = (seen.clone(), counts.clone());
                tokio::spawn(async move {
                    // A client that stops reading in the middle is part of the tests.
                    drop(answer(stream, &seen, &counts).await);
                });
            }
        });
        Self {
            address,
            requests,
            open,
        }
    }

    pub async fn fetch(&self, options: FetchOptions, path: &str) -> Result<Fetched, MediaError> {
        fetch(options, &format!("http://{}{path}", self.address)).await
    }

    /// The requests so far, as they came.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic while it is held").clone()
    }

    pub fn asked(&self) -> usize {
        self.requests().len()
    }

    /// The most requests for `/slow` that were open at the same time.
    pub fn most_at_once(&self) -> usize {
        self.open.most.load(Ordering::SeqCst)
    }
}

/// One request a connection.
async fn answer(mut stream: TcpStream, seen: &Mutex<Vec<String>>, open: &Open) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let earlier = {
        let mut seen = seen.lock().expect("no panic while it is held");
        seen.push(request);
        seen.len() - 1
    };
    let ok = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
    let dates = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nETag: \"1\"\r\n";
    let content = format!("{ok}{dates}Content-Type: image/png; q=1\r\nContent-Length: 5\r\n\r\nhello");
    let status = |line: &str| format!("HTTP/1.1 {line}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let refusal = "<Error><Code>AccessDenied</Code><SignatureProvided>s3cret</SignatureProvided></Error>";
    let response = match path.split('?').next().unwrap_or_default() {
        "/content" | "/bucket/cat%231.png" => content,
        "/vague.webp" => format!("{ok}Content-Type: application/octet-stream\r\nContent-Length: 2\r\n\r\nhi"),
        "/second-time" if earlier > 0 => content,
        "/second-time" => status("500 Broken"),
        "/bucket/fifth-time.png" if earlier > 3 => content,
        "/bucket/fifth-time.png" => status("503 Slow Down"),
        "/busy-a-second" if earlier > 0 => content,
        "/busy-a-second" => status("429 Too Many Requests\r\nRetry-After: 1"),
        "/busy-an-hour" => status("429 Too Many Requests\r\nRetry-After: 3600"),
        "/busy" | "/bucket/busy.png" => status("429 Too Many Requests"),
        "/circle" => status("302 Found\r\nLocation: /there"),
        "/there" => status("302 Found\r\nLocation: /circle"),
        "/nowhere" => status("302 Found\r\nLocation: http://"),
        "/teapot" => status("418 I'm a teapot"),
        "/unbuilt" => status("501 Not Implemented"),
        "/forbidden" => status("403 Forbidden"),
        "/bucket/forbidden.png" => format!(
            "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{refusal}",
            refusal.len()
        ),
        "/broken" | "/media/broken.png" => status("500 Broken"),
        "/says-large" => format!("{ok}Content-Length: 1000000\r\n\r\n{}", "\0".repeat(2000)),
        "/cut" => format!("{ok}Content-Length: 10\r\n\r\nhello"),
        "/slow" => {
            let now = open.now.fetch_add(1, Ordering::SeqCst) + 1;
            open.most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(100)).await;
            open.now.fetch_sub(1, Ordering::SeqCst);
            content
        }
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
        away if away.starts_with("/bucket/away/") => {
            let host = away["/bucket/away/".len()..].replace("%3A", ":");
            status(&format!("307 Temporary Redirect\r\nLocation: http://{host}/content"))
        }
        other => match (other.strip_prefix("/chain/"), path.split_once("/to/")) {
            (Some(number), _) => {
                let number: usize = number.parse().unwrap_or_default();
                status(&format!("301 Moved\r\nLocation: /chain/{}", number + 1))
            }
            (None, Some((_, target))) => status(&format!("307 Temporary Redirect\r\nLocation: {target}")),
            (None, None) => status("404 Not Found"),
        },
    };
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

/// All of a medium.
pub fn bytes(fetched: &Fetched) -> Bytes {
    fetched.content.bytes().expect("it can be read")
}

/// A fetch with options of its own.
pub async fn fetch(options: FetchOptions, reference: &str) -> Result<Fetched, MediaError> {
    let fetcher = Fetcher::new(options).expect("valid options");
    fetcher.fetch(&MediaReference::parse(reference).expect(reference)).await
}

/// Small limits, and one loopback address.
pub fn options() -> FetchOptions {
    FetchOptions {
        max_bytes: 100_000,
        retries: 2,
        allow_network: vec!["127.0.0.1/32".parse().expect("a network")],
        ..FetchOptions::default()
    }
}
