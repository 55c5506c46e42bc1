//! Images that move.

use image::RgbImage;
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, DynamicImage};

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
fn webp_frames(path: &std::path::Path) -> Reference {
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
            check_span(&mut video, &reference, span, 0);
        }
        assert!(video.clip(Some((4.0, 5.0)), 8, &|frame| frame).is_err());
    }
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
    let differences: Vec<u8> = std::iter::zip(&clip, &reference.frames)
        .map(|(one, other)| difference(one, other))
        .collect();
    // The decoder rounds where it lays one frame over another.
    assert!(differences.iter().all(|&difference| difference <= 1), "{differences:?}");
}
