//! From pixels to the rows that the vision tower reads.

use image::RgbImage;

use super::{ProcessorConfig, VisionInput, VisionKind};

/// For each channel, what each of the 256 sample values becomes: rescaled and normalised in the reference's precision (the
/// product in f64, rounded to f32, the rest in f32).
#[derive(Debug, Clone)]
pub struct Normalisation {
    values: [[f32; 256]; 3],
}

impl Normalisation {
    /// The table of a checkpoint.
    pub fn new(config: &ProcessorConfig) -> Self {
        let values = std::array::from_fn(|channel| {
            let (mean, std) = (config.image_mean[channel] as f32, config.image_std[channel] as f32);
            std::array::from_fn(|sample| {
                let rescaled = (sample as f64 * config.rescale_factor) as f32;
                (rescaled - mean) / std
            })
        });
        Self { values }
    }
}

/// The grid of frames in patches: time, height, width. No frames have none.
pub fn grid(frames: &[RgbImage], config: &ProcessorConfig) -> [u32; 3] {
    let (width, height) = frames.first().map_or((0, 0), RgbImage::dimensions);
    [
        (frames.len() as u32).div_ceil(config.temporal_patch_size),
        height / config.patch_size,
        width / config.patch_size,
    ]
}

/// Cuts frames into patches. They are of one size, whose sides are multiples of `config.factor()`. Each patch spans
/// `config.temporal_patch_size` of them, and the last frame stands for those that are missing at the end: an image is one
/// frame that is there twice.
pub fn frame_patches(
    frames: &[RgbImage],
    kind: VisionKind,
    config: &ProcessorConfig,
    normalisation: &Normalisation,
) -> VisionInput {
    let grid_thw = grid(frames, config);
    let span = config.temporal_patch_size as usize;
    let side = config.patch_size as usize;
    let merge = config.merge_size as usize;
    let [time, rows, columns] = grid_thw.map(|side| side as usize);
    let stride = columns * side * 3;
    let mut patches = Vec::with_capacity(time * rows * columns * config.patch_dim());
    for frames in frames.chunks(span) {
        for block_row in 0..rows / merge {
            for block_column in 0..columns / merge {
                for patch in 0..merge * merge {
                    let top = (block_row * merge + patch / merge) * side;
                    let left = (block_column * merge + patch % merge) * side;
                    for (channel, values) in normalisation.values.iter().enumerate() {
                        for frame in frames {
                            for line in top..top + side {
                                let line = &frame.as_raw()[line * stride + left * 3..][..side * 3];
                                patches.extend(line.chunks_exact(3).map(|pixel| values[usize::from(pixel[channel])]));
                            }
                        }
                        for _ in frames.len()..span {
                            patches.extend_from_within(patches.len() - side * side..);
                        }
                    }
                }
            }
        }
    }
    VisionInput {
        kind,
        patches,
        grid_thw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::ProcessorOverrides;

    /// Pixels that say where they are: red the column, green the row, blue a constant.
    #[test]
    fn rows_are_merged_blocks_and_hold_channel_time_row_column() {
        let config = ProcessorConfig::read(
            Some(br#"{"image_mean": [0, 0, 0], "image_std": [1, 1, 1], "rescale_factor": 1.0}"#),
            &ProcessorOverrides::default(),
        )
        .expect("valid");
        let image = RgbImage::from_fn(84, 56, |x, y| image::Rgb([x as u8, y as u8, 7]));
        let vision = frame_patches(&[image], VisionKind::Image, &config, &Normalisation::new(&config));
        assert_eq!((vision.grid_thw, vision.patch_count()), ([1, 4, 6], 24));
        assert_eq!(vision.patches.len(), 24 * 1176);
        let corner = |patch: usize| [vision.patches[patch * 1176], vision.patches[patch * 1176 + 2 * 196]];
        // The first block's four patches, then the block to its right.
        assert_eq!(
            [corner(0), corner(1), corner(2), corner(3)],
            [[0., 0.], [14., 0.], [0., 14.], [14., 14.]]
        );
        assert_eq!(corner(4), [28., 0.]);
        // Six blocks: the fourth begins the second row of blocks.
        assert_eq!(corner(12), [0., 28.]);
        let first = &vision.patches[..1176];
        assert_eq!(
            (first[13], first[14], first[196], first[2 * 196 + 14], first[4 * 196]),
            (13., 0., 0., 1., 7.)
        );
        assert_eq!(first[..196], first[196..392], "the second frame is the first again");
    }

    /// Frames that say which one they are.
    #[test]
    fn a_patch_spans_two_frames_and_an_odd_last_one_is_there_twice() {
        let config = ProcessorConfig::read(
            Some(br#"{"image_mean": [0, 0, 0], "image_std": [1, 1, 1], "rescale_factor": 1.0}"#),
            &ProcessorOverrides::default(),
        )
        .expect("valid");
        for (count, spans) in [
            (1, vec![[1., 1.]]),
            (2, vec![[1., 2.]]),
            (3, vec![[1., 2.], [3., 3.]]),
            (8, vec![[1., 2.], [3., 4.], [5., 6.], [7., 8.]]),
        ] {
            let frames: Vec<_> = (1..=count)
                .map(|number| RgbImage::from_pixel(56, 28, image::Rgb([number, 0, 0])))
                .collect();
            let vision = frame_patches(&frames, VisionKind::Video, &config, &Normalisation::new(&config));
            assert_eq!(vision.grid_thw, [spans.len() as u32, 2, 4], "{count} frames");
            assert_eq!(vision.patches.len(), vision.patch_count() * 1176);
            for (place, patch) in vision.patches.chunks(1176).enumerate() {
                assert_eq!(
                    [patch[0], patch[196]],
                    spans[place / 8],
                    "{count} frames, patch {place}"
                );
            }
        }
    }
}
