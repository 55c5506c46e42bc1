//! PDF documents of any content, whole and page by page.
#![no_main]

#[path = "../parts.rs"]
mod parts;

use libfuzzer_sys::fuzz_target;
use sightstream_model::media::Segmentation;
use sightstream_model::reference::Fragment;

const PAGES: [Fragment; 3] = [Fragment::Page(1), Fragment::Page(2), Fragment::Page(u32::MAX)];

fuzz_target!(|bytes: &[u8]| {
    let segmentation = Segmentation {
        // Coarse, so that an execution is short.
        page_dpi: 36.0,
        ..Segmentation::default()
    };
    parts::ask(bytes, Some("application/pdf"), &segmentation, &PAGES);
});
