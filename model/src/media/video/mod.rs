//! Videos, by FFmpeg: clips of uniform frames, exactly those that decoding it all and counting would give.
//!
//! Opening a video reads its packets once, without decoding, for an index: which frames there are and when, from which key
//! frame on each can be decoded, and which no other needs (`index`). A clip is chosen by the index, and decoded from key
//! frame to key frame, or on from where the last clip ended (`player`). Each frame that comes is checked against the
//! index. Where they disagree (damage, frames that the container does not show) the clip is decoded through, its frames are
//! counted, and it is decoded again for those that were chosen (`film`).
//!
//! Nothing is opened by name: FFmpeg reads through [`Content::read_at`] alone, and formats that name other files are
//! refused. Its log goes to `tracing`.
//!
//! Animated WebP, which FFmpeg 5.1 does not decode, has a decoder of its own (`webp`).
//!
//! # Metrics
//!
//! | name | kind | what |
//! | --- | --- | --- |
//! | `sightstream_video_frames_total{kind}` | counter | packets that went to a decoder (`decoded`), frames that became pixels (`used`) |
//! | `sightstream_video_truncated_total` | counter | videos whose end is missing, or of which some frames do not decode, that were used all the same |

mod bitstream;
mod container;
mod decoder;
mod extent;
mod ffmpeg;
mod film;
mod formats;
mod index;
mod input;
mod log;
mod pixels;
mod player;
mod webp;

use std::num::NonZero;

use ::metrics::counter;
use image::RgbImage;

use super::DecodeLimits;
use super::counters::{FRAMES, TRUNCATED};
use super::failure::Failure;
use crate::fetch::Content;
use crate::kind::is_moving_webp;
use film::Film;
pub use log::ffmpeg_errors_to_standard_error;
use webp::Animation;

/// How videos are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoOptions {
    /// The threads that decode one video. Large frames get fewer.
    pub threads: NonZero<usize>,
}

impl Default for VideoOptions {
    /// A thread for each processor, up to 4: more decode little faster, and hold more frames.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            threads: NonZero::new(processors.min(4)).unwrap_or(NonZero::<usize>::MIN),
        }
    }
}

/// What was done with a video so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameCounts {
    /// Packets that its decoder took.
    pub decoded: u64,
    /// Frames that became pixels.
    pub used: u64,
    /// Frames that it has.
    pub all: u64,
}

/// A video that is open.
#[derive(Debug)]
pub struct Video {
    pictures: Pictures,
    /// What is in the metrics already: the counts, and whether it is cut.
    recorded: (FrameCounts, bool),
}

#[derive(Debug)]
enum Pictures {
    Film(Box<Film>),
    Animation(Box<Animation>),
}

impl Video {
    /// Opens a video: reads its packets, and decodes the first frame.
    ///
    /// # Errors
    /// [`Failure`]: it is none, holds none, is damaged, or its frames have more pixels than the limit.
    pub fn open(content: &Content, limits: &DecodeLimits) -> Result<Self, Failure> {
        Self::open_with(content, limits, &VideoOptions::default())
    }

    /// [`Video::open`] with options.
    ///
    /// # Errors
    /// Those of [`Video::open`].
    pub fn open_with(content: &Content, limits: &DecodeLimits, options: &VideoOptions) -> Result<Self, Failure> {
        let head = content.head().map_err(unreadable)?;
        let pictures = if is_moving_webp(&head) {
            Pictures::Animation(Box::new(Animation::open(content, limits)?))
        } else {
            Pictures::Film(Box::new(Film::open(content, limits, options.threads.get())?))
        };
        Ok(Self {
            pictures,
            recorded: (FrameCounts::default(), false),
        })
    }

    /// Its length in seconds, from its first frame to the end of its last.
    pub fn duration(&self) -> f64 {
        match &self.pictures {
            Pictures::Film(film) => film.duration(),
            Pictures::Animation(animation) => animation.duration(),
        }
    }

    /// What was decoded of it so far.
    pub fn counts(&self) -> FrameCounts {
        match &self.pictures {
            Pictures::Film(film) => film.counts(),
            Pictures::Animation(animation) => animation.counts(),
        }
    }

