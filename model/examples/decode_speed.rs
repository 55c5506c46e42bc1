//! How long decoding and resizing take, in this process and in worker processes:
//! `cargo run --release --example decode_speed -- [--threads N] [--seconds S] FILE…`

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sightstream_model::fetch::{Content, Fetched};
use sightstream_model::isolation::{Decoder, DecoderIsolation, WorkerOptions, run_worker};
use sightstream_model::media::{DecodeLimits, Question, Segmentation};
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
    println!("{threads} threads; milliseconds for one medium: on the clock, and of the processors'");
    println!(
        "{:<28} {:>10} {:>10} {:>7} {:>10} {:>10} {:>7}",
        "file", "in process", "isolated", "ratio", "CPU", "CPU", "ratio"
    );
    for file in files {
        let bytes = Bytes::from(std::fs::read(&file).expect("a readable file"));
        // One after the other, twice, so that a machine that changes its speed changes it for both.
        let mut took = [Cost::default(); 2];
        for _ in 0..2 {
            let isolations = [
                DecoderIsolation::InProcess,
                DecoderIsolation::Workers(WorkerOptions::new(command.clone())),
            ];
            for (took, isolation) in took.iter_mut().zip(isolations) {
                let cost = measure(isolation, &bytes, threads, Duration::from_secs_f64(seconds));
                took.clock += cost.clock / 2.0;
                took.cpu += cost.cpu / 2.0;
            }
        }
        let [here, there] = took;
        let (clock, cpu) = (there.clock / here.clock, there.cpu / here.cpu);
        println!(
            "{file:<28} {:>10.3} {:>10.3} {clock:>7.3} {:>10.3} {:>10.3} {cpu:>7.3}",
            here.clock, there.clock, here.cpu, there.cpu
        );
    }
    ExitCode::SUCCESS
}

/// Milliseconds for one medium.
#[derive(Clone, Copy, Default)]
struct Cost {
    clock: f64,
    /// Of this process and its workers, their start included.
    cpu: f64,
}

/// Seconds that the processors spent on this process, and on its children that were waited for.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has /proc");
    let (_, fields) = stat.rsplit_once(')').expect("the name is in parentheses");
    let ticks = fields.split_whitespace().skip(11).take(4);
    let ticks: f64 = ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum();
    // USER_HZ, which is 100 on every Linux that this runs on.
    ticks / 100.0
}

/// What `threads` need that decode the same medium again and again.
fn measure(isolation: DecoderIsolation, bytes: &Bytes, threads: usize, time: Duration) -> Cost {
    let cpu = cpu_seconds();
    let decoder =
        Decoder::new(isolation, DecodeLimits::default(), Segmentation::default(), TARGET).expect("usable options");
    let decode = || {
        let fetched = Fetched {
            content: Content::Memory(bytes.clone()),
            media_type: None,
        };
        decoder.read(&fetched, None, Question::Input, "it").expect("it decodes")
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
    // Workers count when they are waited for.
    drop(decoder);
    let media = decoded.into_inner() as f64;
    Cost {
        clock: took.as_secs_f64() * 1000.0 / media,
        // Each thread has decoded one more, to get warm.
        cpu: (cpu_seconds() - cpu) * 1000.0 / (media + threads as f64),
    }
}
