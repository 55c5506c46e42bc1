//! Workers with faults. Each decodes as a real one does, until it gets [`POISON`].

use std::collections::HashSet;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use image::RgbImage;
use sightstream_model::error::MediaError;
use sightstream_model::fetch::{Content, MediaFile};
use sightstream_model::isolation::{DecodeJob, FittedAnswer, run_worker, serve};
use sightstream_model::media::{Answer, Media, Parts, Question, Reader};

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
        "looks-at-files" => return serve_files(|_, _, file| said_of(file)),
        "opens-slowly" => {
            let mut known = HashSet::new();
            return serve_files(move |reader, job, file| {
                if known.insert(file.identity) {
                    std::thread::sleep(Duration::from_secs(2));
                }
                // Opens it, if it is one that can be opened.
                let _ = job.read(reader, &Content::File(file.clone()), "it");
                said_of(file)
            });
        }
        "plays" => return serve_files(|_, job, file| play(job, file)),
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
        "sends-too-many-pixels" => || send_frame(r#"{"reply":{"image":[2800000,2800000]}}"#, 23_520_000_000_000),
        "sends-too-few-bytes" => || send_frame(r#"{"reply":{"image":[280,280]}}"#, 7),
        "stops-in-the-middle" => || {
            send_frame(r#"{"reply":{"image":[280,280]}}"#, 280 * 280 * 3);
            std::process::exit(0);
        },
        "drips" => || {
            // A byte from time to time is no progress.
            send_frame(r#"{"reply":{"image":[280,280]}}"#, 280 * 280 * 3);
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

/// Runs a worker that answers in its own way about media in files.
fn serve_files(mut answer: impl FnMut(&mut Reader, &DecodeJob, &MediaFile) -> Answer) -> ExitCode {
    let served = serve(|reader, job, content| match content {
        Content::File(file) => Ok(match answer(reader, job, file) {
            Answer::Media(media) => FittedAnswer::Media(job.target.accept(media).expect("it fits")),
            Answer::Parts(parts) => FittedAnswer::Parts(parts),
        }),
        Content::Memory(_) => panic!("it is in no file"),
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The worker's process, the file's second line, whether it can be written to, and how many descriptors are open.
fn said_of(file: &MediaFile) -> Answer {
    let mut content = [0; 100];
    let read = file.file.read_at(&mut content, 0).expect("it can be read");
    let content = String::from_utf8_lossy(&content[..read]);
    let written = match file.file.write_at(b"written", 0) {
        Ok(_) => "writable",
        Err(_) => "read-only",
    };
    // SAFETY: asking for a descriptor's flags changes nothing, whether it is open or not.
    let is_open = |descriptor: &i32| unsafe { libc::fcntl(*descriptor, libc::F_GETFD) } >= 0;
    let open = (0..64).filter(is_open).count();
    let line = content.lines().nth(1).unwrap_or_default();
    Answer::Media(Media::Text(format!("{} {line} {written} {open}", std::process::id())))
}

/// As many frames as the file's second line says; or a video of two hours.
fn play(job: &DecodeJob, file: &MediaFile) -> Answer {
    let mut content = [0; 11];
    file.file.read_exact_at(&mut content, 0).expect("it can be read");
    let frames = content[9] - b'0';
    match job.question {
        Question::Parts => Answer::Parts(Parts::Windows { duration: 7200.5 }),
        Question::Input => {
            let frame = |shade| RgbImage::from_pixel(56, 84, image::Rgb([1, 2, shade]));
            Answer::Media(Media::Clip((0..frames).map(frame).collect()))
        }
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
