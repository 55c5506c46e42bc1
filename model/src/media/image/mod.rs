//! Images: the pixels that Pillow's `Image.open(…)`, `ImageOps.exif_transpose` and `.convert("RGB")` give.
//!
//! - Alpha is dropped, not blended: a transparent pixel keeps the colour that is stored under it.
//! - Palettes are looked up; CMYK is converted without a colour profile; grey is repeated three times.
//! - 16 bits a channel become 8 by taking the high byte. For colour that is what Pillow does. For grey Pillow cuts off all
//!   above 255, which turns most 16-bit photographs white: here grey is scaled like colour.
//! - The EXIF orientation is applied. Embedded colour profiles and gamma are not.
//! - Of an animation, the first frame (a reader takes animations for videos); of a TIFF with several pages, the first page.
//! - A file that ends too early is corrupt, even where a decoder could make up the rest.

mod gif;
mod jpeg;
mod tiff;

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, Pixel, RgbImage};

pub(crate) use super::failure::Failure;
use super::{DecodeLimits, READABLE};

/// What is said of a file whose end is missing.
const ENDS_EARLY: &str = "the image data ends too early";

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge(error.to_string()),
            ImageError::Unsupported(_) => Self::Unsupported(error.to_string()),
            _ => Self::Corrupt(error.to_string()),
        }
    }
}

/// Whether images of this media type have a decoder here.
pub(super) fn is_readable(essence: &str) -> bool {
    ImageFormat::from_mime_type(essence).is_some_and(|format| {
        use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
        matches!(format, Jpeg | Png | WebP | Gif | Bmp | Tiff)
    }) || matches!(essence, "image/jpg" | "image/x-ms-bmp" | "image/*")
}

/// Decodes an image of this format: 8-bit RGB, upright.
pub(crate) fn decode(bytes: &[u8], format: ImageFormat, limits: &DecodeLimits) -> Result<RgbImage, Failure> {
    let (image, orientation) = match format {
        ImageFormat::Jpeg => jpeg::decode(bytes, limits)?,
        ImageFormat::Gif => (gif::decode(bytes, limits)?, Orientation::NoTransforms),
        ImageFormat::Tiff => tiff::decode(bytes, limits)?,
        ImageFormat::Png => through(PngDecoder::with_limits(Cursor::new(bytes), metadata_limits())?, limits)?,
        ImageFormat::WebP => through(WebPDecoder::new(Cursor::new(bytes))?, limits)?,
        ImageFormat::Bmp => through(BmpDecoder::new(Cursor::new(bytes))?, limits)?,
        other => {
            return Err(Failure::Unsupported(format!(
                "it is {}; {READABLE}",
                other.to_mime_type()
            )));
        }
    };
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    // Orientations move pixels and keep their kind.
    Ok(image.into_rgb8())
}

/// What a PNG's chunks other than its pixels may unfold to. The decoder reads them before its dimensions are known here, and
/// a colour profile is compressed: a few hundred kilobytes can hold half a gigabyte. A larger profile is left out, as it is
/// not applied anyway. The other formats store theirs as they are.
const MAX_METADATA_BYTES: u64 = 64 << 20;

fn metadata_limits() -> image::Limits {
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(MAX_METADATA_BYTES);
    limits
}

/// Decodes with a decoder of the `image` crate.
fn through(mut decoder: impl ImageDecoder, limits: &DecodeLimits) -> Result<(RgbImage, Orientation), Failure> {
    let (width, height) = decoder.dimensions();
    check_pixels(width, height, limits)?;
    let mut allocations = image::Limits::no_limits();
    // 8 bytes a pixel is the widest kind (16-bit RGBA), and the decoder may hold a second copy of it.
    allocations.max_alloc = Some(limits.max_pixels.saturating_mul(16));
    decoder.set_limits(allocations)?;
    let orientation = decoder.orientation()?;
    let image = match DynamicImage::from_decoder(decoder)? {
        DynamicImage::ImageLuma16(image) => high_bytes(&image),
        DynamicImage::ImageLumaA16(image) => high_bytes(&image),
        DynamicImage::ImageRgb16(image) => high_bytes(&image),
        DynamicImage::ImageRgba16(image) => high_bytes(&image),
        image => image.into_rgb8(),
    };
    Ok((image, orientation))
}

/// 16-bit grey or colour, with or without alpha, to 8-bit RGB.
fn high_bytes<P>(image: &ImageBuffer<P, Vec<u16>>) -> RgbImage
where
    P: Pixel<Subpixel = u16>,
{
    let pixels = image.as_raw().chunks_exact(usize::from(P::CHANNEL_COUNT));
    let high = |sample: u16| (sample >> 8) as u8;
    let rgb = pixels.flat_map(|pixel| match *pixel {
        [red, green, blue] | [red, green, blue, _] => [high(red), high(green), high(blue)],
        _ => [high(pixel[0]); 3],
    });
    rgb_image(image.width(), image.height(), rgb.collect())
}

/// An image out of `width * height * 3` bytes.
fn rgb_image(width: u32, height: u32, rgb: Vec<u8>) -> RgbImage {
    RgbImage::from_raw(width, height, rgb).expect("three bytes were written for each pixel")
}

/// The longest side of an image. Resizing takes some 64 bytes for each pixel of a row or a column, which is little beside
/// what an image of any other form takes, and was more than the image itself in one that is a line.
const LONGEST_SIDE: u32 = 1 << 20;

/// Refuses an image without pixels, and one with more than the limit, or a longer side.
fn check_pixels(width: u32, height: u32, limits: &DecodeLimits) -> Result<(), Failure> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(Failure::Corrupt(format!("the image is {width} x {height} pixels")));
    }
    if width.max(height) > LONGEST_SIDE {
        return Err(Failure::TooLarge(format!(
            "{width} x {height} pixels; the limit of a side is {LONGEST_SIDE} pixels"
        )));
    }
    if pixels > limits.max_pixels {
        return Err(Failure::TooLarge(format!(
            "{width} x {height} pixels; the limit is {} pixels",
            limits.max_pixels
        )));
    }
    Ok(())
}

/// Ink to light, as Pillow converts without a colour profile: `(255 - ink) * (255 - black) / 255`.
fn cmyk_to_rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let white = 255 - u32::from(black);
    [cyan, magenta, yellow].map(|ink| {
        let product = u32::from(ink) * white + 128;
        // Division by 255 with rounding.
        (white - (((product >> 8) + product) >> 8)) as u8
    })
}
