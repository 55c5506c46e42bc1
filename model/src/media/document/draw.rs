//! From a page to pixels.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hayro::hayro_interpret::{InterpreterSettings, InterpreterWarning};
use hayro::hayro_syntax::content::ops::TypedInstruction;
use hayro::hayro_syntax::object::{Array, Stream};
use hayro::hayro_syntax::page::Page;
use hayro::kurbo::Affine;
use hayro::vello_cpu::color::palette::css::WHITE;
use hayro::vello_cpu::peniko::ImageAlphaType;
use hayro::vello_cpu::{Pixels, Pixmap, RasterizerSettings, RenderContext, Resources, TargetInit};
use hayro::{RenderCache, RenderSettings, render_into};
use image::RgbImage;

use crate::media::DecodeLimits;
use crate::media::failure::Failure;

/// PDF measures in points of 1/72 inch.
const POINTS_PER_INCH: f32 = 72.0;

/// The longest side that can be drawn: whole tiles of the rasteriser's, 256 pixels wide, in 16 bits.
const LONGEST_SIDE: u16 = u16::MAX - u16::MAX % 256;

/// Draws a page at so many dots per inch, or as many as the limits allow.
pub(super) fn page(page: &Page<'_>, dpi: f32, limits: &DecodeLimits) -> Result<RgbImage, Failure> {
    check_content(page)?;
    let (scale, width, height) = size(page, dpi, limits)?;
    let broken_image = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&broken_image);
    let interpreter = InterpreterSettings {
        warning_sink: Arc::new(move |warning| {
            if matches!(warning, InterpreterWarning::ImageDecodeFailure) {
                seen.store(true, Ordering::Relaxed);
            }
        }),
        ..InterpreterSettings::default()
    };
    let settings = RenderSettings {
        // At this resolution glyphs need no help to fall on pixels, and stand where the page says.
        hinting: false,
        ..RenderSettings::default()
    };

    let mut context = RenderContext::new(width, height);
    let transform = Affine::scale(f64::from(scale)) * Affine::new(page.initial_transform(true).as_coeffs());
    // A cache for this page alone: one for all pages would keep the fonts and images of all.
    let cache = RenderCache::new();
    render_into(page, &cache, &interpreter, &settings, &mut context, transform);
    drop(cache);
    context.flush();
    let mut pixels = Pixmap::new(width, height);
    let onto_white = RasterizerSettings {
        target_init: TargetInit::Clear(WHITE),
        ..RasterizerSettings::default()
    };
    context.render_with(&mut pixels, &mut Resources::default(), onto_white);
    drop(context);

    let image = rgb(pixels, width, height);
    let mut samples = image.as_raw().iter();
    if broken_image.load(Ordering::Relaxed) && samples.all(|&sample| sample == u8::MAX) {
        return Err(Failure::Corrupt(
            "its images cannot be decoded, and it shows nothing else".into(),
        ));
    }
    Ok(image)
}

/// Points to pixels, and the page's width and height in pixels.
fn size(page: &Page<'_>, dpi: f32, limits: &DecodeLimits) -> Result<(f32, u16, u16), Failure> {
    let shown = page.intersected_crop_box();
    let is_side = |side: f64| side > 0.0 && side.is_finite();
    if !is_side(shown.width()) || !is_side(shown.height()) {
        let (width, height) = (shown.width(), shown.height());
        return Err(Failure::Corrupt(format!("its size is {width} x {height} points")));
    }
    let (width, height) = page.render_dimensions();
    let (scale, [width, height]) = fitted([width, height], dpi / POINTS_PER_INCH, limits.max_pixels);
    Ok((scale, width, height))
}

/// The scale, lessened until the sides and their product are within their limits, and what the sides are then, rounded up.
fn fitted(points: [f32; 2], scale: f32, max_pixels: u64) -> (f32, [u16; 2]) {
    let [width, height] = points.map(f64::from);
    let longest = f64::from(LONGEST_SIDE);
    let scale = f64::from(scale)
        .min(longest / width)
        .min(longest / height)
        .min((max_pixels as f64 / width / height).sqrt());
    // A side that is a whole number but for the arithmetic is that number.
    let pixels = |points: f32, scale: f64| (f64::from(points) * scale - 1e-6).ceil().clamp(1.0, longest) as u16;
    let scaled = |scale: f64| points.map(|side| pixels(side, scale));
    let passes = |[width, height]: [u16; 2]| u64::from(width) * u64::from(height) > max_pixels;
    let mut sides = scaled(scale);
    if passes(sides) {
        // Rounding up went past the limit; with the longer side a pixel less it does not, unless it is one pixel thin.
        let longer = usize::from(sides[1] > sides[0]);
        let most = max_pixels / u64::from(sides[1 - longer]).max(1);
        sides[longer] = u16::try_from(most).unwrap_or(LONGEST_SIDE).max(1);
    }
    (scale as f32, sides)
}

