//! Resizing, to the unit as the reference does it: smart resize chooses the size, and Pillow's bicubic filter with
//! antialiasing makes the pixels.
//!
//! The filter is written out here. A vector's agreement with the reference rests on it, and the crates that offer this
//! kernel round its weights to 16 bits, which puts a sample in a hundred off by one.

use std::borrow::Cow;

use image::RgbImage;
use pulp::{Arch, Simd, WithSimd};

const CHANNELS: usize = 3;

/// Weights are fixed-point numbers with this many fractional bits: 32 bits less 8 of the sample and 2 of headroom, for sums
/// that leave 0..=1 by the kernel's negative lobes.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Half the width of the bicubic kernel, in samples of the coarser side.
const SUPPORT: f64 = 2.0;

/// An image with a shorter side than one token's is made a square of two tokens a side first.
const TOKENS_OF_A_TINY_SIDE: u32 = 2;

/// More than this many times as long as wide, and an image is taken for a square of its longer side.
pub(super) const LARGEST_ASPECT_RATIO: u64 = 200;

/// The size that the vision tower sees, `(height, width)`: multiples of `factor`, with a pixel count in
/// `min_pixels..=max_pixels` and about the aspect ratio of the original. Halves round to even multiples.
///
/// The `smart_resize` of VLM2Vec, in its order of operations: it computes with floats, and sides at a boundary depend on it.
pub fn smart_resize(height: u32, width: u32, factor: u32, min_pixels: u32, max_pixels: u32) -> (u32, u32) {
    let (shorter, longer) = (height.min(width), height.max(width));
    let (height, width) = match shorter < factor || u64::from(longer) > LARGEST_ASPECT_RATIO * u64::from(shorter) {
        true => (longer.max(factor), longer.max(factor)),
        false => (height, width),
    };
    let (height, width, factor) = (f64::from(height), f64::from(width), f64::from(factor));
    let (min_pixels, max_pixels) = (f64::from(min_pixels), f64::from(max_pixels));
    let nearest = |side: f64| (side / factor).round_ties_even() * factor;
    let (mut new_height, mut new_width) = (nearest(height), nearest(width));
    if new_height * new_width > max_pixels {
        let beta = ((height * width) / max_pixels).sqrt();
        // A side never vanishes (the reference without this fails on such images).
        let floor = |side: f64| factor.max((side / beta / factor).floor() * factor);
        (new_height, new_width) = (floor(height), floor(width));
    } else if new_height * new_width < min_pixels {
        let beta = (min_pixels / (height * width)).sqrt();
        let ceil = |side: f64| (side * beta / factor).ceil() * factor;
        (new_height, new_width) = (ceil(height), ceil(width));
    }
    (new_height as u32, new_width as u32)
}

/// Resizes an image for the vision tower: a tiny one to a square first, then to [`smart_resize`]'s size.
pub fn resize_for_model(image: &RgbImage, factor: u32, min_pixels: u32, max_pixels: u32) -> Cow<'_, RgbImage> {
    let square = TOKENS_OF_A_TINY_SIDE * factor;
    let image = match image.width().min(image.height()) < factor {
        true => resize_bicubic(image, square, square),
        false => Cow::Borrowed(image),
    };
    let (height, width) = smart_resize(image.height(), image.width(), factor, min_pixels, max_pixels);
    if image.dimensions() == (width, height) {
        return image;
    }
    Cow::Owned(resize_bicubic(&image, width, height).into_owned())
}

/// Pillow's `Image.resize` with `BICUBIC`, bit by bit: along one axis, rounded to 8 bits, then along the other. Neither
/// image may be without pixels.
///
/// The rows come first, unless the height shrinks by more than twice what the width does: Pillow 13's rule (before it, rows
/// always came first). The order shows where the first pass rounds, and more where it clips.
pub fn resize_bicubic(image: &RgbImage, width: u32, height: u32) -> Cow<'_, RgbImage> {
    let shrinks_by = |from: u32, to: u32| i64::from(from) - i64::from(to);
    let height_shrinks_by = shrinks_by(image.height(), height);
    if height_shrinks_by > 0 && height_shrinks_by > 2 * shrinks_by(image.width(), width) {
        with_width(with_height(Cow::Borrowed(image), height), width)
    } else {
        with_height(with_width(Cow::Borrowed(image), width), height)
    }
}

