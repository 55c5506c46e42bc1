//! From pixels to files: PNG, and GIF for clips.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use gif::{Encoder, Frame, Repeat};
use image::{ImageFormat, Rgb, RgbImage};

use super::draw::{Drawing, draw};
use super::world::{Family, Scene};

/// How long a frame of a clip stands, in hundredths of a second.
const FRAME_TIME: u16 = 25;

/// The ending of a family's files.
pub fn extension(family: Family) -> &'static str {
    match family {
        Family::Motion => "gif",
        _ => "png",
    }
}

/// A scene as a file: the same bytes on every machine.
pub fn encode(scene: &Scene) -> Vec<u8> {
    match draw(scene) {
        Drawing::Picture(picture) => {
            let mut file = Cursor::new(Vec::new());
            picture
                .write_to(&mut file, ImageFormat::Png)
                .expect("an image of 8 bits is written to memory");
            file.into_inner()
        }
        Drawing::Clip(frames) => encode_clip(&frames),
    }
}

/// A GIF with one palette for all frames.
fn encode_clip(frames: &[RgbImage]) -> Vec<u8> {
    let palette = Palette::of(frames);
    let (width, height) = frames.first().map_or((1, 1), RgbImage::dimensions);
    // The sides of a clip are far below 65,536.
    let (width, height) = (width as u16, height as u16);
    let mut file = Vec::new();
    let written = Encoder::new(&mut file, width, height, &palette.colours).and_then(|mut encoder| {
        encoder.set_repeat(Repeat::Infinite)?;
        frames.iter().try_for_each(|frame| {
            encoder.write_frame(&Frame {
                width,
                height,
                delay: FRAME_TIME,
                buffer: Cow::Owned(frame.pixels().map(|pixel| palette.index(pixel)).collect()),
                ..Frame::default()
            })
        })
    });
    written.expect("frames of one size with a palette are written to memory");
    file
}

/// At most 256 colours: pixels without their lowest bits.
struct Palette {
    /// Red, green, blue, one after the other.
    colours: Vec<u8>,
    indices: BTreeMap<[u8; 3], u8>,
    /// How many bits are left out.
    dropped: u32,
}

impl Palette {
    fn of(frames: &[RgbImage]) -> Self {
        // Edges are blends of three colours; with two bits left the palette would have 64 colours at most.
        let mut dropped = 2;
        loop {
            let pixels = frames.iter().flat_map(RgbImage::pixels);
            let colours: BTreeSet<[u8; 3]> = pixels.map(|pixel| coarse(pixel, dropped)).collect();
            if colours.len() <= 256 {
                return Self {
                    colours: colours.iter().flatten().copied().collect(),
                    indices: colours
                        .iter()
                        .zip(0..=255)
                        .map(|(colour, index)| (*colour, index))
                        .collect(),
                    dropped,
                };
            }
            dropped += 1;
        }
    }

    fn index(&self, pixel: &Rgb<u8>) -> u8 {
        self.indices[&coarse(pixel, self.dropped)]
    }
}

/// A pixel without its lowest bits: the middle of those that only differ in them.
fn coarse(pixel: &Rgb<u8>, dropped: u32) -> [u8; 3] {
    pixel
        .0
        .map(|channel| (channel >> dropped << dropped) | (1 << dropped >> 1))
}
