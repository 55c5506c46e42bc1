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

/// Cuts one image into patches. Its sides are multiples of `config.factor()`; its frame stands for all the frames of a
/// temporal patch.
pub fn image_patches(image: &RgbImage, config: &ProcessorConfig, normalisation: &Normalisation) -> VisionInput {
    let (width, height) = image.dimensions();
    let grid_thw = [1, height / config.patch_size, width / config.patch_size];
    let side = config.patch_size as usize;
    let merge = config.merge_size as usize;
    let (rows, columns) = (grid_thw[1] as usize, grid_thw[2] as usize);
    let samples = image.as_raw();
    let stride = width as usize * 3;
    let mut patches = Vec::with_capacity(rows * columns * config.patch_dim());
    for block_row in 0..rows / merge {
        for block_column in 0..columns / merge {
            for patch in 0..merge * merge {
                let top = (block_row * merge + patch / merge) * side;
                let left = (block_column * merge + patch % merge) * side;
                for (channel, values) in normalisation.values.iter().enumerate() {
                    let plane = patches.len();
                    for line in top..top + side {
                        let line = &samples[line * stride + left * 3..][..side * 3];
                        patches.extend(line.chunks_exact(3).map(|pixel| values[usize::from(pixel[channel])]));
                    }
                    let end = patches.len();
                    for _ in 1..config.temporal_patch_size {
                        patches.extend_from_within(plane..end);
                    }
                }
            }
        }
    }
    VisionInput {
        kind: VisionKind::Image,
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
        let vision = image_patches(&image, &config, &Normalisation::new(&config));
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
}
