//! What the plugin tells Prometheus.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// An address of this machine that nothing listens on.
///
/// # Errors
/// If no port is free.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// What `/metrics` said at one moment.
#[derive(Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Asks at `address`.
    ///
    /// # Errors
    /// If nobody answers there, or not with metrics.
    pub fn of(address: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        if text.starts_with("HTTP/1.1 200") {
            Ok(Self(text))
        } else {
            Err(io::Error::other(text))
        }
    }

    /// The sum of all series of `name`.
    pub fn sum(&self, name: &str) -> f64 {
        self.sum_with(name, "")
    }

    /// The sum of those series of `name` that have the label `label`, such as `outcome="ok"`.
    pub fn sum_with(&self, name: &str, label: &str) -> f64 {
        let is_one = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
        };
        let values = self.0.lines().filter(is_one);
        values
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// The mean of the histogram `name`; NaN if it is empty.
    pub fn mean(&self, name: &str) -> f64 {
        self.sum(&format!("{name}_sum")) / self.sum(&format!("{name}_count"))
    }
}
