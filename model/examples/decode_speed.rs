//! How long decoding and resizing take, in this process and in worker processes:
//! `cargo run --release --example decode_speed -- [--threads N] [--seconds S] FILE…`

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sightstream_model::fetch::Fetched;
use sightstream_model::isolation::{Decoder, DecoderIsolation, WorkerOptions, run_worker};
use sightstream_model::media::DecodeLimits;
use sightstream_model::processor::PixelTarget;

/// The argument that makes this executable a worker.
const WORKER: &str = "decode-worker";

/// What the checkpoints ask for.
const TARGET: PixelTarget = PixelTarget {
    factor: 28,
    min_pixels: 4 * 784,
    max_pixels: 1280 * 784,
};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_some_and(|argument| argument == WORKER) {
        return match run_worker() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let (mut threads, mut seconds, mut files) = (1, 3.0, Vec::new());
    while let Some(argument) = arguments.next() {
        let mut number = || {
            arguments
                .next()
                .and_then(|text| text.parse::<f64>().ok())
                .expect("a number")
        };
        match argument.as_str() {
            "--threads" => threads = number() as usize,
            "--seconds" => seconds = number(),
            _ => files.push(argument),
        }
    }
    let this = std::env::current_exe().expect("this executable has a path");
    let command: Vec<OsString> = vec![this.into(), WORKER.into()];
    println!("{threads} threads; milliseconds for one medium, and their ratio");
    println!("{:<40} {:>12} {:>12} {:>8}", "file", "in process", "isolated", "ratio");
    for file in files {
        let bytes = Bytes::from(std::fs::read(&file).expect("a readable file"));
        // One after the other, twice, so that a machine that changes its speed changes it for both.
        let mut took = [0.0; 2];
        for _ in 0..2 {
            let isolations = [
                DecoderIsolation::InProcess,
                DecoderIsolation::Workers(WorkerOptions::new(command.clone())),
            ];
            for (took, isolation) in took.iter_mut().zip(isolations) {
                *took += measure(isolation, &bytes, threads, Duration::from_secs_f64(seconds)) / 2.0;
            }
        }
        println!(
            "{file:<40} {:>12.3} {:>12.3} {:>8.3}",
            took[0],
            took[1],
            took[1] / took[0]
        );
    }
    ExitCode::SUCCESS
}

/// Milliseconds for one medium, of `threads` that decode the same one again and again.
fn measure(isolation: DecoderIsolation, bytes: &Bytes, threads: usize, time: Duration) -> f64 {
    let decoder = Decoder::new(isolation, DecodeLimits::default(), TARGET).expect("usable options");
    let decode = || {
        let fetched = Fetched {
            bytes: bytes.clone(),
            media_type: None,
        };
        decoder.decode(&fetched, None, "it").expect("it decodes")
    };
    let (decoded, warm) = (AtomicUsize::new(0), std::sync::Barrier::new(threads + 1));
    let mut took = Duration::ZERO;
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for _ in 0..threads {
            workers.push(scope.spawn(|| {
                decode();
                warm.wait();
                let start = Instant::now();
                while start.elapsed() < time {
                    decode();
                    decoded.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        warm.wait();
        let start = Instant::now();
        for worker in workers {
            worker.join().expect("nothing panics");
        }
        took = start.elapsed();
    });
    took.as_secs_f64() * 1000.0 / decoded.into_inner() as f64
}
