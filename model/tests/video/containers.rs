//! Containers, in their awkward forms.

use std::path::Path;

use crate::kit::{Reference, TEN_SECONDS, check, check_span, ffmpeg, made, open};

const H264: &str = "-c:v libx264 -g 40 -bf 3 -pix_fmt yuv420p";

#[test]
fn fragmented_mp4_without_a_count() {
    let clip = made(
        TEN_SECONDS,
        &format!("{H264} -movflags frag_keyframe+empty_moov+default_base_moof"),
        "a.mp4",
    );
    check(&clip.path, 0);
}

#[test]
fn mp4_with_its_index_in_front() {
    let clip = made(TEN_SECONDS, &format!("{H264} -movflags faststart"), "a.mp4");
    check(&clip.path, 0);
}

#[test]
fn live_matroska_without_length_or_index() {
    let clip = made(TEN_SECONDS, &format!("{H264} -f matroska -live 1"), "a.mkv");
    check(&clip.path, 0);
}

#[test]
fn transport_stream() {
    let clip = made(TEN_SECONDS, &format!("{H264} -f mpegts"), "a.ts");
    check(&clip.path, 0);
}

#[test]
fn program_stream() {
    let clip = made(TEN_SECONDS, "-c:v mpeg2video -g 15 -bf 2 -q:v 4 -f vob", "a.mpg");
    check(&clip.path, 0);
}

#[test]
fn with_sound_in_between() {
    for name in ["a.mp4", "a.mkv", "a.ts", "a.mov"] {
        let clip = made(
            TEN_SECONDS,
            &format!("-f lavfi -i sine=duration=10 {H264} -c:a aac"),
            name,
        );
        check(&clip.path, 0);
    }
}

#[test]
fn flash_asf_and_ogg() {
    let clip = made(TEN_SECONDS, "-c:v flv -g 30 -q:v 4", "a.flv");
    check(&clip.path, 0);
    let clip = made(TEN_SECONDS, "-c:v wmv2 -g 30 -q:v 4", "a.wmv");
    check(&clip.path, 0);
    let clip = made(TEN_SECONDS, "-c:v libtheora -g 30 -q:v 7", "a.ogv");
    check(&clip.path, 0);
}

#[test]
fn avi() {
    let clip = made(TEN_SECONDS, "-c:v mpeg4 -g 60 -q:v 4", "a.avi");
    check(&clip.path, 0);
}

/// AVI has no times: the order of frames shows in decoding alone.
#[test]
fn avi_with_b_frames() {
    for encoding in [
        "-c:v mpeg4 -g 60 -bf 2 -q:v 4",
        "-c:v libx264 -g 60 -bf 3 -pix_fmt yuv420p",
    ] {
        let clip = made(TEN_SECONDS, encoding, "a.avi");
        let reference = Reference::at_rate(&clip.path, 30.0);
        let mut video = open(&clip.path).expect("it opens");
        assert!((video.duration() - 10.0).abs() < 0.2, "{}", video.duration());
        for span in [
            None,
            Some((0.0, 2.5)),
            Some((2.5, 5.0)),
            Some((1.0, 1.3)),
            Some((7.5, 10.5)),
        ] {
            check_span(&mut video, &reference, span, 0);
        }
    }
}

#[test]
fn avi_with_a_wrong_count() {
    let clip = made(TEN_SECONDS, "-c:v mpeg4 -g 60 -q:v 4", "a.avi");
    for count in [5u32, 0, 100_000] {
        let mut bytes = std::fs::read(&clip.path).expect("the file");
        let header = bytes.windows(4).position(|name| name == b"avih").expect("a header");
        bytes[header + 24..header + 28].copy_from_slice(&count.to_le_bytes());
        let stream = bytes.windows(4).position(|name| name == b"strh").expect("a stream");
        bytes[stream + 40..stream + 44].copy_from_slice(&count.to_le_bytes());
        let path = clip.folder.path().join("wrong.avi");
        std::fs::write(&path, bytes).expect("written");
        let reference = Reference::of(&path);
        assert_eq!(reference.frames.len(), 300);
        let mut video = open(&path).expect("it opens");
        check_span(&mut video, &reference, None, 0);
    }
}

