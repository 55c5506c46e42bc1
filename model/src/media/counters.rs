//! What reading media counts. Names stand here alone, because workers send what they count by them.

use ::metrics::{Unit, describe_counter};

/// Videos and documents that were opened: once for all their parts, if they come to a reader that has them open.
pub(crate) const OPENED: &str = "sightstream_media_opened_total";

/// Frames of videos: the packets that went to a decoder, and those that became pixels.
pub(crate) const FRAMES: &str = "sightstream_video_frames_total";

/// Videos whose end is missing, or of which some frames do not decode, that were used all the same.
pub(crate) const TRUNCATED: &str = "sightstream_video_truncated_total";

/// A counter, or one of those that a label tells apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) label: Option<(&'static str, &'static str)>,
    /// What it means.
    pub(crate) what: &'static str,
}

/// All.
pub(crate) const COUNTERS: &[Known] = &[
    Known {
        name: OPENED,
        label: None,
        what: "Videos and documents that were opened to be decoded.",
    },
    Known {
        name: FRAMES,
        label: Some(("kind", "decoded")),
        what: FRAMES_ARE,
    },
    Known {
        name: FRAMES,
        label: Some(("kind", "used")),
        what: FRAMES_ARE,
    },
    Known {
        name: TRUNCATED,
        label: None,
        what: "Videos whose end is missing, or of which some frames do not decode, that were used all the same.",
    },
];

const FRAMES_ARE: &str = "Packets of videos that went to a decoder (decoded), and frames that became pixels (used).";

/// Tells the recorder what each of them is.
pub(crate) fn describe() {
    for known in COUNTERS {
        describe_counter!(known.name, Unit::Count, known.what);
    }
}
