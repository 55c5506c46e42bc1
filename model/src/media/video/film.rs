//! Clips of a video that FFmpeg decodes.

use std::ops::Range;

use image::RgbImage;

use super::ffmpeg::Frame;
use super::index::Index;
use super::pixels::{Converter, Turn};
use super::player::{Miss, Player};
use super::{FrameCounts, no_frame, uniform};
use crate::fetch::Content;
use crate::media::DecodeLimits;
use crate::media::failure::Failure;

/// After so many clips in a row that disagreed with the index it is not asked any more.
const DOUBTS: u32 = 2;

/// A video that FFmpeg decodes.
#[derive(Debug)]
pub(super) struct Film {
    player: Player,
    canvas: Canvas,
    /// How many clips in a row disagreed with the index.
    doubts: u32,
    /// Whether the end of the file is missing.
    is_cut: bool,
    /// Whether there are packets that are not whole, or were frames that do not decode.
    is_damaged: bool,
    /// How many frames became part of a clip.
    used: u64,
}

/// What turns decoded frames into pixels.
#[derive(Debug)]
struct Canvas {
    converter: Converter,
    turn: Turn,
}

impl Canvas {
    /// The pixels of a frame, in the size of the clip's first, upright.
    fn draw(&mut self, frame: &Frame, size: &mut Option<(u32, u32)>) -> Result<RgbImage, Failure> {
        let image = self.converter.convert(frame, *size)?;
        size.get_or_insert(image.dimensions());
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
            is_cut: player.index().ends_early() || player.container().is_cut(content),
            is_damaged: player.index().is_damaged(),
            player,
            canvas: Canvas {
                converter: Converter::new(),
                turn,
            },
            used: 0,
        })
    }

    pub(super) fn duration(&self) -> f64 {
        self.player.index().duration()
    }

    pub(super) fn counts(&self) -> FrameCounts {
        FrameCounts {
            decoded: self.player.decoded(),
            used: self.used,
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
        let index = self.player.index();
        let span = index.to_earlier_frame(span).unwrap_or(span);
        let within = index.within(span);
        if within.is_empty() {
            return Err(self.no_frame(span));
        }
        let clip = self.clip_of(within, span, frames, fit)?;
        self.used += clip.len() as u64;
        Ok(clip)
    }

    fn clip_of(
        &mut self,
        within: Range<u32>,
        span: (f64, f64),
        frames: u32,
        fit: &dyn Fn(RgbImage) -> RgbImage,
    ) -> Result<Vec<RgbImage>, Failure> {
        if self.doubts < DOUBTS {
            let ranks: Vec<u32> = uniform(within.len() as u32, frames)
                .into_iter()
                .map(|rank| within.start + rank)
                .collect();
            match self.picked(&ranks, fit) {
                Ok(clip) => {
                    self.doubts = 0;
                    return Ok(clip);
                }
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

    /// The frames of these ranks, by the index.
    fn picked(&mut self, ranks: &[u32], fit: &dyn Fn(RgbImage) -> RgbImage) -> Result<Vec<RgbImage>, Miss> {
        let (mut clip, mut size) = (Vec::with_capacity(ranks.len()), None);
        let canvas = &mut self.canvas;
        self.player.pick(ranks, &mut |_, frame| {
            clip.push(fit(canvas.draw(frame, &mut size)?));
            Ok(true)
        })?;
        Ok(clip)
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
        let mut clock = Clock::new(index, from);
        let (mut number, mut frames) = (0, Vec::new());
        self.player.run_through(from, &mut |index, frame| {
            let time = clock.time(index, frame.place());
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

/// When frames are seen that come one after the other from a decoder.
struct Clock {
    /// The time of the last frame.
    last: f64,
    order: Order,
}

/// Where the times of frames come from.
enum Order {
    /// From their packets.
    Packets,
    /// From how many frames came before, where the container's times are those of packets, which come in another order. So
    /// many did that decoding knows of.
    Frames(i64),
    /// Not known before this key frame comes: what is seen before it, but stands behind it, is counted until then. The key
    /// frame with which decoding began does not do, since frames between it and the ones before it are missing.
    After { key: usize, between: i64 },
}

impl Clock {
    /// For what is decoded from the packet at a place on.
    fn new(index: &Index, from: usize) -> Self {
        let order = match (index.is_guessed(), index.later_key(from)) {
            (false, _) => Order::Packets,
            (true, Some(key)) if from > 0 => Order::After { key, between: 0 },
            (true, _) => Order::Frames(index.frames_before(from) as i64),
        };
        Self { last: -1.0, order }
    }

    /// When the next frame is seen, that of the packet at `place`, in seconds from the first one. Before the clock knows,
    /// it is before all.
    fn time(&mut self, index: &Index, place: Option<usize>) -> f64 {
        match &mut self.order {
            Order::Packets => self.last = place.and_then(|place| index.time_of(place)).unwrap_or(self.last),
            Order::Frames(number) => {
                self.last = index.time_of_nth(*number);
                *number += 1;
            }
            Order::After { key, between } => match place {
                Some(place) if place == *key => {
                    let number = index.frames_before(place) as i64 + *between;
                    self.last = index.time_of_nth(number);
                    self.order = Order::Frames(number + 1);
                }
                Some(place) if place > *key => *between += 1,
                _ => {}
            },
        }
        self.last
    }
}
