//! A server of pictures on the loopback interface, not all of which are there.

use std::collections::HashSet;
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use image::{ImageFormat, Rgb, RgbImage};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A PNG that differs from that of every other number.
pub fn png(n: usize) -> Vec<u8> {
    let seed = (n as u32).wrapping_mul(0x9E37_79B1);
    let image = RgbImage::from_fn(28, 28, |x, y| {
        let cell = seed.rotate_left((x / 7 * 7 + y / 7 * 3) % 32);
        Rgb([cell as u8, (cell >> 8) as u8, (cell >> 16) as u8])
    });
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("memory takes a picture");
    bytes.into_inner()
}

/// Serves `/steady/N.png`, `/busy/N.png`, which is refused with 503 the first time, and nothing else.
pub struct MediaServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

type Asked = Arc<Mutex<HashSet<String>>>;

impl MediaServer {
    /// Starts at a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let routes = Router::new()
            .route("/steady/{name}", get(async |Path(name): Path<String>| picture(&name)))
            .route("/busy/{name}", get(busy))
            .with_state(Asked::default());
        let task = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("the server serves");
        });
        Self { address, task }
    }

    /// The address of `path` (`/steady/7.png`).
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for MediaServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn busy(State(asked): State<Asked>, Path(name): Path<String>) -> Response {
    let first = asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(name.clone());
    if first {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    } else {
        picture(&name)
    }
}

fn picture(name: &str) -> Response {
    match name.strip_suffix(".png").and_then(|number| number.parse().ok()) {
        Some(number) => png(number).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