    /// Whether its end is missing, or some of its frames were found not to decode.
    pub fn is_truncated(&self) -> bool {
        match &self.pictures {
            Pictures::Film(film) => film.is_truncated(),
            Pictures::Animation(_) => false,
        }
    }

    /// So many uniform frames of a span, in seconds from the first frame; of all where there is none. Fewer where there are
    /// fewer. They are the frames `linspace(0, n - 1, frames)`, truncated, of the `n` whose time is in the span, which its
    /// end is not part of; where there are none, the one that is seen meanwhile. `fit` gets each as it is decoded, upright;
    /// all have the size of the first.
    ///
    /// # Errors
    /// [`Failure`]: the span lies behind the end, or too little of it can be decoded.
    pub fn clip(
        &mut self,
        span: Option<(f64, f64)>,
        frames: u32,
        fit: &dyn Fn(RgbImage) -> RgbImage,
    ) -> Result<Vec<RgbImage>, Failure> {
        let span = span.unwrap_or((0.0, f64::INFINITY));
        let clip = match &mut self.pictures {
            Pictures::Film(film) => film.clip(span, frames, fit),
            Pictures::Animation(animation) => animation.clip(span, frames, fit),
        };
        self.record();
        clip
    }

    fn record(&mut self) {
        let (counts, truncated) = (self.counts(), self.is_truncated());
        let (recorded, recorded_truncated) = std::mem::replace(&mut self.recorded, (counts, truncated));
        counter!(FRAMES, "kind" => "decoded").increment(counts.decoded - recorded.decoded);
        counter!(FRAMES, "kind" => "used").increment(counts.used - recorded.used);
        counter!(TRUNCATED).increment(u64::from(truncated && !recorded_truncated));
    }
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::Corrupt(format!("it cannot be read: {error}"))
}

/// Which of `all` frames stand for them: `linspace(0, all - 1, frames)`, truncated, as NumPy computes it; all where there
/// are no more.
fn uniform(all: u32, frames: u32) -> Vec<u32> {
    if all <= frames {
        return (0..all).collect();
    }
    let last = all - 1;
    let step = f64::from(last) / f64::from(frames.saturating_sub(1).max(1));
    (0..frames)
        .map(|frame| match frame {
            0 => 0,
            frame if frame == frames - 1 => last,
            frame => (f64::from(frame) * step) as u32,
        })
        .collect()
}

/// Whether a span has a frame that began before it and is seen in it, where no frame begins in it.
fn shows_an_earlier_frame((start, end): (f64, f64), duration: f64) -> bool {
    start < end && start < duration
}

/// The failure of a span without frames.
fn no_frame((start, end): (f64, f64), duration: f64) -> Failure {
    let span = match end.is_finite() {
        true => format!("{start}-{end} s"),
        false => format!("{start} s and later"),
    };
    let rounded = (duration * 10.0).round() / 10.0;
    Failure::Unsupported(match start >= duration {
        true => format!("the video ends at {rounded} s; there is no frame in {span}"),
        false => format!("the video has no frame in {span}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_frames_are_numpys() {
        // np.linspace(0, n - 1, 8).astype(int)
        assert_eq!(uniform(250, 8), [0, 35, 71, 106, 142, 177, 213, 249]);
        assert_eq!(uniform(9, 8), [0, 1, 2, 3, 4, 5, 6, 8]);
        assert_eq!(uniform(8, 8), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(uniform(3, 8), [0, 1, 2]);
        assert_eq!(uniform(100, 1), [0]);
        assert!(uniform(0, 8).is_empty());
    }

    #[test]
    fn a_span_without_frames_is_told() {
        let told = |span, duration| match no_frame(span, duration) {
            Failure::Unsupported(message) => message,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            told((120.0, 150.0), 93.41),
            "the video ends at 93.4 s; there is no frame in 120-150 s"
        );
        assert_eq!(told((1.0, 1.01), 93.4), "the video has no frame in 1-1.01 s");
        assert_eq!(
            told((99.5, f64::INFINITY), 93.4),
            "the video ends at 93.4 s; there is no frame in 99.5 s and later"
        );
    }
}
