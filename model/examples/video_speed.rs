//! How many windows of a video are read in a second, and how much of it is decoded for them:
//! `cargo run --release --example video_speed -- FILE [THREADS] [SECONDS]`
//!
//! It opens the video, asks for its windows of 30 s in order, 8 frames each, makes patches of them as the checkpoints ask, and
//! begins anew until the time is over.

use std::fs::File;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sightstream_model::fetch::{Content, Identity, MediaFile};
use sightstream_model::media::video::{Video, VideoOptions};
use sightstream_model::media::{DecodeLimits, Failure, Media, Parts, Segmentation};
use sightstream_model::processor::{Processor, ProcessorConfig, ProcessorOverrides};
use sightstream_model::reference::Fragment;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        eprintln!("video_speed FILE [THREADS] [SECONDS]");
        return ExitCode::FAILURE;
    };
    let threads = arguments.next().map_or(NonZero::<usize>::MIN, |threads| {
        threads.parse().expect("THREADS is a number above 0")
    });
    let seconds: f64 = arguments
        .next()
        .map_or(10.0, |seconds| seconds.parse().expect("SECONDS is a number"));
    let file = File::open(&path).expect("a readable file");
    let content = Content::File(MediaFile {
        length: file.metadata().expect("a readable file").len(),
        file: Arc::new(file),
        identity: Identity([0; 16]),
    });
    match measure(&content, threads, Duration::from_secs_f64(seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{path}: {failure:?}");
            ExitCode::FAILURE
        }
    }
}

fn measure(content: &Content, threads: NonZero<usize>, time: Duration) -> Result<(), Failure> {
    let segmentation = Segmentation::default();
    let config = ProcessorConfig::read(None, &ProcessorOverrides::default()).expect("the defaults");
    let processor = Processor::new(include_bytes!("../demo/tokenizer.json"), config).expect("the demo's tokenizer");
    let target = processor.target();
    let (mut windows, mut decoded, mut all) = (0u32, 0, 0);
    let mut opening = Duration::ZERO;
    let start = Instant::now();
    let mut opened = 0u32;
    while opened == 0 || start.elapsed() < time {
        let before = Instant::now();
        let mut video = Video::open_with(content, &DecodeLimits::default(), &VideoOptions { threads })?;
        opening += before.elapsed();
        opened += 1;
        let duration = video.duration();
        for fragment in (Parts::Windows { duration }).fragments(&segmentation) {
            let Fragment::Time { start, end } = fragment else {
                continue;
            };
            let span = (start, end.unwrap_or(f64::INFINITY));
            let frames = video.clip(Some(span), segmentation.frames, &|frame| target.fit_image(frame))?;
            let clip = target.accept(Media::Clip(frames)).expect("it was fitted");
            drop(processor.pack(&clip, None, "a window").expect("patches"));
            windows += 1;
        }
        let counts = video.counts();
        (decoded, all) = (counts.decoded, counts.all);
    }
    let took = start.elapsed().as_secs_f64();
    println!(
        "{:.2} windows a second with {threads} threads; {:.1} % of {all} frames decoded; opening takes {:.1} ms",
        f64::from(windows) / took,
        100.0 * decoded as f64 / all as f64,
        opening.as_secs_f64() * 1000.0 / f64::from(opened)
    );
    Ok(())
}
