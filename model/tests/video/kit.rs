//! Makes videos with the ffmpeg command, and says what is in them by decoding them whole with it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use image::RgbImage;
use sightstream_model::fetch::{Content, Identity, MediaFile};
use sightstream_model::media::video::{Video, VideoOptions};
use sightstream_model::media::{DecodeLimits, Failure};
use tempfile::TempDir;

/// Runs a command to its end, which must be good.
fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .expect("ffmpeg and ffprobe are installed (scripts/setup --test)");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Splits words at white space.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// Runs ffmpeg in a folder.
pub fn ffmpeg(folder: &Path, arguments: &str) {
    run(Command::new("ffmpeg")
        .current_dir(folder)
        .args(["-hide_banner", "-nostdin", "-loglevel", "error", "-y"])
        .args(words(arguments)));
}

/// Whether ffmpeg can write a codec. Debian's can write all that are asked for here; what else is, fails here.
pub fn assert_encoder(name: &str) {
    let output = run(Command::new("ffmpeg").args(["-hide_banner", "-encoders"]));
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        list.lines().any(|line| words(line).nth(1) == Some(name)),
        "ffmpeg has no encoder {name}"
    );
}

/// A folder with one video.
pub struct Clip {
    pub folder: TempDir,
    pub path: PathBuf,
}

/// Makes a video of a moving test picture: `source` is what lavfi draws, `encoding` how it is written.
pub fn made(source: &str, encoding: &str, name: &str) -> Clip {
    let folder = tempfile::tempdir().expect("a folder");
    ffmpeg(folder.path(), &format!("-f lavfi -i {source} {encoding} {name}"));
    let path = folder.path().join(name);
    Clip { folder, path }
}

/// Ten seconds of a small test picture, 30 frames a second.
pub const TEN_SECONDS: &str = "testsrc2=size=192x108:rate=30:duration=10";

/// What decoding all of a video with the command gives.
pub struct Reference {
    pub frames: Vec<RgbImage>,
    /// Of each frame, from the first one, in seconds.
    pub times: Vec<f64>,
}

impl Reference {
    pub fn of(path: &Path) -> Self {
        let frames = reference_frames(path);
        let times = reference_times(path);
        assert_eq!(frames.len(), times.len(), "ffmpeg and ffprobe count the same frames");
        Self { frames, times }
    }

    /// The frames of a video, in the order in which they are decoded, at a rate that is known from elsewhere.
    pub fn at_rate(path: &Path, rate: f64) -> Self {
        let frames = reference_frames(path);
        let times = (0..frames.len()).map(|frame| frame as f64 / rate).collect();
        Self { frames, times }
    }

    /// The numbers of the frames that stand for a span: NumPy's `linspace(0, n - 1, frames)`, truncated. Where none begins in
    /// it, the one that is seen meanwhile.
    pub fn chosen(&self, span: Option<(f64, f64)>, frames: usize) -> Vec<usize> {
        let (start, end) = span.unwrap_or((0.0, f64::INFINITY));
        let within: Vec<usize> = (0..self.times.len())
            .filter(|&frame| self.times[frame] >= start && self.times[frame] < end)
            .collect();
        let later = self.times.iter().position(|&time| time >= start);
        if let (true, Some(later @ 1..)) = (within.is_empty(), later) {
            return vec![later - 1];
        }
        if within.len() <= frames {
            return within;
        }
        let step = (within.len() - 1) as f64 / (frames - 1) as f64;
        let number = |frame: usize| match frame {
            frame if frame == frames - 1 => within.len() - 1,
            frame => (frame as f64 * step) as usize,
        };
        (0..frames).map(|frame| within[number(frame)]).collect()
    }
}

/// Where the colours of a video were taken among its pixels, as the `scale` filter is told. FFmpeg 5.1 does not ask the video
/// itself, and later ones do.
fn chroma_location(path: &Path) -> &'static str {
    let output = run(Command::new("ffprobe")
        .args(words("-hide_banner -loglevel error -select_streams v:0 -of csv=p=0"))
        .args(words("-show_entries stream=pix_fmt,chroma_location"))
        .arg(path));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    // A transport stream is told twice, by its program too; and side data follow behind a comma.
    let mut told = words(&told).next().unwrap_or_default().split(',');
    let (format, location) = (told.next().unwrap_or_default(), told.next().unwrap_or_default());
    match location {
        // Every row has its colours.
        "left" if format.starts_with("yuv422") || format.starts_with("yuvj422") => {
            "scale=in_h_chr_pos=0:flags=bilinear"
        }
        "left" => "scale=in_h_chr_pos=0:in_v_chr_pos=128:flags=bilinear",
        "topleft" => "scale=in_h_chr_pos=0:in_v_chr_pos=0:flags=bilinear",
        "center" => "scale=in_h_chr_pos=128:in_v_chr_pos=128:flags=bilinear",
        "unspecified" | "unknown" => "null",
        other => panic!("the colours of {} are {other}", path.display()),
    }
}

fn reference_frames(path: &Path) -> Vec<RgbImage> {
    let output = run(Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-loglevel", "error", "-i"])
        .arg(path)
        .args(["-vf", chroma_location(path)])
        .args(words(
            "-map 0:v:0 -fps_mode passthrough -sws_flags bilinear -f image2pipe -c:v ppm -pix_fmt rgb24 -",
        )));
    let mut rest = output.stdout.as_slice();
    let mut frames = Vec::new();
    while !rest.is_empty() {
        // "P6\nWIDTH HEIGHT\n255\n"
        let mut lines = rest.splitn(4, |&byte| byte == b'\n');
        let mut line = || String::from_utf8_lossy(lines.next().expect("a header")).into_owned();
        assert_eq!(line(), "P6");
        let size: Vec<u32> = words(&line()).map(|side| side.parse().expect("a side")).collect();
        assert_eq!(line(), "255");
        let pixels = lines.next().expect("pixels");
        let (pixels, after) = pixels.split_at(size[0] as usize * size[1] as usize * 3);
        frames.push(RgbImage::from_raw(size[0], size[1], pixels.to_vec()).expect("so many pixels"));
        rest = after;
    }
    frames
}

