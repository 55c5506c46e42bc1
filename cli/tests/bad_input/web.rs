//! Web servers that behave badly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use image::ImageFormat;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::images::picture;

/// A server on the loopback interface. Its threads end with the test's process.
pub struct Web {
    /// `IP:PORT`.
    pub address: String,
    connections: Arc<AtomicUsize>,
}

impl Web {
    /// A server that answers each path in its own way.
    pub fn start(ip: &str) -> Self {
        Self::listen(ip, |mut stream| answer(&mut stream))
    }

    /// The same behind a certificate that nobody vouches for.
    pub fn start_tls(ip: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/tls");
        let certificate = CertificateDer::from_pem_file(folder.join("certificate.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("they belong together");
        let config = Arc::new(config);
        Self::listen(ip, move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a valid configuration");
            answer(&mut StreamOwned::new(connection, stream))
        })
    }

    fn listen(ip: &str, answer: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket").to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, answer) = (Arc::clone(&connections), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&answer);
                // A client that goes away in the middle is part of the tests.
                thread::spawn(move || drop(answer(stream)));
            }
        });
        Self { address, connections }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// One request a connection.
fn answer(stream: &mut (impl Read + Write)) -> std::io::Result<()> {
    /// Whether `/second-time` was asked for before.
    static ASKED: AtomicUsize = AtomicUsize::new(0);

    let mut request = String::new();
    let mut lines = BufReader::new(&mut *stream);
    while !request.ends_with("\r\n\r\n") && lines.read_line(&mut request)? > 0 {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let status = |line: &str| format!("HTTP/1.1 {line}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").into_bytes();
    let content = |kind: &str, body: &[u8]| {
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    };
    let endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: image/jpeg\r\n\r\n";
    let response = match path {
        "/good.jpg" => content("image/jpeg", &picture(ImageFormat::Jpeg)),
        "/second-time.jpg" if ASKED.fetch_add(1, Ordering::SeqCst) > 0 => {
            content("image/jpeg", &picture(ImageFormat::Jpeg))
        }
        "/second-time.jpg" | "/broken.jpg" => status("500 Internal Server Error"),
        "/page.jpg" => content("image/jpeg", b"<!DOCTYPE html><title>404</title>not here"),
        "/cut.jpg" => {
            let whole = content("image/jpeg", &picture(ImageFormat::Jpeg));
            whole[..whole.len() - 100].to_vec()
        }
        "/circle.jpg" => status("302 Found\r\nLocation: /back.jpg"),
        "/back.jpg" => status("302 Found\r\nLocation: /circle.jpg"),
        "/forbidden.jpg" => status("403 Forbidden"),
        "/gone.jpg" => status("410 Gone"),
        "/busy.jpg" => status("429 Too Many Requests"),
        "/slow.jpg" => {
            stream.write_all(endless)?;
            loop {
                stream.write_all(b".")?;
                stream.flush()?;
                thread::sleep(Duration::from_millis(50));
            }
        }
        "/endless.jpg" => {
            stream.write_all(endless)?;
            loop {
                stream.write_all(&[0; 1 << 16])?;
            }
        }
        other => match (other.strip_prefix("/chain/"), other.split_once("/to/")) {
            (Some(number), _) => {
                let next = number.parse::<usize>().unwrap_or_default() + 1;
                status(&format!("302 Found\r\nLocation: /chain/{next}"))
            }
            (None, Some((_, target))) => status(&format!("302 Found\r\nLocation: {target}")),
            (None, None) => status("404 Not Found"),
        },
    };
    stream.write_all(&response)?;
    stream.flush()
}
