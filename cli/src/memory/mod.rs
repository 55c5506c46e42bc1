//! A ceiling for the memory of the process and its workers: `--memory-limit`.

mod plan;
mod probe;
mod resident;

use std::time::Duration;

use ::metrics::{Unit, describe_gauge, gauge};

pub use plan::{Demand, Plan, Records, Wish, mebibytes};
pub use probe::{Probe, probe};
pub use resident::{peak, resident};

const MEMORY: &str = "sightstream_memory_bytes";
const LIMIT: &str = "sightstream_memory_limit_bytes";

/// How often the gauge is set.
const EVERY: Duration = Duration::from_secs(5);

/// Publishes what is resident, and the limit, from now on.
pub fn publish(limit: Option<u64>) {
    describe_gauge!(
        MEMORY,
        Unit::Bytes,
        "Resident memory of this process and its decode workers."
    );
    describe_gauge!(LIMIT, Unit::Bytes, "The memory limit; 0 without one.");
    gauge!(LIMIT).set(limit.unwrap_or(0) as f64);
    tokio::spawn(async {
        loop {
            match tokio::task::spawn_blocking(resident).await {
                Ok(Ok(bytes)) => gauge!(MEMORY).set(bytes as f64),
                Ok(Err(error)) => tracing::debug!(%error, "the resident memory is unknown"),
                Err(_) => return,
            }
            tokio::time::sleep(EVERY).await;
        }
    });
}
