//! Clips of a video that FFmpeg decodes.

use image::RgbImage;

use super::ffmpeg::Frame;
use super::pixels::{Converter, Turn};
use super::player::{Miss, Player};
use super::{FrameCounts, no_frame, uniform};
use crate::fetch::Content;
use crate::media::DecodeLimits;
use crate::media::failure::Failure;

/// After so many clips that disagreed with the index it is not asked any more.
const DOUBTS: u32 = 2;

/// A video that FFmpeg decodes.
#[derive(Debug)]
pub(super) struct Film {
    player: Player,
    canvas: Canvas,
    /// How many clips disagreed with the index.
    doubts: u32,
    /// Whether leaving out what is not needed has proved right so far.
    shortcuts: bool,
    /// The frames that the container's own index has, where it has more than there are.
    is_cut: bool,
    is_damaged: bool,
}

/// What turns decoded frames into pixels.
#[derive(Debug)]
struct Canvas {
    converter: Converter,
    turn: Turn,
    used: u64,
}

impl Canvas {
    /// The pixels of a frame, in the size of the clip's first, upright.
    fn draw(&mut self, frame: &Frame, size: &mut Option<(u32, u32)>) -> Result<RgbImage, Failure> {
        let image = self.converter.convert(frame, *size)?;
        size.get_or_insert(image.dimensions());
        self.used += 1;
        Ok(Turn::of_frame(frame).unwrap_or(self.turn).apply(image))
    }
}

/// The frames of a span, as decoding gives them.
struct Counted {
    /// The packet with which decoding began.
    from: usize,
    /// Which of the frames that came after it lie in the span.
    frames: Vec<u32>,
}

impl Film {
    pub(super) fn open(content: &Content, limits: &DecodeLimits, threads: usize) -> Result<Self, Failure> {
        let player = Player::open(content, limits, threads)?;
        let turn = player
            .container()
            .display_matrix()
            .map_or(Turn::None, |matrix| Turn::of(&matrix));
        Ok(Self {
            // Without times of its own a container does not tell in which order frames are seen.
            doubts: if player.index().is_guessed() { DOUBTS } else { 0 },
            is_cut: player.container().indexed_end() > content.length(),
            player,
            canvas: Canvas {
                converter: Converter::new(),
                turn,
                used: 0,
            },
            shortcuts: true,
            is_damaged: false,
        })
    }

    pub(super) fn duration(&self) -> f64 {
        self.player.index().duration()
    }

    pub(super) fn counts(&self) -> FrameCounts {
        FrameCounts {
            decoded: self.player.decoded(),
            used: self.canvas.used,
            all: self.player.index().frames() as u64,
        }
    }

    pub(super) fn is_truncated(&self) -> bool {
        self.is_cut || self.is_damaged
    }

    pub(super) fn clip(
        &mut self,
        span: (f64, f64),
        frames: u32,
        fit: &dyn Fn(RgbImage) -> RgbImage,
    ) -> Result<Vec<RgbImage>, Failure> {
        let within = self.player.index().within(span);
        if within.is_empty() {
            return Err(self.no_frame(span));
        }
        let ranks: Vec<u32> = uniform(within.len() as u32, frames)
            .into_iter()
            .map(|rank| within.start + rank)
            .collect();
        if self.doubts < DOUBTS {
            match self.picked(&ranks, fit) {
                Ok(clip) => return Ok(clip),
                Err(Miss::Failed(failure)) => return Err(failure),
                Err(Miss::Disagrees(why)) => {
                    tracing::debug!(
                        why,
                        "a clip is not as the video's index says, and its frames are counted"
                    );
                    self.doubts += 1;
                }
            }
        }
        let counted = self.counted(span)?;
        self.check_enough(counted.frames.len(), within.len(), frames, span)?;
        self.drawn(&counted, frames, fit)
    }

    fn no_frame(&self, span: (f64, f64)) -> Failure {
        match no_frame(span, self.duration()) {
            Failure::Unsupported(message) if self.is_cut => {
                Failure::Corrupt(format!("the end of the file is missing; of what there is, {message}"))
            }
            failure => failure,
        }
    }

    /// The frames of these ranks by the index: leaving out what is not needed, and if that fails, with all of it.
    fn picked(&mut self, ranks: &[u32], fit: &dyn Fn(RgbImage) -> RgbImage) -> Result<Vec<RgbImage>, Miss> {
        loop {
            let (mut clip, mut size) = (Vec::with_capacity(ranks.len()), None);
            let canvas = &mut self.canvas;
            let outcome = self.player.pick(ranks, self.shortcuts, &mut |_, frame| {
                clip.push(fit(canvas.draw(frame, &mut size)?));
                Ok(true)
            });
            match outcome {
                Ok(()) => return Ok(clip),
                Err(Miss::Disagrees(why)) if self.shortcuts => {
                    tracing::debug!(why, "a video cannot be decoded with frames left out");
                    self.shortcuts = false;
                }
                Err(miss) => return Err(miss),
            }
        }
    }

    /// Decodes through a span and counts its frames.
    fn counted(&mut self, span: (f64, f64)) -> Result<Counted, Failure> {
        let index = self.player.index();
        let first = index.within(span).start;
        // Decoding may need a while after a key frame until it gives what it should, so that it begins two earlier.
        let mut from = index.key_before(index.place(first));
        for _ in 0..2 {
            from = index.earlier_key(from);
        }
        let (mut number, mut last, mut frames) = (0u32, 0.0, Vec::new());
        self.player.run_through(from, &mut |index, frame| {
            let time = match index.is_guessed() {
                // The container's times are those of packets, which come in another order than frames do.
                true => index.time_of_nth(from, number),
                false => frame.place().and_then(|place| index.time_of(place)).unwrap_or(last),
            };
            last = time;
            if time >= span.0 && time < span.1 {
                frames.push(number);
            }
            number += 1;
            // Frames that come a little out of order are still waited for.
            Ok(time < span.1 + 1.0)
        })?;
        Ok(Counted { from, frames })
    }

    fn check_enough(&mut self, found: usize, indexed: usize, frames: u32, span: (f64, f64)) -> Result<(), Failure> {
        if found == 0 {
            return Err(Failure::Corrupt(format!(
                "none of the {indexed} frames in {}-{} s can be decoded",
                span.0,
                span.1.min(self.duration())
            )));
        }
        if found < frames as usize && found < indexed / 2 {
            return Err(Failure::Corrupt(format!(
                "only {found} of {indexed} frames can be decoded"
            )));
        }
        self.is_damaged |= found < indexed;
        Ok(())
    }

    /// Decodes a span that was counted once more, for the uniform ones of its frames.
    fn drawn(
        &mut self,
        counted: &Counted,
        frames: u32,
        fit: &dyn Fn(RgbImage) -> RgbImage,
    ) -> Result<Vec<RgbImage>, Failure> {
        let chosen: Vec<u32> = uniform(counted.frames.len() as u32, frames)
            .into_iter()
            .map(|frame| counted.frames[frame as usize])
            .collect();
        let (mut clip, mut size, mut number) = (Vec::with_capacity(chosen.len()), None, 0u32);
        let canvas = &mut self.canvas;
        self.player.run_through(counted.from, &mut |_, frame| {
            if chosen.get(clip.len()) == Some(&number) {
                clip.push(fit(canvas.draw(frame, &mut size)?));
            }
            number += 1;
            Ok(clip.len() < chosen.len())
        })?;
        match clip.len() == chosen.len() {
            true => Ok(clip),
            false => Err(Failure::Corrupt("its frames decode one time, and not another".into())),
        }
    }
}
