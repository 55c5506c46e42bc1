//! Documents: PDF, drawn by hayro.

use image::RgbImage;

use super::DecodeLimits;
use super::failure::Failure;
use crate::fetch::Content;

/// A document that is open.
#[derive(Debug)]
pub struct Document {
    pages: u32,
}

impl Document {
    /// Opens a document.
    pub(crate) fn open(_content: &Content) -> Result<Self, Failure> {
        Err(Failure::Unsupported("it is a PDF document".into()))
    }

    /// How many pages it has, at least 1.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Draws a page, counted from 1, at so many dots per inch: fewer where they would pass the limit of pixels.
    pub(crate) fn page(&mut self, _page: u32, _dpi: f32, _limits: &DecodeLimits) -> Result<RgbImage, Failure> {
        Err(Failure::Unsupported("it is a PDF document".into()))
    }
}
