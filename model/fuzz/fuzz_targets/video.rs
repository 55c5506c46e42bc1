//! Videos of any content, whole, by their windows and by spans. The first byte of the input chooses what a server says that
//! it is and how it is cut; the rest is the video.
#![no_main]

#[path = "../parts.rs"]
mod parts;

use libfuzzer_sys::{Corpus, fuzz_target};
use sightstream_model::media::Segmentation;
use sightstream_model::reference::Fragment;

const MEDIA_TYPES: [Option<&str>; 4] = [
    None,
    Some("video/mp4"),
    Some("application/octet-stream"),
    Some("image/gif"),
];

const SPANS: [Fragment; 3] = [
    Fragment::Time {
        start: 0.0,
        end: Some(1.0),
    },
    Fragment::Time { start: 0.3, end: None },
    Fragment::Time {
        start: 1e12,
        end: Some(1e13),
    },
];

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some((&chooser, video)) = bytes.split_first() else {
        return Corpus::Reject;
    };
    let segmentation = Segmentation {
        frames: [8, 1, 3, 2][usize::from(chooser >> 4) % 4],
        // Windows, and whole.
        longest_clip: if chooser & 8 == 0 { 0.5 } else { 180.0 },
        window: 0.25,
        ..Segmentation::default()
    };
    parts::ask(
        video,
        MEDIA_TYPES[usize::from(chooser) % MEDIA_TYPES.len()],
        &segmentation,
        &SPANS,
    );
    Corpus::Keep
});
