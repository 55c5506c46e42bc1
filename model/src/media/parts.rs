//! Parts of media: windows of a long video, pages of a document.

use serde::{Deserialize, Serialize};

use crate::reference::Fragment;

/// How media with a length become inputs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Segmentation {
    /// How many frames stand for a video, or for each window of it.
    pub frames: u32,
    /// The longest video that is one input, in seconds.
    pub longest_clip: f64,
    /// How long a window of a longer one is, in seconds.
    pub window: f64,
    /// How finely pages are drawn, in dots per inch.
    pub page_dpi: f32,
}

impl Default for Segmentation {
    /// VLM2Vec-V2's 8 frames, windows of 30 s in videos longer than 180 s, 300 dots per inch.
    fn default() -> Self {
        Self {
            frames: 8,
            longest_clip: 180.0,
            window: 30.0,
            page_dpi: 300.0,
        }
    }
}

/// What a medium consists of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parts {
    /// It is one input: text, an image, a short video.
    Whole,
    /// A video that is longer than [`Segmentation::longest_clip`].
    Windows {
        /// Its length in seconds, from its first frame to the end of its last.
        duration: f64,
    },
    /// A document of so many pages.
    Pages(u32),
}

impl Parts {
    /// The longest video that is believed, in seconds: 300 years.
    const LONGEST: f64 = 1e10;

    /// Whether a medium may consist of this: durations are positive numbers, and documents have a page.
    pub fn are_possible(self) -> bool {
        match self {
            Self::Whole => true,
            Self::Windows { duration } => duration > 0.0 && duration <= Self::LONGEST,
            Self::Pages(pages) => pages > 0,
        }
    }

    /// The fragments that name the parts, in order; none for what is one input.
    pub fn fragments(self, segmentation: &Segmentation) -> impl Iterator<Item = Fragment> {
        let window = segmentation.window;
        let (windows, pages) = match self {
            Self::Whole => (0, 0),
            Self::Windows { duration } => ((duration / window).ceil() as u32, 0),
            Self::Pages(pages) => (0, pages),
        };
        let duration = match self {
            Self::Windows { duration } => duration,
            Self::Whole | Self::Pages(_) => 0.0,
        };
        let windows = (0..windows).map(move |index| {
            let start = f64::from(index) * window;
            Fragment::Time {
                start,
                end: Some((start + window).min(duration)),
            }
        });
        windows.chain((1..=pages).map(Fragment::Page))
    }
}