fn reference_times(path: &Path) -> Vec<f64> {
    let output = run(Command::new("ffprobe")
        .args(words("-hide_banner -loglevel error -select_streams v:0 -of csv=p=0"))
        .args(words("-show_entries frame=best_effort_timestamp:stream=time_base"))
        .arg(path));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (mut ticks, mut base) = (Vec::new(), None);
    for line in text.lines() {
        let field = line.trim().trim_end_matches(',');
        match field.split_once('/') {
            Some((num, den)) => base = Some((num.parse::<f64>().expect("a number"), den.parse::<f64>().expect("one"))),
            None if field.is_empty() => {}
            None => ticks.push(field.parse::<i64>().unwrap_or_else(|_| panic!("no time: {line}"))),
        }
    }
    let (num, den) = base.expect("a time base");
    let first = ticks.first().copied().unwrap_or(0);
    ticks.iter().map(|tick| (tick - first) as f64 * num / den).collect()
}

/// A file as the fetcher hands it over.
pub fn content(path: &Path) -> Content {
    let file = File::open(path).expect("the file that was made");
    let length = file.metadata().expect("its length").len();
    Content::File(MediaFile {
        file: Arc::new(file),
        length,
        identity: Identity([0; 16]),
    })
}

pub fn open(path: &Path) -> Result<Video, Failure> {
    Video::open(&content(path), &DecodeLimits::default())
}

pub fn open_with_threads(path: &Path, threads: usize) -> Video {
    let options = VideoOptions {
        threads: threads.try_into().expect("at least one"),
    };
    Video::open_with(&content(path), &DecodeLimits::default(), &options).expect("it opens")
}

/// The largest difference between the channels of two pictures of one size.
pub fn difference(one: &RgbImage, other: &RgbImage) -> u8 {
    assert_eq!(one.dimensions(), other.dimensions());
    let channels = one.as_raw().iter().zip(other.as_raw());
    channels.map(|(one, other)| one.abs_diff(*other)).max().unwrap_or(0)
}

/// Which frame of the reference each picture is: one that is equal, or nearly.
fn numbers(clip: &[RgbImage], reference: &Reference, tolerance: u8) -> Vec<Option<usize>> {
    let number = |picture: &RgbImage| {
        let same = |frame: &&RgbImage| frame.dimensions() == picture.dimensions();
        let frames = reference.frames.iter();
        frames.clone().position(|frame| frame == picture).or_else(|| {
            frames
                .clone()
                .position(|frame| same(&frame) && difference(frame, picture) <= tolerance)
        })
    };
    clip.iter().map(number).collect()
}

/// Asks a video for a span, and compares every frame with the one that the reference has in its place.
#[track_caller]
pub fn check_span(video: &mut Video, reference: &Reference, span: Option<(f64, f64)>, tolerance: u8) {
    let chosen = reference.chosen(span, 8);
    let clip = video.clip(span, 8, &|frame| frame);
    let clip = match (clip, chosen.is_empty()) {
        (Ok(clip), false) => clip,
        (Err(Failure::Unsupported(_)), true) => return,
        (other, _) => panic!("{span:?}: {other:?}, where there are the frames {chosen:?}"),
    };
    assert_eq!(clip.len(), chosen.len(), "{span:?}");
    for (picture, &frame) in clip.iter().zip(&chosen) {
        let expected = &reference.frames[frame];
        let same_size = expected.dimensions() == picture.dimensions();
        if !same_size || difference(expected, picture) > tolerance {
            let came = numbers(&clip, reference, tolerance);
            panic!("{span:?}: expected the frames {chosen:?}, came {came:?}");
        }
    }
}

/// Compares the whole video, its windows in order, and windows in another order, with what the command decodes. Returns
/// the video, which was asked for all that.
#[track_caller]
pub fn check(path: &Path, tolerance: u8) -> Video {
    let reference = Reference::of(path);
    assert!(!reference.frames.is_empty());
    let mut video = open(path).unwrap_or_else(|failure| panic!("{}: {failure:?}", path.display()));
    assert!(!video.is_truncated(), "{}", path.display());
    check_span(&mut video, &reference, None, tolerance);
    let length = *reference.times.last().expect("a frame");
    let window = (length / 4.0).max(0.1);
    let windows: Vec<(f64, f64)> = (0..5)
        .map(|number| (f64::from(number) * window, f64::from(number + 1) * window))
        .collect();
    for &span in &windows {
        check_span(&mut video, &reference, Some(span), tolerance);
    }
    for number in [3, 0, 2, 2, 1, 4, 0] {
        check_span(&mut video, &reference, Some(windows[number]), tolerance);
    }
    // Spans that begin and end anywhere, one of them with fewer frames than are asked for.
    for span in [
        (length * 0.37, length * 0.41),
        (length * 0.11, length * 0.9),
        (length * 0.5, length * 0.5 + 0.05),
    ] {
        check_span(&mut video, &reference, Some(span), tolerance);
    }
    check_span(&mut video, &reference, None, tolerance);
    assert!(!video.is_truncated(), "{}", path.display());
    video
}