fn with_width(image: Cow<'_, RgbImage>, width: u32) -> Cow<'_, RgbImage> {
    if image.width() == width {
        image
    } else {
        Cow::Owned(resize_rows(&image, width))
    }
}

fn with_height(image: Cow<'_, RgbImage>, height: u32) -> Cow<'_, RgbImage> {
    if image.height() == height {
        image
    } else {
        Cow::Owned(resize_columns(&image, height))
    }
}

/// So many rows are made narrower together, as many samples as a wide register holds.
const ROWS_AT_ONCE: usize = 16;

/// A pixel of each of these rows: all of one channel, then of the next.
const COLUMN: usize = CHANNELS * ROWS_AT_ONCE;

/// So many such columns are made at once.
const COLUMNS_AT_ONCE: usize = 128;

fn resize_rows(image: &RgbImage, width: u32) -> RgbImage {
    let weights = Weights::bicubic(image.width(), width);
    let (from, to) = (image.width() as usize * CHANNELS, width as usize * CHANNELS);
    // A row that repeats the one before, as between the lines of a page, is made once. For each row, which that is.
    let mut different: Vec<&[u8]> = Vec::new();
    let mut places = Vec::with_capacity(image.height() as usize);
    for row in image.as_raw().chunks_exact(from) {
        if different.last() != Some(&row) {
            different.push(row);
        }
        places.push(different.len() - 1);
    }

    let mut resized = RgbImage::new(width, image.height());
    let mut columns = vec![[0; COLUMN]; image.width() as usize];
    let mut runs = vec![0; columns.len()];
    let sources = different.chunks(ROWS_AT_ONCE);
    for (source, target) in sources.zip(resized.chunks_mut(to * ROWS_AT_ONCE)) {
        Arch::new().dispatch(SomeRows {
            source,
            target,
            weights: &weights,
            columns: &mut columns,
            runs: &mut runs,
        });
    }
    // From the last on, so that none is written over before it was taken.
    for (row, place) in places.into_iter().enumerate().rev() {
        if place != row {
            resized.copy_within(place * to..(place + 1) * to, row * to);
        }
    }
    resized
}

/// For each item, how many from it on are equal to it.
fn find_runs<T: PartialEq>(items: impl DoubleEndedIterator<Item = T>, runs: &mut [usize]) {
    let mut next = None;
    for (item, run) in items.rev().zip(runs.iter_mut().rev()) {
        *run = match next {
            Some((ref next, run)) if *next == item => run + 1,
            _ => 1,
        };
        next = Some((item, *run));
    }
}

/// Some rows, each made narrower or wider. A weight is the same for all of them, so the samples of a column of pixels, brought
/// together, are taken at once.
struct SomeRows<'a> {
    source: &'a [&'a [u8]],
    /// Room for as many rows, or more.
    target: &'a mut [u8],
    weights: &'a Weights,
    columns: &'a mut [[u8; COLUMN]],
    runs: &'a mut [usize],
}

impl WithSimd for SomeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // Block by block, so that what is written stays in the first cache until all rows have been there.
        for (index, columns) in self.columns.chunks_mut(COLUMNS_AT_ONCE).enumerate() {
            let start = index * COLUMNS_AT_ONCE * CHANNELS;
            for (row, source) in self.source.iter().enumerate() {
                let pixels = source[start..].chunks_exact(CHANNELS);
                for (column, pixel) in columns.iter_mut().zip(pixels) {
                    for channel in 0..CHANNELS {
                        column[channel * ROWS_AT_ONCE + row] = pixel[channel];
                    }
                }
            }
        }
        find_runs(self.columns.iter(), self.runs);
        let row_length = self.weights.spans.len() * CHANNELS;
        for (place, (first, weights)) in self.weights.iter().enumerate() {
            let samples = match self.weights.keep_runs && self.runs[first] >= weights.len() {
                true => self.columns[first],
                false => {
                    let mut sums = [ROUNDING; COLUMN];
                    for (column, &weight) in self.columns[first..].iter().zip(weights) {
                        add_weighted(&mut sums, column, weight);
                    }
                    sums.map(to_u8)
                }
            };
            let targets = self.target.chunks_exact_mut(row_length).take(self.source.len());
            for (row, target) in targets.enumerate() {
                let pixel = &mut target[place * CHANNELS..][..CHANNELS];
                for channel in 0..CHANNELS {
                    pixel[channel] = samples[channel * ROWS_AT_ONCE + row];
                }
            }
        }
    }
}

fn resize_columns(image: &RgbImage, height: u32) -> RgbImage {
    let weights = Weights::bicubic(image.height(), height);
    let row_length = image.width() as usize * CHANNELS;
    let mut runs = vec![0; image.height() as usize];
    find_runs(image.as_raw().chunks_exact(row_length), &mut runs);
    let mut resized = RgbImage::new(image.width(), height);
    Arch::new().dispatch(AllColumns {
        source: image.as_raw(),
        target: &mut resized,
        row_length,
        weights: &weights,
        runs: &runs,
    });
    resized
}

/// All columns, each made shorter or longer, a whole row at once.
struct AllColumns<'a> {
    source: &'a [u8],
    target: &'a mut [u8],
    row_length: usize,
    weights: &'a Weights,
    /// Of each row of the source.
    runs: &'a [usize],
}

