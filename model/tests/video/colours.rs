//! Colours, depths, sizes and orientations.

use sightstream_model::media::video::Video;
use sightstream_model::media::{DecodeLimits, Failure};

use crate::kit::{Reference, check, check_span, content, ffmpeg, made, open};

const SHORT: &str = "testsrc2=size=192x108:rate=25:duration=2";

fn encoded(encoding: &str, name: &str) {
    let clip = made(SHORT, encoding, name);
    check(&clip.path, 0);
}

#[test]
fn odd_sizes() {
    for size in ["191x107", "33x21", "29x90", "16x9", "1x1", "7x2"] {
        // The test picture itself has even sizes.
        let source = format!(
            "testsrc2=size=192x108:rate=25:duration=1,scale={}",
            size.replace('x', ":")
        );
        let clip = made(&source, "-c:v ffv1 -pix_fmt yuv420p", "a.mkv");
        check(&clip.path, 0);
        let clip = made(&source, "-c:v ffv1 -pix_fmt yuv444p", "a.mkv");
        check(&clip.path, 0);
    }
    let clip = made(
        "testsrc2=size=191x107:rate=25:duration=1",
        "-c:v libvpx-vp9 -deadline realtime -cpu-used 8",
        "a.webm",
    );
    check(&clip.path, 0);
}

#[test]
fn ten_and_more_bits() {
    for format in [
        "yuv420p10le",
        "yuv422p10le",
        "yuv444p12le",
        "yuv420p16le",
        "gbrp10le",
        "gray10le",
    ] {
        encoded(&format!("-c:v ffv1 -pix_fmt {format}"), "a.mkv");
    }
    encoded(
        "-c:v libx265 -x265-params log-level=error -pix_fmt yuv420p10le",
        "a.mp4",
    );
    encoded("-c:v libx264 -pix_fmt yuv420p10le", "a.mp4");
}

/// Where several pixels share a colour, the place that it was taken at decides what it is for each. Places are written into the
/// stream.
#[test]
fn places_of_colours() {
    let mut pictures = Vec::new();
    for place in [0, 1, 2] {
        let encoding = format!("-c:v libx264 -pix_fmt yuv420p10le -bf 0 -qp 8 -x264-params chromaloc={place}");
        let clip = made(SHORT, &encoding, "a.mp4");
        check(&clip.path, 0);
        let mut video = open(&clip.path).expect("it opens");
        pictures.extend(video.clip(None, 1, &|frame| frame).expect("a clip"));
    }
    assert!(pictures[0] != pictures[1] && pictures[1] != pictures[2]);
    encoded("-c:v libx264 -pix_fmt yuv422p10le -x264-params chromaloc=0", "a.mkv");
}

#[test]
fn colour_spaces_and_ranges() {
    for space in ["bt709", "smpte170m", "bt2020nc", "bt470bg", "fcc", "smpte240m"] {
        for range in ["tv", "pc"] {
            let tags = format!("-colorspace {space} -color_range {range}");
            encoded(&format!("-c:v libx264 -pix_fmt yuv420p {tags}"), "a.mp4");
            encoded(&format!("-c:v ffv1 -pix_fmt yuv420p10le {tags}"), "a.mkv");
        }
    }
    encoded("-c:v mjpeg -q:v 3 -pix_fmt yuvj422p", "a.avi");
}

#[test]
fn formats_without_a_colour_space() {
    for format in ["bgr0", "bgra", "gray", "ya8", "rgb48le"] {
        encoded(&format!("-c:v ffv1 -pix_fmt {format}"), "a.mkv");
    }
    encoded("-c:v libx264rgb -pix_fmt rgb24", "a.mp4");
    encoded("-c:v png -pix_fmt rgba", "a.mov");
    encoded("-c:v rawvideo -pix_fmt pal8", "a.nut");
}

