//! An HTTP server with one medium, which can be changed, and be sent slowly or in part.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server has, and how it sends it.
#[derive(Clone)]
pub struct Medium {
    pub body: Vec<u8>,
    pub etag: Option<&'static str>,
    pub media_type: &'static str,
    /// Whether it says how long the body is.
    pub says_length: bool,
    /// The next answer ends after so many bytes.
    pub breaks_after: Option<usize>,
    /// After each 64 KiB.
    pub pause: Duration,
    /// Any path but this one is not found.
    pub path: &'static str,
}

impl Medium {
    /// As many bytes as that, which begin as a Matroska video does.
    pub fn video(length: usize) -> Self {
        let magic = [0x1A, 0x45, 0xDF, 0xA3];
        let rest = (0..length - magic.len()).map(|index| (index % 251) as u8);
        Self {
            body: magic.into_iter().chain(rest).collect(),
            etag: Some("\"first\""),
            media_type: "video/x-matroska",
            says_length: true,
            breaks_after: None,
            pause: Duration::ZERO,
            path: "/bucket/video.mkv",
        }
    }
}

pub struct Library {
    pub address: String,
    state: Arc<Mutex<State>>,
}

struct State {
    medium: Medium,
    requests: Vec<String>,
    sent: usize,
}

impl Library {
    pub async fn with(medium: Medium) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket").to_string();
        let state = Arc::new(Mutex::new(State {
            medium,
            requests: Vec::new(),
            sent: 0,
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                // A client that stops reading in the middle is part of the tests.
                tokio::spawn(async move { drop(answer(stream, &shared).await) });
            }
        });
        Self { address, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }

    pub fn url(&self, fragment: &str) -> String {
        format!("http://{}{}{fragment}", self.address, self.state().medium.path)
    }

    pub fn change(&self, change: impl FnOnce(&mut Medium)) {
        change(&mut self.state().medium);
    }

    pub fn body(&self) -> Vec<u8> {
        self.state().medium.body.clone()
    }

    /// The requests since the last time, as they came, in lower case.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    /// Bytes of bodies that were sent so far.
    pub fn sent(&self) -> usize {
        self.state().sent
    }
}

/// One request a connection.
async fn answer(mut stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let request = String::from_utf8_lossy(&request).to_lowercase();
    let locked = || state.lock().expect("no panic while it is held");
    let medium = {
        let mut state = locked();
        state.requests.push(request.clone());
        let medium = state.medium.clone();
        state.medium.breaks_after = None;
        medium
    };
    let header = |name: &str| {
        let line = request.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.map(str::to_owned)
    };
    let etag = medium.etag.map(str::to_owned);
    let path = request.split(' ').nth(1).unwrap_or_default();
    let from = header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let goes_on = etag.is_some() && (header("if-range") == etag || header("if-match") == etag);
    let (status, from) = match from {
        _ if path.split('?').next() != Some(medium.path) => ("404 Not Found", medium.body.len()),
        _ if etag.is_some() && header("if-none-match") == etag => ("304 Not Modified", medium.body.len()),
        Some(from) if goes_on => ("206 Partial Content", from),
        _ if header("if-match").is_some() && !goes_on => ("412 Precondition Failed", medium.body.len()),
        _ => ("200 OK", 0),
    };
    let rest = &medium.body[from..];
    let mut head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {}\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        medium.media_type
    );
    if let Some(etag) = &etag {
        head += &format!("ETag: {etag}\r\n");
    }
    if medium.says_length && !status.starts_with("304") {
        head += &format!("Content-Length: {}\r\n", rest.len());
    }
    if status.starts_with("206") {
        let length = medium.body.len();
        head += &format!("Content-Range: bytes {from}-{}/{length}\r\n", length - 1);
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    let rest = &rest[..medium.breaks_after.unwrap_or(rest.len()).min(rest.len())];
    for chunk in rest.chunks(64 << 10) {
        stream.write_all(chunk).await?;
        locked().sent += chunk.len();
        tokio::time::sleep(medium.pause).await;
    }
    stream.shutdown().await
}