#[test]
fn bare_streams() {
    for (encoding, name) in [
        (H264, "a.h264"),
        ("-c:v mpeg2video -g 15 -q:v 4", "a.m2v"),
        ("-c:v ffv1", "a.nut"),
    ] {
        let clip = made(TEN_SECONDS, encoding, name);
        let reference = Reference::at_rate(&clip.path, 30.0);
        let mut video = open(&clip.path).expect("it opens");
        for span in [None, Some((0.0, 2.5)), Some((2.5, 5.0))] {
            check_span(&mut video, &reference, span, 0);
        }
    }
}

fn joined(folder: &Path, parts: &[&str], name: &str) -> std::path::PathBuf {
    let bytes: Vec<u8> = parts
        .iter()
        .flat_map(|part| std::fs::read(folder.join(part)).expect("a part"))
        .collect();
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("written");
    path
}

/// Times begin anew in the middle: frames keep the order of the file.
#[test]
fn two_transport_streams_in_one() {
    let clip = made(
        "testsrc2=size=192x108:rate=30:duration=5",
        &format!("{H264} -f mpegts"),
        "a.ts",
    );
    let folder = clip.folder.path();
    ffmpeg(
        folder,
        &format!("-f lavfi -i mandelbrot=size=192x108:rate=30 -t 4 {H264} -f mpegts b.ts"),
    );
    let path = joined(folder, &["a.ts", "b.ts"], "joined.ts");
    let reference = Reference::at_rate(&path, 30.0);
    let mut video = open(&path).expect("it opens");
    assert!((video.duration() - 9.0).abs() < 0.1, "{}", video.duration());
    for span in [None, Some((0.0, 4.0)), Some((4.0, 8.0)), Some((5.5, 8.5))] {
        check_span(&mut video, &reference, span, 0);
    }
}

/// A broadcast that was recorded twice, with an hour between: nobody waits an hour for the second part.
#[test]
fn two_transport_streams_with_an_hour_between() {
    let clip = made(
        "testsrc2=size=192x108:rate=30:duration=5",
        &format!("{H264} -f mpegts"),
        "a.ts",
    );
    let folder = clip.folder.path();
    ffmpeg(
        folder,
        &format!("-f lavfi -i mandelbrot=size=192x108:rate=30 -t 4 {H264} -output_ts_offset 3600 -f mpegts b.ts"),
    );
    for parts in [["a.ts", "b.ts"], ["b.ts", "a.ts"]] {
        let path = joined(folder, &parts, "joined.ts");
        let reference = Reference::at_rate(&path, 30.0);
        assert_eq!(reference.frames.len(), 270);
        let mut video = open(&path).expect("it opens");
        assert!((video.duration() - 9.0).abs() < 0.1, "{}", video.duration());
        for span in [
            None,
            Some((0.0, 3.0)),
            Some((6.0, 8.5)),
            Some((2.0, 3.5)),
            Some((3.0, 6.0)),
        ] {
            check_span(&mut video, &reference, span, 0);
        }
    }
}

/// Frames that are far apart are no jumps.
#[test]
fn a_slow_transport_stream() {
    let clip = made(
        "testsrc2=size=192x108:rate=1/12:duration=120",
        &format!("{H264} -f mpegts"),
        "a.ts",
    );
    let mut video = open(&clip.path).expect("it opens");
    assert!((video.duration() - 120.0).abs() < 12.1, "{}", video.duration());
    check_span(&mut video, &Reference::of(&clip.path), Some((0.0, 60.0)), 0);
}

/// As a recording that was switched on in the middle.
#[test]
fn a_transport_stream_that_begins_between_key_frames() {
    let clip = made(
        TEN_SECONDS,
        "-c:v libx264 -g 90 -bf 3 -pix_fmt yuv420p -f mpegts",
        "a.ts",
    );
    let bytes = std::fs::read(&clip.path).expect("the file");
    let path = clip.folder.path().join("cut.ts");
    std::fs::write(&path, &bytes[bytes.len() / 188 / 5 * 188..]).expect("written");
    let reference = Reference::of(&path);
    let mut video = open(&path).expect("it opens");
    for span in [None, Some((0.0, 2.0)), Some((2.0, 4.0))] {
        check_span(&mut video, &reference, span, 0);
    }
}