impl WithSimd for AllColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let mut sums = vec![ROUNDING; self.row_length];
        let rows = self.target.chunks_exact_mut(self.row_length);
        for (target, (first, weights)) in rows.zip(self.weights.iter()) {
            let source = &self.source[first * self.row_length..];
            if self.weights.keep_runs && self.runs[first] >= weights.len() {
                target.copy_from_slice(&source[..self.row_length]);
                continue;
            }
            sums.fill(ROUNDING);
            for (source, &weight) in source.chunks_exact(self.row_length).zip(weights) {
                add_weighted(&mut sums, source, weight);
            }
            for (sample, &sum) in target.iter_mut().zip(&sums) {
                *sample = to_u8(sum);
            }
        }
    }
}

#[inline(always)]
fn add_weighted(sums: &mut [i32], samples: &[u8], weight: i32) {
    for (sum, &sample) in sums.iter_mut().zip(samples) {
        *sum += i32::from(sample) * weight;
    }
}

/// Half a unit, so that the shift in [`to_u8`] rounds.
const ROUNDING: i32 = 1 << (PRECISION_BITS - 1);

#[inline(always)]
fn to_u8(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// For each sample of the target, which samples of the source make it, and their fixed-point weights.
struct Weights {
    /// The first source sample of each target sample, and how many follow.
    spans: Vec<(usize, usize)>,
    /// `stride` weights for each target sample, of which the span's count matters.
    weights: Vec<i32>,
    stride: usize,
    /// Whether equal samples are sure to give the same sample again. Each weight is off by half a unit at most, and a sample is
    /// the same while their sum is off by less than [`ROUNDING`] in 255.
    keep_runs: bool,
}

impl Weights {
    fn bicubic(source: u32, target: u32) -> Self {
        let scale = f64::from(source) / f64::from(target);
        // Reducing stretches the kernel over all the samples that fall together; enlarging does not shrink it.
        let kernel_scale = scale.max(1.0);
        let support = SUPPORT * kernel_scale;
        let stride = support.ceil() as usize * 2 + 1;
        let mut spans = Vec::with_capacity(target as usize);
        let mut weights = vec![0; target as usize * stride];
        let mut exact = Vec::with_capacity(stride);
        for (position, fixed) in weights.chunks_exact_mut(stride).enumerate() {
            let centre = (position as f64 + 0.5) * scale;
            // A cast truncates and stops at 0.
            let first = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(source as usize);
            exact.clear();
            exact.extend((first..end).map(|sample| cubic((sample as f64 - centre + 0.5) * (1.0 / kernel_scale))));
            let sum: f64 = exact.iter().sum();
            for (fixed, weight) in fixed.iter_mut().zip(&exact) {
                // Half away from zero: what `round` does.
                *fixed = (weight / sum * f64::from(1 << PRECISION_BITS)).round() as i32;
            }
            spans.push((first, end - first));
        }
        Self {
            spans,
            weights,
            stride,
            keep_runs: stride / 2 < ROUNDING as usize / 256,
        }
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let weights = self.weights.chunks_exact(self.stride);
        self.spans
            .iter()
            .zip(weights)
            .map(|(&(first, count), weights)| (first, &weights[..count]))
    }
}

/// The cubic convolution kernel with a = -0.5 (Catmull-Rom).
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smart(height: u32, width: u32) -> (u32, u32) {
        smart_resize(height, width, 28, 4 * 784, 1280 * 784)
    }

    #[test]
    fn sides_half_way_round_to_even_multiples() {
        assert_eq!(smart(42, 70), (56, 56));
        assert_eq!(smart(98, 126), (112, 112));
        assert_eq!(smart(100, 200), (112, 196));
    }

    #[test]
    fn pixel_counts_stay_within_the_limits() {
        assert_eq!(smart(4000, 3000), (1148, 840));
        assert_eq!(smart(28, 56), (56, 84));
        assert_eq!(smart(10_000, 60), (10_000 / 28 * 28, 56));
    }

    #[test]
    fn extreme_shapes_become_squares() {
        assert_eq!(smart(20, 1000), (980, 980));
        assert_eq!(smart(6000, 29), (980, 980));
        assert_eq!(smart_resize(60, 12_000, 28, 4, 784), (28, 392));
    }

    #[test]
    fn a_flat_colour_stays_flat() {
        let image = RgbImage::from_pixel(37, 91, image::Rgb([255, 128, 1]));
        for (width, height) in [(5, 200), (200, 5), (37, 7), (1, 1)] {
            let resized = resize_bicubic(&image, width, height);
            assert_eq!(resized.dimensions(), (width, height));
            assert!(
                resized.pixels().all(|pixel| pixel.0 == [255, 128, 1]),
                "{width} x {height}"
            );
        }
    }

    #[test]
    fn tiny_images_become_two_tokens_square_first() {
        let image = RgbImage::from_pixel(3, 2, image::Rgb([9, 8, 7]));
        assert_eq!(resize_for_model(&image, 28, 3136, 100_000).dimensions(), (56, 56));
        assert_eq!(resize_for_model(&image, 28, 50_000, 100_000).dimensions(), (224, 224));
    }
}
