//! TIFF: the first page. Grey, palette, RGB, CMYK and YCbCr of 8 or 16 bits, grey and palettes also of 1, 2 and 4.

use std::borrow::Cow;
use std::io::Cursor;

use image::RgbImage;
use image::metadata::Orientation;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::{CompressionMethod, PhotometricInterpretation, Tag};
use tiff::{ColorType, TiffError};

use super::jpeg::announced_size;
use super::{ENDS_EARLY, Failure, check_pixels, cmyk_to_rgb, rgb_image};
use crate::media::DecodeLimits;

impl From<TiffError> for Failure {
    fn from(error: TiffError) -> Self {
        match error {
            TiffError::UnsupportedError(_) => Self::Unsupported(error.to_string()),
            TiffError::LimitsExceeded => Self::TooLarge(error.to_string()),
            _ => Self::Corrupt(error.to_string()),
        }
    }
}

/// Decodes the first page.
pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<(RgbImage, Orientation), Failure> {
    // The decoder reads no palettes. Their indices look like grey, so it is told that they are.
    let (bytes, is_palette) = palette_as_grey(bytes);
    let mut allocations = Limits::default();
    allocations.decoding_buffer_size = usize::try_from(limits.max_pixels.saturating_mul(8)).unwrap_or(usize::MAX);
    allocations.intermediate_buffer_size = allocations.decoding_buffer_size;
    let mut decoder = Decoder::new(Cursor::new(bytes.as_ref()))?.with_limits(allocations);
    let (width, height) = decoder.dimensions()?;
    check_pixels(width, height, limits)?;
    check_jpegs(&mut decoder, &bytes, limits)?;
    let palette = match is_palette {
        true => Some(decoder.get_tag_u16_vec(Tag::ColorMap)?),
        false => None,
    };
    let orientation = decoder
        .find_tag_unsigned::<u8>(Tag::Orientation)?
        .and_then(Orientation::from_exif);
    let colour_type = decoder.colortype()?;
    let mut samples = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut samples)?;
    let planes = layout.planes;
    let samples = match samples {
        DecodingResult::U8(samples) => samples,
        DecodingResult::U16(samples) if palette.is_none() => {
            samples.into_iter().map(|sample| (sample >> 8) as u8).collect()
        }
        DecodingResult::U32(samples) => samples.into_iter().map(|sample| (sample >> 24) as u8).collect(),
        _ => {
            return Err(Failure::Unsupported(
                "TIFF with floating-point or signed samples".into(),
            ));
        }
    };
    let samples = match colour_type.bit_depth() {
        bits @ (1 | 2 | 4) => unpacked(&samples, bits, width as usize, palette.is_none()),
        _ => samples,
    };
    let channels = usize::from(colour_type.num_samples());
    let pixels = width as usize * height as usize;
    if samples.len() < pixels * channels {
        return Err(Failure::Corrupt(ENDS_EARLY.into()));
    }
    let samples = if planes > 1 {
        interleaved(&samples, planes, pixels)
    } else {
        samples
    };
    let rgb = to_rgb(&samples[..pixels * channels], colour_type, palette.as_deref())?;
    Ok((
        rgb_image(width, height, rgb),
        orientation.unwrap_or(Orientation::NoTransforms),
    ))
}

/// Refuses a JPEG in the TIFF that has more pixels than the limit: its own header says how many are decoded, not the TIFF's.
fn check_jpegs(decoder: &mut Decoder<Cursor<&[u8]>>, bytes: &[u8], limits: &DecodeLimits) -> Result<(), Failure> {
    if decoder.find_tag_unsigned::<u16>(Tag::Compression)? != Some(CompressionMethod::ModernJPEG.to_u16()) {
        return Ok(());
    }
    let check = |jpeg: &[u8]| match announced_size(jpeg) {
        // Not of this header, or broken: for the decoder to say.
        (0, _) | (_, 0) => Ok(()),
        (width, height) => check_pixels(width, height, limits),
    };
    // The tables that all have in common are a JPEG without pixels, and come before each.
    check(&decoder.find_tag_unsigned_vec(Tag::JPEGTables)?.unwrap_or_default())?;
    for (offsets, lengths) in [
        (Tag::StripOffsets, Tag::StripByteCounts),
        (Tag::TileOffsets, Tag::TileByteCounts),
    ] {
        let offsets: Vec<u64> = decoder.find_tag_unsigned_vec(offsets)?.unwrap_or_default();
        let lengths: Vec<u64> = decoder.find_tag_unsigned_vec(lengths)?.unwrap_or_default();
        for (offset, length) in offsets.into_iter().zip(lengths) {
            let end = offset.saturating_add(length).min(bytes.len() as u64);
            check(bytes.get(offset as usize..end as usize).unwrap_or_default())?;
        }
    }
    Ok(())
}

