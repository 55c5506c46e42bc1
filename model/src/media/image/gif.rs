//! GIF: the first frame.
//!
//! Not by the `image` crate, whose pixels are RGBA with transparent ones black: the colour under a transparent pixel is the
//! palette's, and is what remains when alpha is dropped.

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};
use image::RgbImage;

use super::{Failure, check_pixels, rgb_image};
use crate::media::DecodeLimits;

impl From<DecodingError> for Failure {
    fn from(error: DecodingError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// Decodes the first frame onto its canvas. What the frame leaves free has the transparent colour, or colour 0.
pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage, Failure> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    // The frame is checked below, before it is decoded.
    options.set_memory_limit(MemoryLimit::Unlimited);
    let mut decoder = options.read_info(bytes)?;
    let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    check_pixels(width, height, limits)?;
    let frame = decoder
        .next_frame_info()?
        .ok_or_else(|| Failure::Corrupt("the GIF holds no frame".into()))?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (frame_width, frame_height) = (usize::from(frame.width), usize::from(frame.height));
    check_pixels(u32::from(frame.width), u32::from(frame.height), limits)?;
    let background = frame.transparent.unwrap_or(0);
    let palette = frame
        .palette
        .clone()
        .or_else(|| decoder.global_palette().map(<[u8]>::to_vec))
        .unwrap_or_default();
    let mut frame = vec![0; frame_width * frame_height];
    decoder.read_into_buffer(&mut frame)?;

    let colour = |index: u8| -> [u8; 3] {
        let at = usize::from(index) * 3;
        // Without a colour in the palette an index is a grey, as Pillow has it.
        palette
            .get(at..at + 3)
            .map_or([index; 3], |rgb| [rgb[0], rgb[1], rgb[2]])
    };
    let mut image = RgbImage::from_pixel(width, height, image::Rgb(colour(background)));
    let visible = (width as usize).saturating_sub(left).min(frame_width);
    if visible == frame_width && (frame_width, frame_height) == (width as usize, height as usize) {
        return Ok(rgb_image(
            width,
            height,
            frame.iter().flat_map(|&index| colour(index)).collect(),
        ));
    }
    for (row, line) in frame.chunks_exact(frame_width).enumerate() {
        let y = top + row;
        if y >= height as usize {
            break;
        }
        for (column, &index) in line[..visible].iter().enumerate() {
            image.put_pixel((left + column) as u32, y as u32, image::Rgb(colour(index)));
        }
    }
    Ok(image)
}
