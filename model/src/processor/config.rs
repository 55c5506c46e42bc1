//! `preprocessor_config.json`: sizes and pixel statistics.

use serde::Deserialize;

use crate::error::ModelError;

const FILE: &str = "preprocessor_config.json";

/// The largest patch side, merge size and so on that is taken for meant: the product of four of them stays far from overflow.
const LARGEST_SIDE: u32 = 1024;

/// How images become patches.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessorConfig {
    /// The side of a patch, in pixels.
    pub patch_size: u32,
    /// How many frames one patch spans.
    pub temporal_patch_size: u32,
    /// How many patches a side become one language token.
    pub merge_size: u32,
    /// An image with fewer pixels is enlarged.
    pub min_pixels: u32,
    /// An image with more pixels is reduced.
    pub max_pixels: u32,
    /// What a sample of 0 to 255 is multiplied with.
    pub rescale_factor: f64,
    /// The mean of each channel, after rescaling.
    pub image_mean: [f64; 3],
    /// The standard deviation of each channel, after rescaling.
    pub image_std: [f64; 3],
}

/// What a user sets in place of the checkpoint's values. Each changes the vectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessorOverrides {
    /// See [`ProcessorConfig::min_pixels`].
    pub min_pixels: Option<u32>,
    /// See [`ProcessorConfig::max_pixels`].
    pub max_pixels: Option<u32>,
}

/// The file. Fields that say nothing here (`processor_class` …) are passed over.
#[derive(Deserialize)]
struct File {
    #[serde(default = "defaults::patch_size")]
    patch_size: u32,
    #[serde(default = "defaults::temporal_patch_size")]
    temporal_patch_size: u32,
    #[serde(default = "defaults::merge_size")]
    merge_size: u32,
    min_pixels: Option<u32>,
    max_pixels: Option<u32>,
    size: Option<Size>,
    #[serde(default = "defaults::rescale_factor")]
    rescale_factor: f64,
    #[serde(default = "defaults::image_mean")]
    image_mean: [f64; 3],
    #[serde(default = "defaults::image_std")]
    image_std: [f64; 3],
    do_resize: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    resample: Option<u32>,
}

/// Numbers of pixels, in spite of the names.
#[derive(Deserialize)]
struct Size {
    shortest_edge: Option<u32>,
    longest_edge: Option<u32>,
}

/// The defaults of `Qwen2VLImageProcessor`.
mod defaults {
    pub(super) const MIN_PIXELS: u32 = 56 * 56;
    pub(super) const MAX_PIXELS: u32 = 1280 * 28 * 28;
    /// Pillow's number for bicubic.
    pub(super) const RESAMPLE: u32 = 3;

    pub(super) fn patch_size() -> u32 {
        14
    }
    pub(super) fn temporal_patch_size() -> u32 {
        2
    }
    pub(super) fn merge_size() -> u32 {
        2
    }
    pub(super) fn rescale_factor() -> f64 {
        1.0 / 255.0
    }
    pub(super) fn image_mean() -> [f64; 3] {
        [0.481_454_66, 0.457_827_5, 0.408_210_73]
    }
    pub(super) fn image_std() -> [f64; 3] {
        [0.268_629_54, 0.261_302_58, 0.275_777_11]
    }
}

