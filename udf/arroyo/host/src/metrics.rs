//! What the plugin tells Prometheus.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::worker::Worker;

/// The setting that has a worker tell its metrics, at a port that the system chooses: one that was free a moment ago may be
/// another process's by now.
pub const ANY_PORT: (&str, &str) = ("SIGHTSTREAM_METRICS_ADDRESS", "127.0.0.1:0");

/// What the log says before the address.
const SERVED: &str = "metrics are served address=";

/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What `/metrics` said at one moment.
#[derive(Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Asks `worker`, which was started with [`ANY_PORT`], once its log says where; for at most `patience`, as the plugin starts
    /// with its first row.
    ///
    /// # Errors
    /// If the log does not say it, nobody answers there, or not with metrics.
    pub fn of(worker: &Worker, patience: Duration) -> io::Result<Self> {
        let started = Instant::now();
        loop {
            if let Some(address) = served_at(&worker.log()) {
                return Self::at(address);
            }
            if started.elapsed() > patience {
                return Err(io::Error::other("the log does not say where metrics are served"));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn at(address: SocketAddr) -> io::Result<Self> {
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

/// The address that `log` names.
fn served_at(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once(SERVED)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_that_of_the_log() {
        let line = "2026-01-01T00:00:00Z  INFO sightstream_arroyo::endpoint: metrics are served address=127.0.0.1:4321";
        let served = Some(SocketAddr::from(([127, 0, 0, 1], 4321)));
        assert_eq!(served_at(&format!("another line\n{line}\nand another\n")), served);
        assert_eq!(served_at("another line\n"), None);
    }

    #[test]
    fn series_are_summed_by_name_and_label() {
        let text = "rows_total{outcome=\"ok\"} 3\nrows_total{outcome=\"failed\"} 1\nrows_total_other 7\n\
                    size_sum 12\nsize_count 4\n";
        let metrics = Metrics(text.to_string());
        assert_eq!((metrics.sum("rows_total"), metrics.sum("none")), (4.0, 0.0));
        assert_eq!(metrics.sum_with("rows_total", "outcome=\"ok\""), 3.0);
        assert_eq!(metrics.mean("size"), 3.0);
    }
}
