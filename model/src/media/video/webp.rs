//! Animated WebP, which FFmpeg 5.1 does not decode.

use std::io::Cursor;

use bytes::Bytes;
use image::{DynamicImage, RgbImage, RgbaImage};
use image_webp::{DecodingError, WebPDecoder};

use super::{FrameCounts, no_frame, uniform};
use crate::media::DecodeLimits;
use crate::media::failure::Failure;

/// An animation.
pub(super) struct Animation {
    decoder: WebPDecoder<Cursor<Bytes>>,
    /// When each frame is seen, in milliseconds, and when the last one ends.
    times: Vec<u64>,
    /// The frame that comes next from the decoder.
    next: usize,
    decoded: u64,
    used: u64,
}

impl std::fmt::Debug for Animation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Animation")
            .field("frames", &self.frames())
            .finish_non_exhaustive()
    }
}

/// Whether a content that begins so is a WebP image that says that it moves.
pub(super) fn is_animated(head: &[u8]) -> bool {
    head.len() > 20 && &head[..4] == b"RIFF" && &head[8..16] == b"WEBPVP8X" && head[20] & 2 != 0
}

/// Whether a content is a WebP image of several frames.
pub(super) fn has_several_frames(bytes: &[u8]) -> bool {
    is_animated(bytes) && delays(bytes).len() > 1
}

/// How long each frame is seen, in milliseconds.
fn delays(bytes: &[u8]) -> Vec<u64> {
    let mut delays = Vec::new();
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let Some((header, after)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if &header[..4] == b"ANMF"
            && let Some(frame) = after.get(..16)
        {
            delays.push(u64::from(u32::from_le_bytes([frame[12], frame[13], frame[14], 0])));
        }
        rest = after.get(length.saturating_add(length % 2)..).unwrap_or_default();
    }
    delays
}

impl From<DecodingError> for Failure {
    fn from(error: DecodingError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

impl Animation {
    pub(super) fn open(bytes: Bytes, limits: &DecodeLimits) -> Result<Self, Failure> {
        let delays = delays(&bytes);
        let mut decoder = WebPDecoder::new(Cursor::new(bytes))?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > limits.max_pixels {
            return Err(Failure::TooLarge(format!(
                "frames of {width} x {height} pixels; the limit is {} pixels",
                limits.max_pixels
            )));
        }
        decoder.set_memory_limit(usize::try_from(limits.max_pixels.saturating_mul(16)).unwrap_or(usize::MAX));
        let frames = delays.len().min(decoder.num_frames() as usize);
        if frames == 0 || !decoder.is_animated() {
            return Err(Failure::Corrupt("the animation holds no frame".into()));
        }
        let mut times = vec![0];
        times.extend(delays[..frames].iter().scan(0, |time, delay| {
            *time += delay;
            Some(*time)
        }));
        Ok(Self {
            decoder,
            times,
            next: 0,
            decoded: 0,
            used: 0,
        })
    }

    fn frames(&self) -> usize {
        self.times.len() - 1
    }

    pub(super) fn duration(&self) -> f64 {
        self.times[self.frames()] as f64 / 1000.0
    }

    pub(super) fn counts(&self) -> FrameCounts {
        FrameCounts {
            decoded: self.decoded,
            used: self.used,
            all: self.frames() as u64,
        }
    }

    pub(super) fn clip(
        &mut self,
        span: (f64, f64),
        frames: u32,
        fit: &dyn Fn(RgbImage) -> RgbImage,
    ) -> Result<Vec<RgbImage>, Failure> {
        let starts = &self.times[..self.frames()];
        let before = |bound: f64| starts.partition_point(|&time| (time as f64 / 1000.0) < bound);
        let (first, end) = (before(span.0), before(span.1));
        if first >= end {
            return Err(no_frame(span, self.duration()));
        }
        uniform((end - first) as u32, frames)
            .into_iter()
            .map(|frame| self.frame(first + frame as usize).map(fit))
            .collect()
    }

    /// One frame. Each is made of those before it.
    fn frame(&mut self, number: usize) -> Result<RgbImage, Failure> {
        if number < self.next {
            self.decoder.reset_animation();
            self.next = 0;
        }
        let (width, height) = self.decoder.dimensions();
        let mut pixels = match self.decoder.has_alpha() {
            true => DynamicImage::ImageRgba8(RgbaImage::new(width, height)),
            false => DynamicImage::ImageRgb8(RgbImage::new(width, height)),
        };
        while self.next <= number {
            match &mut pixels {
                DynamicImage::ImageRgba8(pixels) => self.decoder.read_frame(pixels)?,
                DynamicImage::ImageRgb8(pixels) => self.decoder.read_frame(pixels)?,
                _ => unreachable!("made above"),
            };
            self.next += 1;
            self.decoded += 1;
        }
        self.used += 1;
        Ok(pixels.into_rgb8())
    }
}