fn to_rgb(samples: &[u8], colour_type: ColorType, palette: Option<&[u16]>) -> Result<Vec<u8>, Failure> {
    let pixels = samples.chunks_exact(usize::from(colour_type.num_samples()));
    Ok(match (colour_type, palette) {
        (_, Some(palette)) => {
            let size = palette.len() / 3;
            let colour = |index: usize| {
                // A channel after another; an index past the end is black.
                [0, 1, 2].map(|channel| {
                    if index < size {
                        (palette[channel * size + index] >> 8) as u8
                    } else {
                        0
                    }
                })
            };
            pixels.flat_map(|pixel| colour(usize::from(pixel[0]))).collect()
        }
        (ColorType::Gray(_) | ColorType::GrayA(_) | ColorType::Multiband { .. }, None) => {
            pixels.flat_map(|pixel| [pixel[0]; 3]).collect()
        }
        (ColorType::RGB(_) | ColorType::RGBA(_), None) => {
            pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
        }
        (ColorType::CMYK(_) | ColorType::CMYKA(_), None) => pixels
            .flat_map(|pixel| cmyk_to_rgb([pixel[0], pixel[1], pixel[2], pixel[3]]))
            .collect(),
        (ColorType::YCbCr(_), None) => pixels
            .flat_map(|pixel| ycbcr_to_rgb([pixel[0], pixel[1], pixel[2]]))
            .collect(),
        (other, None) => return Err(Failure::Unsupported(format!("TIFF with the colour type {other:?}"))),
    })
}

/// ITU-R BT.601, full range (JFIF).
fn ycbcr_to_rgb([luma, blue, red]: [u8; 3]) -> [u8; 3] {
    let (luma, blue, red) = (f32::from(luma), f32::from(blue) - 128.0, f32::from(red) - 128.0);
    [
        luma + 1.402 * red,
        luma - 0.344_136 * blue - 0.714_136 * red,
        luma + 1.772 * blue,
    ]
    // A cast of a float saturates.
    .map(|light| light.round() as u8)
}

/// Samples of 1, 2 or 4 bits, whose rows begin at whole bytes, to a byte each; `scaled` to 0..=255 for grey.
fn unpacked(packed: &[u8], bits: u8, width: usize, scaled: bool) -> Vec<u8> {
    let per_byte = usize::from(8 / bits);
    let highest = (1u8 << bits) - 1;
    let factor = if scaled { 255 / highest } else { 1 };
    let rows = packed.chunks_exact(width.div_ceil(per_byte));
    rows.flat_map(|row| {
        (0..width).map(move |column| {
            let shift = 8 - bits as usize * (column % per_byte + 1);
            (row[column / per_byte] >> shift & highest) * factor
        })
    })
    .collect()
}

/// One plane after another to one pixel after another.
fn interleaved(samples: &[u8], planes: usize, pixels: usize) -> Vec<u8> {
    (0..pixels)
        .flat_map(|pixel| (0..planes).map(move |plane| samples[plane * pixels + pixel]))
        .collect()
}

/// Turns the photometric interpretation "palette" of the first page into "black is zero". Whatever is not as it should be
/// stays as it is, for the decoder to complain about.
fn palette_as_grey(bytes: &[u8]) -> (Cow<'_, [u8]>, bool) {
    match photometric_offset(bytes) {
        Some((offset, PALETTE)) => {
            let mut patched = bytes.to_vec();
            // A SHORT: its one byte that is not 0 is the low one, wherever the byte order puts it.
            for byte in &mut patched[offset..offset + 2] {
                *byte = if *byte == 0 {
                    0
                } else {
                    PhotometricInterpretation::BlackIsZero.to_u16() as u8
                };
            }
            (Cow::Owned(patched), true)
        }
        _ => (Cow::Borrowed(bytes), false),
    }
}

const PALETTE: u16 = PhotometricInterpretation::RGBPalette.to_u16();

/// Where the first directory's photometric interpretation stands, and what it is. Classic TIFF only.
fn photometric_offset(bytes: &[u8]) -> Option<(usize, u16)> {
    let big_endian = bytes.starts_with(b"MM");
    let short = |at: usize| {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        })
    };
    let long = |at: usize| {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        } as usize)
    };
    if short(2)? != 42 {
        return None;
    }
    let directory = long(4)?;
    let entries = usize::from(short(directory)?);
    (0..entries).map(|entry| directory + 2 + entry * 12).find_map(|entry| {
        let is_photometric = short(entry)? == Tag::PhotometricInterpretation.to_u16();
        is_photometric.then(|| Some((entry + 8, short(entry + 8)?)))?
    })
}