impl ProcessorConfig {
    /// Reads the file's content. `None`, a checkpoint without the file, has the reference's defaults. The pixel limits are
    /// the override's, else `min_pixels` and `max_pixels`, else `size.shortest_edge` and `size.longest_edge`.
    ///
    /// # Errors
    /// [`ModelError::Config`] for what is no such JSON, is out of range, or asks for another way to process images;
    /// [`ModelError::Option`] for limits that contradict each other.
    pub fn read(json: Option<&[u8]>, overrides: &ProcessorOverrides) -> Result<Self, ModelError> {
        let failed = |message: String| ModelError::Config {
            file: FILE.into(),
            message,
        };
        let file: File = serde_json::from_slice(json.unwrap_or(b"{}")).map_err(|error| failed(error.to_string()))?;
        for (field, step) in [
            ("do_resize", file.do_resize),
            ("do_rescale", file.do_rescale),
            ("do_normalize", file.do_normalize),
        ] {
            if step == Some(false) {
                return Err(failed(format!(
                    "{field} is false; this processor always resizes, rescales and normalizes"
                )));
            }
        }
        if file.resample.is_some_and(|filter| filter != defaults::RESAMPLE) {
            return Err(failed("resample must be 3 (bicubic)".into()));
        }
        for (field, side) in [
            ("patch_size", file.patch_size),
            ("temporal_patch_size", file.temporal_patch_size),
            ("merge_size", file.merge_size),
        ] {
            if side == 0 || side > LARGEST_SIDE {
                return Err(failed(format!("{field} is {side}; it must be 1 to {LARGEST_SIDE}")));
            }
        }
        if file.image_std.contains(&0.0) {
            return Err(failed("image_std holds a 0".into()));
        }
        let size = file.size.as_ref();
        let min_pixels = file
            .min_pixels
            .or(size.and_then(|size| size.shortest_edge))
            .unwrap_or(defaults::MIN_PIXELS);
        let max_pixels = file
            .max_pixels
            .or(size.and_then(|size| size.longest_edge))
            .unwrap_or(defaults::MAX_PIXELS);
        let config = Self {
            patch_size: file.patch_size,
            temporal_patch_size: file.temporal_patch_size,
            merge_size: file.merge_size,
            min_pixels: overrides.min_pixels.unwrap_or(min_pixels),
            max_pixels: overrides.max_pixels.unwrap_or(max_pixels),
            rescale_factor: file.rescale_factor,
            image_mean: file.image_mean,
            image_std: file.image_std,
        };
        config.check_limits()?;
        Ok(config)
    }

    /// The sides of a resized image are multiples of this: one language token's pixels.
    pub fn factor(&self) -> u32 {
        self.patch_size * self.merge_size
    }

    /// The length of a patch's row: channels * frames * side * side.
    pub fn patch_dim(&self) -> usize {
        3 * self.temporal_patch_size as usize * (self.patch_size as usize).pow(2)
    }

    fn check_limits(&self) -> Result<(), ModelError> {
        let refused = |option: &str, message| {
            Err(ModelError::Option {
                option: option.into(),
                message,
            })
        };
        let token = u64::from(self.factor()).pow(2);
        if u64::from(self.max_pixels) < token {
            let message = format!("{} is less than one token's {token} pixels", self.max_pixels);
            return refused("max_pixels", message);
        }
        if self.min_pixels > self.max_pixels {
            let message = format!("{} is more than max_pixels, {}", self.min_pixels, self.max_pixels);
            return refused("min_pixels", message);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<ProcessorConfig, String> {
        ProcessorConfig::read(Some(json.as_bytes()), &ProcessorOverrides::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_checkpoint_without_the_file_has_the_references_defaults() {
        let config = ProcessorConfig::read(None, &ProcessorOverrides::default()).expect("defaults");
        assert_eq!((config.min_pixels, config.max_pixels), (3136, 1_003_520));
        assert_eq!((config.factor(), config.patch_dim()), (28, 1176));
    }

    #[test]
    fn overrides_win_over_pixels_and_those_over_size() {
        let json = r#"{"min_pixels": 4000, "size": {"shortest_edge": 5000, "longest_edge": 90000}}"#;
        let config = read(json).expect("valid");
        assert_eq!((config.min_pixels, config.max_pixels), (4000, 90_000));
        let overrides = ProcessorOverrides {
            max_pixels: Some(50_000),
            min_pixels: None,
        };
        let config = ProcessorConfig::read(Some(json.as_bytes()), &overrides).expect("valid");
        assert_eq!((config.min_pixels, config.max_pixels), (4000, 50_000));
    }

    #[test]
    fn what_cannot_be_processed_is_refused() {
        let refused = |json: &str| read(json).expect_err(json);
        assert!(refused("[").contains("preprocessor_config.json"));
        assert!(refused(r#"{"do_resize": false}"#).contains("do_resize"));
        assert!(refused(r#"{"resample": 2}"#).contains("bicubic"));
        assert!(refused(r#"{"patch_size": 0}"#).contains("patch_size is 0"));
        assert!(refused(r#"{"image_std": [1, 0, 1]}"#).contains("image_std"));
        assert!(refused(r#"{"min_pixels": 5000, "max_pixels": 4000}"#).contains("more than max_pixels"));
        assert!(refused(r#"{"max_pixels": 700, "min_pixels": 1}"#).contains("784"));
    }
}
