//! SIGTERM and SIGINT: the first asks a job to finish what is in flight, the second ends the process.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code after a second signal: what a shell gives for an interrupted command.
const INTERRUPTED: i32 = 130;

/// What the log says of signals.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// Of the first one.
    pub first: &'static str,
    /// Of the second one.
    pub second: &'static str,
}

/// Of a job over streams.
pub const OF_A_JOB: Words = Words {
    first: "finishing what is in flight; a second signal ends the process at once",
    second: "ended at once; rows in flight are read again by the next run",
};

/// A token that the first SIGTERM or SIGINT cancels. From now on neither ends the process by itself.
pub fn stop_on_signals(words: Words) -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if first {
                tracing::info!(signal = name, "{}", words.first);
                asked.cancel();
            } else {
                tracing::warn!(signal = name, "{}", words.second);
                std::process::exit(INTERRUPTED);
            }
        }
    });
    Ok(stop)
}
