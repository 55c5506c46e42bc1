//! Parts of media: windows of a long video, pages of a document.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::checkpoint::short_digest;
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

impl Segmentation {
    /// What tells vectors of a model by this segmentation from those by another one: the model's own fingerprint by the
    /// default.
    pub fn fingerprint(&self, model: &str) -> String {
        if *self == Self::default() {
            return model.to_owned();
        }
        let Self {
            frames,
            longest_clip,
            window,
            page_dpi,
        } = self;
        let settings =
            format!("{model} frames={frames} longest_clip={longest_clip} window={window} page_dpi={page_dpi}");
        short_digest(Sha256::new().chain_update(settings))
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

/// A rest of a video that is shorter than this is none of its own windows: the last frame's time, or a container's rounding.
const SHORTEST_WINDOW: f64 = 0.1;

impl Parts {
    /// The longest video that has windows, in seconds: 115 days.
    const LONGEST: f64 = 1e7;

    /// The most pages of a document.
    const MOST_PAGES: u32 = 1_000_000;

    /// Whether a medium may consist of this: of something, and of no more than can be asked for.
    pub fn are_possible(self) -> bool {
        match self {
            Self::Whole => true,
            Self::Windows { duration } => duration > 0.0 && duration <= Self::LONGEST,
            Self::Pages(pages) => (1..=Self::MOST_PAGES).contains(&pages),
        }
    }

    /// How many parts there are; 0 for what is one input.
    pub fn count(self, segmentation: &Segmentation) -> usize {
        match self {
            Self::Whole => 0,
            Self::Windows { duration } => {
                let whole = (duration / segmentation.window).floor();
                let rest = duration - whole * segmentation.window;
                // A cast saturates, and takes what is no number for 0.
                (whole as usize).saturating_add(usize::from(whole < 1.0 || rest >= SHORTEST_WINDOW))
            }
            Self::Pages(pages) => pages as usize,
        }
    }

    /// The fragments that name the parts, in order; none for what is one input. Times are in whole milliseconds, so that
    /// they read well.
    pub fn fragments(self, segmentation: &Segmentation) -> impl Iterator<Item = Fragment> + Send + use<> {
        let (count, window) = (self.count(segmentation), segmentation.window);
        (0..count).map(move |index| match self {
            Self::Windows { duration } => {
                let start = index as f64 * window;
                let end = if index + 1 == count {
                    duration
                } else {
                    (index + 1) as f64 * window
                };
                Fragment::Time {
                    start: in_milliseconds(start),
                    end: Some(in_milliseconds(end)),
                }
            }
            Self::Whole | Self::Pages(_) => Fragment::Page(index as u32 + 1),
        })
    }
}

/// The whole millisecond that is nearest.
fn in_milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(parts: Parts, segmentation: &Segmentation) -> Vec<String> {
        let addresses: Vec<String> = parts.fragments(segmentation).map(|part| part.to_string()).collect();
        assert_eq!(addresses.len(), parts.count(segmentation));
        addresses
    }

    #[test]
    fn a_video_has_windows_and_the_last_one_is_shorter() {
        let of = |duration| addresses(Parts::Windows { duration }, &Segmentation::default());
        assert_eq!(of(7200.0).len(), 240);
        assert_eq!(
            of(7200.04).last().map(String::as_str),
            Some("t=7170,7200.04"),
            "a rest of a frame joins"
        );
        assert_eq!(of(7199.9999999).last().map(String::as_str), Some("t=7170,7200"));
        assert_eq!(
            of(184.2),
            [
                "t=0,30",
                "t=30,60",
                "t=60,90",
                "t=90,120",
                "t=120,150",
                "t=150,180",
                "t=180,184.2"
            ]
        );
        assert_eq!(of(7_184.200_000_1).last().map(String::as_str), Some("t=7170,7184.2"));
        let segmentation = Segmentation {
            window: 33.3,
            ..Segmentation::default()
        };
        assert_eq!(
            addresses(Parts::Windows { duration: 120.0 }, &segmentation)[3],
            "t=99.9,120"
        );
        let segmentation = Segmentation {
            window: 3600.0,
            ..Segmentation::default()
        };
        assert_eq!(
            addresses(Parts::Windows { duration: 200.0 }, &segmentation),
            ["t=0,200"]
        );
    }

    #[test]
    fn a_document_has_pages_and_what_is_whole_has_no_parts() {
        let segmentation = Segmentation::default();
        assert_eq!(addresses(Parts::Pages(2), &segmentation), ["page=1", "page=2"]);
        assert!(addresses(Parts::Whole, &segmentation).is_empty());
        let endless = Parts::Windows {
            duration: f64::INFINITY,
        };
        assert_eq!(endless.count(&segmentation), usize::MAX);
    }

    #[test]
    fn what_changes_vectors_changes_the_fingerprint() {
        let default = Segmentation::default();
        assert_eq!(default.fingerprint("0123456789ab"), "0123456789ab");
        let others = [
            Segmentation { frames: 4, ..default },
            Segmentation {
                longest_clip: 60.0,
                ..default
            },
            Segmentation {
                window: 20.0,
                ..default
            },
            Segmentation {
                page_dpi: 150.0,
                ..default
            },
        ];
        let mut fingerprints: Vec<String> = others.iter().map(|other| other.fingerprint("0123456789ab")).collect();
        fingerprints.sort();
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), 4);
        assert!(fingerprints.iter().all(|fingerprint| fingerprint.len() == 12));
    }
}
