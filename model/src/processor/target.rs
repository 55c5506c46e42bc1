//! The size that the vision tower sees: what a decoder needs to know of a checkpoint, and no more.

use std::borrow::Cow;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::resize::{self, LARGEST_ASPECT_RATIO};
use crate::media::Media;

/// To which sizes images are brought: sides that are multiples of `factor`, and about `min_pixels..=max_pixels` pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PixelTarget {
    /// See [`super::ProcessorConfig::factor`].
    pub factor: u32,
    /// See [`super::ProcessorConfig::min_pixels`].
    pub min_pixels: u32,
    /// See [`super::ProcessorConfig::max_pixels`].
    pub max_pixels: u32,
}

/// A medium whose pixels have the size that the vision tower sees. Text is as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedMedia<'a>(Cow<'a, Media>);

impl FittedMedia<'_> {
    /// The medium.
    pub fn media(&self) -> &Media {
        &self.0
    }

    /// The medium, copied if it was borrowed.
    pub fn into_media(self) -> Media {
        self.0.into_owned()
    }
}

impl PixelTarget {
    /// Resizes an image, or the frames of a clip, unless they have their size already.
    pub fn fit<'a>(&self, media: &'a Media) -> FittedMedia<'a> {
        let resized = match media {
            Media::Text(_) => None,
            Media::Image(image) => self.resized(image).map(Media::Image),
            Media::Page(image) => self.resized(image).map(Media::Page),
            // All frames are of one size, so none is resized or all are.
            Media::Clip(frames) => {
                let resized: Option<_> = frames.iter().map(|frame| self.resized(frame)).collect();
                resized.map(Media::Clip)
            }
        };
        FittedMedia(resized.map_or(Cow::Borrowed(media), Cow::Owned))
    }

    /// [`PixelTarget::fit`] for a medium that is not needed any more.
    pub fn fit_owned(&self, media: Media) -> FittedMedia<'static> {
        FittedMedia(Cow::Owned(match media {
            Media::Text(_) => media,
            Media::Image(image) => Media::Image(self.fit_image(image)),
            Media::Page(image) => Media::Page(self.fit_image(image)),
            // Frame by frame, so that no more than one is there in both sizes.
            Media::Clip(frames) => Media::Clip(frames.into_iter().map(|frame| self.fit_image(frame)).collect()),
        }))
    }

    /// Resizes one image, unless it has its size already.
    pub fn fit_image(&self, image: RgbImage) -> RgbImage {
        self.resized(&image).unwrap_or(image)
    }

    /// The image in its size; `None` if it has it.
    fn resized(&self, image: &RgbImage) -> Option<RgbImage> {
        match resize::resize_for_model(image, self.factor, self.min_pixels, self.max_pixels) {
            Cow::Borrowed(_) => None,
            Cow::Owned(resized) => Some(resized),
        }
    }

    /// Takes a medium that somebody else has fitted, if it can be what [`PixelTarget::fit`] gives.
    pub fn accept(&self, media: Media) -> Option<FittedMedia<'static>> {
        let fits = match &media {
            Media::Text(_) => true,
            Media::Image(image) | Media::Page(image) => self.admits(image.width(), image.height()),
            Media::Clip(frames) => {
                let admits = |frame: &RgbImage| self.admits(frame.width(), frame.height());
                frames.first().is_some_and(admits) && of_one_size(frames)
            }
        };
        fits.then_some(FittedMedia(Cow::Owned(media)))
    }

    /// Whether an image that was fitted may have this size.
    pub fn admits(&self, width: u32, height: u32) -> bool {
        let is_side = |side: u32| side > 0 && side.is_multiple_of(self.factor);
        is_side(width) && is_side(height) && u64::from(width) * u64::from(height) <= self.most_pixels()
    }

    /// The most pixels that a fitted image has. That is more than `max_pixels` for one that is so long that its short side
    /// is rounded up to a whole token, and where `min_pixels` is so close to it that rounding up passes it.
    pub fn most_pixels(&self) -> u64 {
        let (factor, max_pixels) = (f64::from(self.factor), f64::from(self.max_pixels));
        let longest_side = (max_pixels * LARGEST_ASPECT_RATIO as f64).sqrt() + factor;
        // Each side is rounded up by less than a token's.
        (max_pixels + 2.0 * factor * longest_side + factor * factor) as u64
    }
}

/// Whether all frames have the size of the first.
pub(super) fn of_one_size(frames: &[RgbImage]) -> bool {
    frames.iter().all(|frame| frame.dimensions() == frames[0].dimensions())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::resize::smart_resize;

    #[test]
    fn every_size_that_resizing_gives_is_admitted() {
        for (min_pixels, max_pixels) in [
            (4 * 784, 1280 * 784),
            (4, 784),
            (1280 * 784, 1280 * 784),
            (70_000, 80_000),
        ] {
            let target = PixelTarget {
                factor: 28,
                min_pixels,
                max_pixels,
            };
            let sides = (1..300).chain((300..66_000).step_by(1231));
            for height in sides.clone() {
                for width in sides.clone() {
                    let (new_height, new_width) = smart_resize(height, width, 28, min_pixels, max_pixels);
                    assert!(
                        target.admits(new_width, new_height),
                        "{width} x {height} became {new_width} x {new_height}; {target:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn other_sizes_are_not_accepted() {
        let target = PixelTarget {
            factor: 28,
            min_pixels: 784,
            max_pixels: 7840,
        };
        let image = |width, height| Media::Image(image::RgbImage::new(width, height));
        assert!(target.accept(image(56, 28)).is_some());
        for (width, height) in [(0, 28), (28, 27), (29, 28), (560, 560)] {
            assert!(target.accept(image(width, height)).is_none(), "{width} x {height}");
        }
        assert!(target.accept(Media::Text("red".into())).is_some());
    }

    #[test]
    fn clips_are_fitted_as_their_frames_are_and_copied_only_then() {
        let target = PixelTarget {
            factor: 28,
            min_pixels: 784,
            max_pixels: 7840,
        };
        let frame = |seed| image::RgbImage::from_fn(60, 90, |x, y| image::Rgb([x as u8, y as u8, seed]));
        let clip = Media::Clip((0..3).map(frame).collect());
        let each: Vec<_> = (0..3).map(|seed| target.fit_image(frame(seed))).collect();
        assert_eq!(each[0].dimensions(), (56, 84));
        let fitted = target.fit(&clip);
        assert_eq!(fitted.media(), &Media::Clip(each));
        assert_eq!(target.fit_owned(clip.clone()), fitted);

        let fitted = fitted.into_media();
        assert!(matches!(target.fit(&fitted), FittedMedia(Cow::Borrowed(_))));
        let pixels = |media: &Media| match media {
            Media::Clip(frames) => frames.iter().map(|frame| frame.as_ptr()).collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        let before = pixels(&fitted);
        assert_eq!(pixels(target.fit_owned(fitted).media()), before);
    }

    #[test]
    fn clips_without_frames_or_of_several_sizes_are_not_accepted() {
        let target = PixelTarget {
            factor: 28,
            min_pixels: 784,
            max_pixels: 7840,
        };
        let clip = |sizes: &[(u32, u32)]| {
            let frame = |&(width, height)| image::RgbImage::new(width, height);
            Media::Clip(sizes.iter().map(frame).collect())
        };
        assert!(target.accept(clip(&[(56, 28), (56, 28)])).is_some());
        for sizes in [&[][..], &[(56, 28), (28, 56)], &[(27, 28), (27, 28)]] {
            assert!(target.accept(clip(sizes)).is_none(), "{sizes:?}");
        }
    }
}