/// Content of no more bytes than these may well be none at all, however it is compressed.
const LONGEST_NOTHING: usize = 64;

/// Refuses a page whose content is there and cannot be read: it would be drawn as an empty one.
fn check_content(page: &Page<'_>) -> Result<(), Failure> {
    const CONTENTS: &str = "Contents";
    let broken = |message: &str| Err(Failure::Corrupt(message.into()));
    if !page.raw().contains_key(CONTENTS) {
        return Ok(());
    }
    let streams: Vec<Stream<'_>> = match page.raw().get::<Array<'_>>(CONTENTS) {
        Some(streams) if streams.raw_iter().next().is_none() => return Ok(()),
        Some(streams) => streams.iter().collect(),
        None => page.raw().get(CONTENTS).into_iter().collect(),
    };
    if streams.is_empty() {
        return broken("its content is not in the file");
    }
    let mut operations = page.typed_operations();
    let reads = loop {
        match operations.next() {
            None => break false,
            Some(TypedInstruction::Fallback(_)) => {}
            Some(_) => break true,
        }
    };
    let length: usize = streams.iter().map(|stream| stream.raw_data().len()).sum();
    match !reads && length > LONGEST_NOTHING {
        true => broken("its content cannot be decoded"),
        false => Ok(()),
    }
}

/// Leaves out alpha, which is opaque everywhere on an opaque ground, in the buffer that is there.
fn rgb(pixels: Pixmap, width: u16, height: u16) -> RgbImage {
    let mut samples = match pixels.try_take_rgb8(ImageAlphaType::AlphaPremultiplied) {
        Pixels::Rgb8(samples) => samples,
        Pixels::Rgba8(mut samples) => {
            for pixel in 0..samples.len() / 4 {
                samples.copy_within(pixel * 4..pixel * 4 + 3, pixel * 3);
            }
            samples.truncate(samples.len() / 4 * 3);
            samples
        }
    };
    samples.shrink_to_fit();
    RgbImage::from_raw(width.into(), height.into(), samples).expect("a pixmap has three samples of colour a pixel")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_large_as_its_resolution_says_and_rounded_up() {
        let a4 = [595.276, 841.89];
        let (scale, sides) = fitted(a4, 300.0 / 72.0, 100_000_000);
        assert_eq!((scale, sides), (300.0 / 72.0, [2481, 3508]));
        assert_eq!(fitted([72.0, 36.0], 300.0 / 72.0, 100_000_000).1, [300, 150]);
        assert_eq!(fitted([1.0, 1.0], 0.01, 100_000_000).1, [1, 1]);
    }

    #[test]
    fn no_page_passes_the_limits() {
        let ten_metres = 28_346.457;
        let (scale, sides) = fitted([ten_metres, ten_metres], 300.0 / 72.0, 100_000_000);
        assert_eq!(sides, [10_000, 10_000]);
        assert!((scale - 10_000.0 / ten_metres).abs() < 1e-4);
        // A banner: its long side is what passes first.
        assert_eq!(fitted([ten_metres, 100.0], 300.0 / 72.0, 100_000_000).1, [65_280, 231]);
        let lengths = [0.1, 1.0, 7.3, 100.0, 612.0, 841.89, 14_400.0, 1e6, 3e38];
        for width in lengths {
            for height in lengths {
                for max_pixels in [1, 2, 3, 100, 4097, 1_000_000, 100_000_000, u64::MAX] {
                    let (scale, sides) = fitted([width, height], 300.0 / 72.0, max_pixels);
                    let pixels = sides.iter().map(|&side| u64::from(side)).product::<u64>();
                    assert!(
                        (1..=max_pixels).contains(&pixels) && scale.is_finite() && scale > 0.0,
                        "{width} x {height}, {max_pixels}: {sides:?}"
                    );
                }
            }
        }
    }
}
