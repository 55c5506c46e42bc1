//! Animated WebP, which FFmpeg 5.1 does not decode.
//!
//! Each frame is decoded as a still image, and laid over those before it as libwebp (and so Pillow) does: with its rounding,
//! and on a canvas that is clear at first and where a frame is disposed of. Alpha is dropped at the end, as of other images.

use std::io::Cursor;
use std::iter::zip;
use std::ops::Range;

use bytes::Bytes;
use image::buffer::ConvertBuffer;
use image::{RgbImage, Rgba, RgbaImage};
use image_webp::{DecodingError, WebPDecoder};

use super::{FrameCounts, no_frame, shows_an_earlier_frame, uniform, unreadable};
use crate::fetch::Content;
use crate::media::DecodeLimits;
use crate::media::failure::Failure;

/// Where the chunks of a file begin, and those of a frame.
const FILE_HEADER: usize = 12;
const FRAME_HEADER: usize = 24;

/// The largest animation, in bytes: it is in memory while it is open.
const MOST_BYTES: u64 = 512 << 20;

/// An animation.
pub(super) struct Animation {
    bytes: Bytes,
    /// The chunk of each frame.
    frames: Vec<Range<usize>>,
    /// When each frame is seen, in milliseconds, and when the last one ends.
    times: Vec<u64>,
    canvas: Canvas,
    /// The frame that is drawn next.
    next: usize,
    decoded: u64,
    used: u64,
}

impl std::fmt::Debug for Animation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Animation")
            .field("frames", &self.frames.len())
            .finish_non_exhaustive()
    }
}

/// The chunks from a place on, each with its header, as far as it is there.
fn chunks(bytes: &[u8], mut next: usize) -> impl Iterator<Item = Range<usize>> {
    std::iter::from_fn(move || {
        let header: &[u8; 8] = bytes.get(next..)?.first_chunk()?;
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let start = next;
        next = length.saturating_add(length % 2).saturating_add(start + 8);
        Some(start..next.min(bytes.len()))
    })
}

/// The chunks that are frames, and what they say of them.
fn frames(bytes: &[u8]) -> impl Iterator<Item = (Range<usize>, Header)> {
    chunks(bytes, FILE_HEADER).filter_map(|chunk| Header::read(&bytes[chunk.clone()]).map(|header| (chunk, header)))
}

impl From<DecodingError> for Failure {
    fn from(error: DecodingError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// A rectangle of the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Area {
    fn right(&self) -> u32 {
        self.left + self.width
    }

    fn bottom(&self) -> u32 {
        self.top + self.height
    }

    fn holds(&self, (x, y): (u32, u32)) -> bool {
        (self.left..self.right()).contains(&x) && (self.top..self.bottom()).contains(&y)
    }
}

/// What a frame says of itself.
#[derive(Debug, Clone, Copy)]
struct Header {
    area: Area,
    /// How long it is seen, in milliseconds.
    delay: u64,
    /// Whether what is below shines through it. It is replaced otherwise.
    blends: bool,
    /// Whether its area is cleared before the next frame.
    disposed: bool,
}

impl Header {
    /// Reads it from the frame's chunk.
    fn read(chunk: &[u8]) -> Option<Self> {
        let header = chunk.get(8..FRAME_HEADER).filter(|_| chunk.starts_with(b"ANMF"))?;
        let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], 0]);
        Some(Self {
            area: Area {
                left: number(0) * 2,
                top: number(3) * 2,
                width: number(6) + 1,
                height: number(9) + 1,
            },
            delay: u64::from(number(12)),
            blends: header[15] & 2 == 0,
            disposed: header[15] & 1 != 0,
        })
    }
}

/// What the frames are drawn on.
struct Canvas {
    pixels: RgbaImage,
    /// The area of the last frame, where that is cleared before the next. libwebp blends nothing with what is cleared.
    disposed: Option<Area>,
    /// Whether all is clear then.
    empty: bool,
}

impl Canvas {
    fn new(width: u32, height: u32) -> Self {
        Self {
            pixels: RgbaImage::new(width, height),
            disposed: None,
            empty: true,
        }
    }

    fn area(&self) -> Area {
        let (width, height) = self.pixels.dimensions();
        Area {
            left: 0,
            top: 0,
            width,
            height,
        }
    }

    /// The part of each row that is in an area.
    fn rows(&mut self, area: Area) -> impl Iterator<Item = impl Iterator<Item = &mut Rgba<u8>>> {
        let rows = self
            .pixels
            .rows_mut()
            .skip(area.top as usize)
            .take(area.height as usize);
        rows.map(move |row| row.skip(area.left as usize).take(area.width as usize))
    }

    fn draw(&mut self, header: Header, frame: &RgbaImage) {
        let (area, disposed) = (header.area, self.disposed);
        if let Some(disposed) = disposed {
            self.rows(disposed).flatten().for_each(|pixel| *pixel = Rgba([0; 4]));
        }
        let blends = header.blends && !self.empty;
        for ((below, above), y) in zip(self.rows(area), frame.rows()).zip(area.top..) {
            for ((below, above), x) in zip(below, above).zip(area.left..) {
                let cleared = disposed.is_some_and(|disposed| disposed.holds((x, y)));
                *below = if blends && !cleared {
                    over(*above, *below)
                } else {
                    *above
                };
            }
        }
        self.disposed = header.disposed.then_some(area);
        self.empty = header.disposed && (self.empty || area == self.area());
    }
}

