//! JPEG, by zune-jpeg.

use image::RgbImage;
use image::metadata::Orientation;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::{ENDS_EARLY, Failure, check_pixels, rgb_image};
use crate::media::DecodeLimits;

impl From<DecodeErrors> for Failure {
    fn from(error: DecodeErrors) -> Self {
        match error {
            DecodeErrors::Unsupported(_) => Self::Unsupported(error.to_string()),
            // The bytes are in memory, where reading fails at their end alone.
            DecodeErrors::IoErrors(_) | DecodeErrors::ExhaustedData => Self::Corrupt(ENDS_EARLY.into()),
            DecodeErrors::LargeDimensions(_) => Self::TooLarge(error.to_string()),
            _ => Self::Corrupt(error.to_string()),
        }
    }
}

/// Decodes a baseline or progressive JPEG: grey, YCbCr, RGB, CMYK and YCCK. Four channels are taken for inverted ink, as
/// Adobe writes it and Pillow reads it.
pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<(RgbImage, Orientation), Failure> {
    // Strict means that damaged image data is an error instead of a grey area. Strange headers are common and harmless.
    let mut decoder = match with_headers(bytes, true) {
        Ok(decoder) => decoder,
        Err(_) => with_headers(bytes, false)?,
    };
    let (width, height) = decoder.dimensions().expect("the headers were decoded");
    let (width, height) = (width as u32, height as u32);
    check_pixels(width, height, limits)?;
    if !is_complete(bytes) {
        return Err(Failure::Corrupt(ENDS_EARLY.into()));
    }
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let rgb = decoder.decode()?;
    if rgb.len() as u64 != u64::from(width) * u64::from(height) * 3 {
        return Err(Failure::Unsupported("JPEG with an unusual number of channels".into()));
    }
    Ok((
        rgb_image(width, height, rgb),
        orientation.unwrap_or(Orientation::NoTransforms),
    ))
}

fn with_headers(bytes: &[u8], strict: bool) -> Result<JpegDecoder<ZCursor<&[u8]>>, DecodeErrors> {
    let options = DecoderOptions::default()
        .set_strict_mode(strict)
        // Both sides of a JPEG have 16 bits; the limit is on their product.
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers()?;
    Ok(decoder)
}

const START_OF_SCAN: u8 = 0xDA;
const END_OF_IMAGE: u8 = 0xD9;

/// Whether the end marker follows the image data. Decoders fill a missing end with grey.
fn is_complete(bytes: &[u8]) -> bool {
    let mut in_scan = false;
    for (marker, _) in segments(bytes) {
        match marker {
            START_OF_SCAN => in_scan = true,
            END_OF_IMAGE => return in_scan,
            _ => {}
        }
    }
    false
}

/// Width and height of the largest frame that the headers announce, or 0 by 0.
pub(super) fn announced_size(bytes: &[u8]) -> (u32, u32) {
    let headers = segments(bytes).take_while(|&(marker, _)| marker != START_OF_SCAN);
    let sizes = headers.filter_map(|(marker, content)| match (marker, content) {
        // Tables, not frames.
        (0xC4 | 0xC8 | 0xCC, _) => None,
        (0xC0..=0xCF, &[_, top, bottom, left, right, ..]) => Some((
            u32::from(u16::from_be_bytes([left, right])),
            u32::from(u16::from_be_bytes([top, bottom])),
        )),
        _ => None,
    });
    sizes.max_by_key(|(width, height)| width * height).unwrap_or((0, 0))
}

/// The markers, each with its content, up to the first that is cut off. They are walked from one to the next, because a
/// thumbnail inside a segment has markers of its own.
fn segments(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let &[prefix, marker] = bytes.get(at..)?.first_chunk()?;
            match (prefix, marker) {
                // A byte of the scan, or garbage between segments.
                (0..=0xFE, _) => at += memchr::memchr(0xFF, &bytes[at..])?,
                // A fill byte.
                (0xFF, 0xFF) => at += 1,
                // FF 00 is an FF of the scan; restart markers and the rest without content have no length.
                (0xFF, 0x00 | 0x01 | 0xD0..=0xD8) => at += 2,
                (0xFF, END_OF_IMAGE) => {
                    at += 2;
                    return Some((marker, &bytes[..0]));
                }
                (0xFF, _) => {
                    let length = u16::from_be_bytes(*bytes.get(at + 2..)?.first_chunk()?);
                    let content = at + 4;
                    at += 2 + usize::from(length);
                    return Some((marker, bytes.get(content..at).unwrap_or_default()));
                }
            }
        }
    })
}
