//! Videos and documents that give no vector, and some that look as if.

use std::path::Path;
use std::process::Command;

use crate::common::pdf::pdf;
use crate::images::file;
use crate::kinds::{End, Kind, medium, refused};

/// Files below `folder`, made by FFmpeg's command.
pub fn files(folder: &Path) -> Vec<Kind> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let copy = |name: &str, from: &str| {
        let bytes = std::fs::read(root.join(from)).expect("a committed file");
        file(folder, name, &bytes)
    };
    let film = made(folder, "film.mp4", "testsrc2=size=96x64:rate=8:duration=3", "libx264");
    let bytes = std::fs::read(&film).expect("it was made");
    let report = copy("report.pdf", "examples/media/harbour_report.pdf");
    let unsupported = |name, url: &str, reason: &str| refused(name, url, "unsupported", reason);
    vec![
        refused(
            "pdf-of-nothing",
            &file(folder, "a.pdf", b"%PDF-1.7\n\x80"),
            "corrupt",
            "no PDF document can be read in it",
        ),
        refused(
            "page-of-endless-dashes",
            &file(folder, "dashes.pdf", &dashes()),
            "decode_memory",
            "decoding takes too much memory",
        ),
        unsupported(
            "pdf-with-password",
            &copy("password.pdf", "model/tests/documents/password.pdf"),
            "the document opens with a password only",
        ),
        unsupported(
            "page-behind-the-end",
            &format!("{report}#page=99"),
            "there is no page 99",
        ),
        unsupported(
            "time-of-a-document",
            &format!("{report}#t=1,2"),
            "a document has no span of time",
        ),
        unsupported(
            "sound",
            &made(folder, "sound.m4a", "sine=duration=1", "aac"),
            "it holds sound, but no video",
        ),
        refused(
            "film-without-its-index",
            &file(folder, "cut.mp4", &bytes[..bytes.len() / 2]),
            "corrupt",
            "the video cannot be opened",
        ),
        unsupported(
            "window-behind-the-end",
            &format!("{film}#t=100,130"),
            "the video ends at 3 s; there is no frame in 100-130 s",
        ),
        unsupported("page-of-a-film", &format!("{film}#page=1"), "a video has no page"),
        medium("film-named-otherwise", &file(folder, "film.jpg", &bytes), End::Arrives),
        medium("film-without-a-name", &file(folder, "film", &bytes), End::Arrives),
        medium("page", &format!("{report}#page=2"), End::Arrives),
        medium("span-of-a-film", &format!("{film}#t=1,2"), End::Arrives),
    ]
}

/// A page of one line, whose dashes are so short that they take gigabytes.
fn dashes() -> Vec<u8> {
    pdf(&["1 w [0.000002] 0 d 0 50 m 150 50 l S".to_string()])
}

/// A file of a source that FFmpeg has, as it is encoded by `codec`.
fn made(folder: &Path, name: &str, source: &str, codec: &str) -> String {
    let path = folder.join(name);
    let encoder = if codec == "aac" { "-c:a" } else { "-c:v" };
    let made = Command::new("ffmpeg")
        .args([
            "-v", "error", "-f", "lavfi", "-i", source, encoder, codec, "-pix_fmt", "yuv420p",
        ])
        .arg(&path)
        .status();
    assert!(made.expect("ffmpeg is there").success(), "{name}");
    path.to_str().expect("UTF-8").to_owned()
}
