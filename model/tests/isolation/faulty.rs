//! Workers with faults. Each decodes as a real one does, until it gets [`POISON`].

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use sightstream_model::error::MediaError;
use sightstream_model::fetch::Content;
use sightstream_model::isolation::{DecodeJob, FittedAnswer, run_worker, serve};
use sightstream_model::media::Reader;

use crate::support::POISON;

/// Runs the worker of this kind. What follows an `@` only tells the workers of one test from those of others.
pub fn run(kind: &str) -> ExitCode {
    let (kind, _) = kind.split_once('@').unwrap_or((kind, ""));
    let fault: fn() = match kind {
        "sound" => {
            return match run_worker() {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::FAILURE
                }
            };
        }
        "dies-at-once" => {
            eprintln!("a library is missing");
            return ExitCode::from(127);
        }
        "aborts" => || std::process::abort(),
        "exits" => || std::process::exit(3),
        "overflows-its-stack" => || {
            std::hint::black_box(descend(1));
        },
        "hangs" => || std::thread::sleep(Duration::from_secs(3600)),
        "takes-memory" => take_memory,
        "panics" => || panic!("the decoder's bug"),
        "talks" => || (0..100_000).for_each(|line| eprintln!("line {line}")),
        "sends-garbage" => || send(&[0xFF; 64]),
        "sends-too-many-pixels" => || send_frame(r#"{"image":[2800000,2800000]}"#, 23_520_000_000_000),
        "sends-too-few-bytes" => || send_frame(r#"{"image":[280,280]}"#, 7),
        "stops-in-the-middle" => || {
            send_frame(r#"{"image":[280,280]}"#, 280 * 280 * 3);
            std::process::exit(0);
        },
        "drips" => || {
            // A byte from time to time is no progress.
            send_frame(r#"{"image":[280,280]}"#, 280 * 280 * 3);
            loop {
                send(&[1]);
                std::thread::sleep(Duration::from_millis(20));
            }
        },
        "starts-another" => || {
            // It has neither files nor threads to spare, so this is what it can try.
            let tried = std::fs::read_to_string("/etc/hostname");
            assert!(tried.is_err(), "a worker can read files");
            let tried = std::net::TcpStream::connect("127.0.0.1:9");
            let refused = tried.err().map(|error| error.kind());
            assert_eq!(refused, Some(io::ErrorKind::PermissionDenied), "a worker can connect");
        },
        other => panic!("no worker is called {other}"),
    };
    let read = move |reader: &mut Reader, job: &DecodeJob, content: &Content| -> Result<FittedAnswer, MediaError> {
        if matches!(content, Content::Memory(bytes) if bytes == POISON) {
            fault();
        }
        job.read(reader, content, "")
    };
    match serve(read) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Takes memory and uses it, without end.
fn take_memory() {
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1u8; 8 << 20]);
        std::hint::black_box(&taken);
    }
}

fn descend(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 512]);
    if depth == 0 { 0 } else { descend(depth + 1) + frame[7] }
}

/// Sends bytes of its own to the service.
fn send(bytes: &[u8]) {
    let socket = io::stdin().as_fd().try_clone_to_owned().expect("a socket");
    // The service may have hung up meanwhile.
    let _ = UnixStream::from(socket).write_all(bytes);
}

fn send_frame(header: &str, payload_length: u64) {
    let mut frame = Vec::new();
    frame.extend((header.len() as u32).to_le_bytes());
    frame.extend(payload_length.to_le_bytes());
    frame.extend(header.as_bytes());
    send(&frame);
}