/// Lays a pixel over another.
fn over(above: Rgba<u8>, below: Rgba<u8>) -> Rgba<u8> {
    let alpha = u32::from(above[3]);
    match alpha {
        0 => return below,
        255 => return above,
        _ => {}
    }
    let kept = (u32::from(below[3]) * (256 - alpha)) >> 8;
    let scale = (1 << 24) / (alpha + kept);
    let channel = |number: usize| {
        let sum = u32::from(above[number]) * alpha + u32::from(below[number]) * kept;
        ((sum * scale) >> 24) as u8
    };
    Rgba([channel(0), channel(1), channel(2), (alpha + kept) as u8])
}

/// Decodes the image in a frame's chunk: in a file of its own, which has the frame's sides.
fn still(chunk: &[u8], area: Area) -> Result<RgbaImage, Failure> {
    let parts = || chunks(chunk, FRAME_HEADER).map(|part| &chunk[part]);
    let image = parts()
        .find(|part| part.starts_with(b"VP8 ") || part.starts_with(b"VP8L"))
        .ok_or_else(|| Failure::Corrupt("a frame of the animation holds no image".into()))?;
    let lossy = image.starts_with(b"VP8 ");
    let alpha = parts().find(|part| lossy && part.starts_with(b"ALPH"));
    if lossy {
        // The decoder would make room for as many pixels as are said here.
        let side = |at: usize| Some(u32::from(u16::from_le_bytes(*image.get(at..)?.first_chunk()?) & 0x3FFF));
        if (side(14), side(16)) != (Some(area.width), Some(area.height)) {
            return Err(Failure::Corrupt(
                "a frame of the animation has not its image's size".into(),
            ));
        }
    }

    let mut file = b"RIFF\0\0\0\0WEBPVP8X\x0A\0\0\0".to_vec();
    file.extend([if lossy && alpha.is_none() { 0 } else { 0x10 }, 0, 0, 0]);
    file.extend_from_slice(&chunk[14..20]);
    file.extend_from_slice(alpha.unwrap_or_default());
    file.extend_from_slice(image);
    let length = u32::try_from(file.len() - 8).unwrap_or(u32::MAX);
    file[4..8].copy_from_slice(&length.to_le_bytes());

    let mut decoder = WebPDecoder::new(Cursor::new(file))?;
    if decoder.has_alpha() {
        let mut pixels = RgbaImage::new(area.width, area.height);
        decoder.read_image(&mut pixels)?;
        Ok(pixels)
    } else {
        let mut pixels = RgbImage::new(area.width, area.height);
        decoder.read_image(&mut pixels)?;
        Ok(pixels.convert())
    }
}

impl Animation {
    /// Opens an animation. Its bytes are in memory from here on.
    pub(super) fn open(content: &Content, limits: &DecodeLimits) -> Result<Self, Failure> {
        if content.length() > MOST_BYTES {
            return Err(Failure::TooLarge(format!(
                "an animation of {} bytes; the limit is {MOST_BYTES}",
                content.length()
            )));
        }
        let bytes = content.bytes().map_err(unreadable)?;
        let decoder = WebPDecoder::new(Cursor::new(&bytes))?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > limits.max_pixels {
            return Err(Failure::TooLarge(format!(
                "frames of {width} x {height} pixels; the limit is {} pixels",
                limits.max_pixels
            )));
        }
        let (mut chunks, mut times, mut time) = (Vec::new(), vec![0], 0);
        for (chunk, header) in frames(&bytes).take(decoder.num_frames() as usize) {
            chunks.push(chunk);
            time += header.delay;
            times.push(time);
        }
        if chunks.is_empty() || !decoder.is_animated() {
            return Err(Failure::Corrupt("the animation holds no frame".into()));
        }
        Ok(Self {
            bytes,
            frames: chunks,
            times,
            canvas: Canvas::new(width, height),
            next: 0,
            decoded: 0,
            used: 0,
        })
    }

    pub(super) fn duration(&self) -> f64 {
        self.times[self.frames.len()] as f64 / 1000.0
    }

    pub(super) fn counts(&self) -> FrameCounts {
        FrameCounts {
            decoded: self.decoded,
            used: self.used,
            all: self.frames.len() as u64,
        }
    }

    pub(super) fn clip(
        &mut self,
        span: (f64, f64),
        frames: u32,
        fit: &dyn Fn(RgbImage) -> RgbImage,
    ) -> Result<Vec<RgbImage>, Failure> {
        let starts = &self.times[..self.frames.len()];
        let before = |bound: f64| starts.partition_point(|&time| (time as f64 / 1000.0) < bound);
        let (mut first, end) = (before(span.0), before(span.1));
        if first >= end && shows_an_earlier_frame(span, self.duration()) {
            first = first.saturating_sub(1);
        }
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
            let Area { width, height, .. } = self.canvas.area();
            self.canvas = Canvas::new(width, height);
            self.next = 0;
        }
        while self.next <= number {
            self.draw_next()?;
        }
        self.used += 1;
        Ok(self.canvas.pixels.convert())
    }

    /// Draws the next frame. One that does not decode leaves the canvas as it is.
    fn draw_next(&mut self) -> Result<(), Failure> {
        let chunk = &self.bytes[self.frames[self.next].clone()];
        let outside = || Failure::Corrupt("a frame of the animation lies outside of it".into());
        let all = self.canvas.area();
        let header = Header::read(chunk)
            .filter(|Header { area, .. }| area.right() <= all.width && area.bottom() <= all.height)
            .ok_or_else(outside)?;
        let frame = still(chunk, header.area)?;
        self.canvas.draw(header, &frame);
        self.next += 1;
        self.decoded += 1;
        Ok(())
    }
}