#[test]
fn transparency_is_dropped() {
    let source = "testsrc2=size=192x108:rate=25:duration=1:alpha=100";
    for (encoding, name) in [
        ("-c:v ffv1 -pix_fmt yuva420p", "a.mkv"),
        ("-c:v qtrle -pix_fmt argb", "a.mov"),
    ] {
        let clip = made(source, encoding, name);
        check(&clip.path, 0);
    }
}

#[test]
fn rotations() {
    let clip = made(SHORT, "-c:v libx264 -pix_fmt yuv420p", "a.mp4");
    let folder = clip.folder.path();
    for angle in [90, 180, 270] {
        ffmpeg(
            folder,
            &format!("-i a.mp4 -c copy -metadata:s:v:0 rotate={angle} turned.mp4"),
        );
        let path = folder.join("turned.mp4");
        let upright = Reference::of(&path).frames[0].dimensions();
        assert_eq!(upright, if angle == 180 { (192, 108) } else { (108, 192) });
        check(&path, 0);
    }
}

/// All eight ways in which a picture can lie, written into the track's header.
#[test]
fn mirrors() {
    let clip = made(SHORT, "-c:v libx264 -pix_fmt yuv420p", "a.mp4");
    let bytes = std::fs::read(&clip.path).expect("the file");
    let header = bytes.windows(4).position(|name| name == b"tkhd").expect("a track") + 4 + 40;
    let mut seen = Vec::new();
    for [a, b, c, d] in [
        [1, 0, 0, 1],
        [-1, 0, 0, 1],
        [1, 0, 0, -1],
        [-1, 0, 0, -1],
        [0, 1, 1, 0],
        [0, 1, -1, 0],
        [0, -1, 1, 0],
        [0, -1, -1, 0i32],
    ] {
        let mut turned = bytes.clone();
        for (place, value) in [(0, a), (4, b), (12, c), (16, d)] {
            turned[header + place..header + place + 4].copy_from_slice(&(value << 16).to_be_bytes());
        }
        let path = clip.folder.path().join("turned.mp4");
        std::fs::write(&path, turned).expect("written");
        let mut video = open(&path).expect("it opens");
        let reference = Reference::of(&path);
        check_span(&mut video, &reference, None, 0);
        assert!(
            !seen.contains(&reference.frames[0]),
            "no two ways give the same picture"
        );
        seen.push(reference.frames[0].clone());
    }
}

#[test]
fn a_size_that_changes() {
    let clip = made(
        "testsrc2=size=192x108:rate=25:duration=2",
        "-c:v libx264 -pix_fmt yuv420p -g 25 -f mpegts",
        "a.ts",
    );
    let folder = clip.folder.path();
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=96x96:rate=25:duration=2 -c:v libx264 -pix_fmt yuv420p -output_ts_offset 2 -f mpegts b.ts",
    );
    let mut bytes = std::fs::read(folder.join("a.ts")).expect("a part");
    bytes.extend(std::fs::read(folder.join("b.ts")).expect("a part"));
    let path = folder.join("both.ts");
    std::fs::write(&path, bytes).expect("written");
    let mut video = open(&path).expect("it opens");
    let sizes = |video: &mut Video, span| -> Vec<(u32, u32)> {
        let clip = video.clip(span, 8, &|frame| frame).expect("a clip");
        clip.iter().map(image::RgbImage::dimensions).collect()
    };
    // All frames of a clip have the size of its first.
    assert_eq!(sizes(&mut video, None), [(192, 108); 8]);
    assert_eq!(sizes(&mut video, Some((2.5, 3.5))), [(96, 96); 8]);
}

#[test]
fn frames_of_too_many_pixels() {
    let clip = made(SHORT, "-c:v libx264 -pix_fmt yuv420p", "a.mp4");
    let limits = DecodeLimits {
        max_pixels: 192 * 108 - 1,
    };
    match Video::open(&content(&clip.path), &limits) {
        Err(Failure::TooLarge(message)) => {
            assert!(message.contains("192 x 108 pixels; the limit is 20735"), "{message}")
        }
        other => panic!("{other:?}"),
    }
}
