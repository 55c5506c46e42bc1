//! Videos, by FFmpeg.

use image::RgbImage;

use super::DecodeLimits;
use super::failure::Failure;
use crate::fetch::Content;

/// A video that is open.
#[derive(Debug)]
pub struct Video {
    duration: f64,
}

impl Video {
    /// Opens a video.
    pub(crate) fn open(_content: &Content, _limits: &DecodeLimits) -> Result<Self, Failure> {
        Err(Failure::Unsupported("it is a video".into()))
    }

    /// Its length in seconds, from its first frame to the end of its last.
    pub fn duration(&self) -> f64 {
        self.duration
    }

    /// So many uniform frames of a span, in seconds from the first frame; of all where there is none. Fewer where there are
    /// fewer.
    pub(crate) fn clip(
        &mut self,
        _span: Option<(f64, f64)>,
        _frames: u32,
        _fit: &dyn Fn(RgbImage) -> RgbImage,
    ) -> Result<Vec<RgbImage>, Failure> {
        Err(Failure::Unsupported("it is a video".into()))
    }
}
