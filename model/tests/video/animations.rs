//! Images that move.

use std::path::{Path, PathBuf};

use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, DynamicImage, RgbImage};
use sightstream_model::media::Failure;

use crate::kit::{Reference, check, check_span, difference, made, open};

#[test]
fn gif() {
    let clip = made("testsrc2=size=96x60:rate=10:duration=6", "", "a.gif");
    let video = check(&clip.path, 0);
    assert!((video.duration() - 6.0).abs() < 0.11, "{}", video.duration());
    // Frames of a GIF are made of those before them, and have no key frames between.
    let clip = made(
        "testsrc2=size=96x60:rate=10:duration=6,select='not(mod(n,7))+not(mod(n,5))'",
        "-fps_mode vfr",
        "a.gif",
    );
    check(&clip.path, 0);
}

/// What the `image` crate decodes, which the code under test does not use for this.
fn webp_frames(path: &Path) -> Reference {
    let bytes = std::fs::read(path).expect("the file");
    let decoder = WebPDecoder::new(std::io::Cursor::new(bytes)).expect("a WebP");
    let (mut frames, mut times, mut time) = (Vec::new(), Vec::new(), 0);
    for frame in decoder.into_frames() {
        let frame = frame.expect("a frame");
        let (numerator, denominator) = frame.delay().numer_denom_ms();
        assert_eq!(denominator, 1);
        times.push(f64::from(time) / 1000.0);
        time += numerator;
        frames.push(DynamicImage::ImageRgba8(frame.into_buffer()).into_rgb8());
    }
    Reference { frames, times }
}

#[test]
fn webp() {
    for quality in ["-lossless 1", "-lossless 0 -q:v 80"] {
        let encoding = format!("-c:v libwebp_anim {quality} -loop 0");
        let clip = made("testsrc2=size=96x60:rate=10:duration=4", &encoding, "a.webp");
        let reference = webp_frames(&clip.path);
        assert_eq!(reference.frames.len(), 40);
        let mut video = open(&clip.path).expect("it opens");
        assert!((video.duration() - 4.0).abs() < 0.01, "{}", video.duration());
        for span in [
            None,
            Some((1.0, 2.0)),
            Some((0.05, 0.3)),
            Some((3.0, 9.0)),
            Some((2.0, 3.0)),
            None,
        ] {
            // It rounds where it lays one frame over another.
            check_span(&mut video, &reference, span, 1);
        }
        assert!(video.clip(Some((4.0, 5.0)), 8, &|frame| frame).is_err());
    }
}

#[test]
fn a_slow_webp_shows_a_frame_until_the_next() {
    let clip = made(
        "testsrc2=size=96x60:rate=1/20:duration=60",
        "-c:v libwebp_anim -lossless 1 -loop 0",
        "a.webp",
    );
    let reference = webp_frames(&clip.path);
    assert_eq!(reference.times, [0.0, 20.0, 40.0]);
    let mut video = open(&clip.path).expect("it opens");
    for span in [(21.0, 39.0), (1.0, 2.0), (39.0, 41.0), (19.0, 19.5)] {
        check_span(&mut video, &reference, Some(span), 1);
    }
    assert!(video.clip(Some((60.5, 70.0)), 8, &|frame| frame).is_err());
}

/// Lossless frames are those of the picture that was encoded, whoever decodes them.
#[test]
fn webp_frames_are_the_ones_that_were_encoded() {
    let source = "testsrc2=size=96x60:rate=10:duration=2,format=bgra";
    let still = made(source, "-c:v ffv1 -pix_fmt bgra", "a.mkv");
    let moving = made(source, "-c:v libwebp_anim -lossless 1 -pix_fmt bgra", "a.webp");
    let reference = Reference::of(&still.path);
    let mut video = open(&moving.path).expect("it opens");
    let clip: Vec<RgbImage> = video.clip(None, 20, &|frame| frame).expect("a clip");
    assert_eq!(clip.len(), 20);
    assert!(clip == reference.frames);
}

/// A file of model/reference/make_animation_fixtures.py.
fn animation(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/animations")
        .join(name)
}

/// What Pillow makes of an animation: its frames are below each other.
fn pillows_frames(name: &str) -> Reference {
    let bytes = std::fs::read(animation(name)).expect("a fixture");
    let decoder = WebPDecoder::new(std::io::Cursor::new(bytes)).expect("a WebP");
    let (width, height) = image::ImageDecoder::dimensions(&decoder);
    let strip = image::open(animation(&format!("{name}.png")))
        .expect("the frames")
        .into_rgb8();
    let frames: Vec<RgbImage> = strip
        .as_raw()
        .chunks_exact((width * height * 3) as usize)
        .map(|frame| RgbImage::from_raw(width, height, frame.to_vec()).expect("so many pixels"))
        .collect();
    let times = (0..frames.len()).map(|frame| frame as f64 / 10.0).collect();
    Reference { frames, times }
}

/// Frames that are blended, that replace, and that are disposed of; in parts of the canvas, and with alpha.
#[test]
fn webp_frames_are_laid_over_each_other_as_pillow_does() {
    for (name, tolerance) in [
        ("opaque.webp", 0),
        ("transparent.webp", 0),
        ("key_frames.webp", 0),
        ("mixed.webp", 0),
        ("all_kinds.webp", 0),
        ("trail.webp", 0),
        ("lossy.webp", 2),
    ] {
        let reference = pillows_frames(name);
        let count = reference.frames.len();
        let mut video = open(&animation(name)).expect(name);
        assert!((video.duration() - count as f64 / 10.0).abs() < 1e-9, "{name}");
        // All of them, and again from the first.
        for _ in 0..2 {
            let clip = video.clip(None, count as u32, &|frame| frame).expect(name);
            assert_eq!(clip.len(), count, "{name}");
            for (number, (frame, expected)) in std::iter::zip(&clip, &reference.frames).enumerate() {
                let difference = difference(frame, expected);
                assert!(difference <= tolerance, "{name}: {difference} in frame {number}");
            }
        }
        for span in [Some((0.25, 0.6)), Some((0.15, 0.3)), None, Some((0.0, 0.05))] {
            check_span(&mut video, &reference, span, tolerance);
        }
    }
}

/// Such a frame is refused, and those before it are not.
#[test]
fn a_webp_frame_that_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, at, byte, message) in [
        // In the frame's chunk: its place, its width, and the width and the name of its image.
        ("lossy.webp", 8, 200, "outside"),
        ("lossy.webp", 13, 1, "outside"),
        ("lossy.webp", 14, 12, "size"),
        ("trail.webp", 14, 12, "sizes"),
        ("trail.webp", 24, b'v', "no image"),
    ] {
        let mut bytes = std::fs::read(animation(name)).expect("a fixture");
        let starts: Vec<usize> = (0..bytes.len())
            .filter(|&start| bytes[start..].starts_with(b"ANMF"))
            .collect();
        bytes[starts[3] + at] = byte;
        let path = folder.path().join("a.webp");
        std::fs::write(&path, &bytes).expect("written");
        let mut video = open(&path).expect("it opens");
        for _ in 0..2 {
            match video.clip(None, 6, &|frame| frame) {
                Err(Failure::Corrupt(said)) => assert!(said.contains(message), "{name}, {at}: {said}"),
                other => panic!("{name}, {at}: {other:?}"),
            }
            check_span(&mut video, &pillows_frames(name), Some((0.0, 0.3)), 2);
        }
    }
}
