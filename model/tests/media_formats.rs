//! Every image in tests/formats decodes to the pixels that Pillow gives. model/reference/make_media_fixtures.py makes the
//! files and says what each is.

use std::path::{Path, PathBuf};

use image::RgbImage;
use sightstream_model::error::MediaError;
use sightstream_model::media::{DecodeLimits, Media, decode};

fn formats() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(formats().join(name)).expect(name)
}

fn decode_named(bytes: &[u8], name: &str, limits: &DecodeLimits) -> Result<RgbImage, MediaError> {
    match decode(bytes, None, limits, name)? {
        Media::Image(image) => Ok(image),
        other => panic!("{name} was taken for {other:?}"),
    }
}

/// The images of a format: each file that has a twin with the expected pixels.
fn images(extension: &str) -> Vec<String> {
    let files = std::fs::read_dir(formats()).expect("the fixtures are in the repository");
    let names = files.map(|file| {
        file.expect("a listed file")
            .file_name()
            .into_string()
            .expect("an ASCII name")
    });
    let mut names: Vec<String> = names
        .filter(|name| name.ends_with(&format!(".{extension}")) && formats().join(format!("{name}.png")).exists())
        .collect();
    names.sort();
    names
}

struct Difference {
    largest: u8,
    mean: f64,
}

fn difference(name: &str) -> Difference {
    let found = decode_named(&read(name), name, &DecodeLimits::default()).expect(name);
    let expected = image::open(formats().join(format!("{name}.png")))
        .expect(name)
        .into_rgb8();
    assert_eq!(found.dimensions(), expected.dimensions(), "{name}");
    let differences = found
        .as_raw()
        .iter()
        .zip(expected.as_raw())
        .map(|(&found, &expected)| found.abs_diff(expected));
    let sum: f64 = differences.clone().map(f64::from).sum();
    Difference {
        largest: differences.max().unwrap_or(0),
        mean: sum / found.as_raw().len() as f64,
    }
}

/// All images of a format, at least `count` of them.
fn assert_pixels(extension: &str, count: usize, largest: u8, mean: f64) {
    let names = images(extension);
    assert!(names.len() >= count, "only {names:?}");
    let wrong: Vec<String> = names
        .iter()
        .map(|name| (name, difference(name)))
        .filter(|(_, found)| found.largest > largest || found.mean > mean)
        .map(|(name, found)| format!("{name}: largest {}, mean {:.3}", found.largest, found.mean))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn png_is_exact() {
    assert_pixels("png", 20, 0, 0.0);
}

#[test]
fn gif_is_exact() {
    assert_pixels("gif", 6, 0, 0.0);
}

/// Widening 5 and 6 bits to 8, Pillow rounds down and the decoder here to the nearest.
#[test]
fn bmp_is_exact_but_for_16_bits_a_pixel() {
    let names = images("bmp");
    assert!(names.len() >= 7, "only {names:?}");
    for name in names {
        let tolerance = if ["555.bmp", "565.bmp"].contains(&name.as_str()) {
            1
        } else {
            0
        };
        assert!(difference(&name).largest <= tolerance, "{name}");
    }
}

#[test]
fn lossless_tiff_is_exact() {
    let names: Vec<String> = images("tiff").into_iter().filter(|name| name != "jpeg.tiff").collect();
    assert!(names.len() >= 13, "only {names:?}");
    for name in names {
        assert_eq!(difference(&name).largest, 0, "{name}");
    }
}

#[test]
fn lossless_webp_is_exact() {
    for name in [
        "lossless.webp",
        "lossless_alpha.webp",
        "animated.webp",
        "orientation_8.webp",
    ] {
        assert_eq!(difference(name).largest, 0, "{name}");
    }
}

#[test]
fn lossy_webp_is_within_a_rounding_error() {
    assert_pixels("webp", 6, 2, 0.5);
}

/// The inverse transform and the chroma filter round differently in libjpeg.
#[test]
fn jpeg_is_within_rounding_errors() {
    assert_pixels("jpg", 10, 4, 0.6);
    let found = difference("jpeg.tiff");
    assert!(
        found.largest <= 4 && found.mean <= 0.6,
        "jpeg.tiff: {}, {}",
        found.largest,
        found.mean
    );
}

#[test]
fn a_file_that_ends_early_is_corrupt() {
    let mut accepted = Vec::new();
    let names = ["png", "jpg", "gif", "bmp", "webp", "tiff"]
        .into_iter()
        .flat_map(images);
    // Half of these holds the first frame or page whole.
    for name in names.filter(|name| !name.starts_with("animated") && !name.starts_with("two_pages")) {
        let whole = read(&name);
        for kept in [whole.len() / 2, whole.len() * 9 / 10, 20] {
            match decode_named(&whole[..kept], &name, &DecodeLimits::default()) {
                Err(MediaError::Corrupt { .. }) => {}
                other => accepted.push(format!(
                    "{name}, {kept} of {}: {:?}",
                    whole.len(),
                    other.map(|_| "an image")
                )),
            }
        }
    }
    assert!(accepted.is_empty(), "{accepted:#?}");
}

#[test]
fn a_jpeg_without_its_end_marker_is_corrupt() {
    for name in ["420.jpg", "progressive.jpg", "orientation_6.jpg"] {
        let whole = read(name);
        let error = decode_named(&whole[..whole.len() - 2], name, &DecodeLimits::default()).expect_err(name);
        assert_eq!(
            error.to_string(),
            format!("{name}: corrupt: the image data ends too early")
        );
    }
}

#[test]
fn damaged_bytes_never_panic() {
    for name in ["png", "jpg", "gif", "bmp", "webp", "tiff"]
        .into_iter()
        .flat_map(images)
    {
        let whole = read(&name);
        for position in 0..whole.len().min(400) {
            let mut damaged = whole.clone();
            damaged[position] ^= 0xA5;
            let limits = DecodeLimits { max_pixels: 1 << 20 };
            match decode(&damaged, None, &limits, &name) {
                Ok(Media::Image(image)) => assert!(u64::from(image.width()) * u64::from(image.height()) <= 1 << 20),
                Ok(other) => panic!("{name}, byte {position}: {other:?}"),
                Err(error) => assert!(error.to_string().starts_with(&name), "{error}"),
            }
        }
    }
}

#[test]
fn the_pixel_limit_holds_for_every_format() {
    let limits = DecodeLimits {
        max_pixels: 45 * 29 - 1,
    };
    for name in [
        "rgb.png",
        "420.jpg",
        "interlaced.gif",
        "rgb.bmp",
        "lossy.webp",
        "lzw.tiff",
    ] {
        let error = decode_named(&read(name), name, &limits).expect_err(name);
        let message = format!("{name}: too large: 45 x 29 pixels; the limit is 1304 pixels");
        assert_eq!(error.to_string(), message);
    }
}

/// The TIFF says 45 x 29 pixels, the JPEG in it 16,000 x 16,000.
#[test]
fn a_jpeg_in_a_tiff_is_held_to_the_pixel_limit() {
    let mut bomb = read("jpeg.tiff");
    let frame = bomb
        .windows(2)
        .position(|pair| pair == [0xFF, 0xC0])
        .expect("a frame header");
    bomb[frame + 5..frame + 7].copy_from_slice(&16_000u16.to_be_bytes());
    bomb[frame + 7..frame + 9].copy_from_slice(&16_000u16.to_be_bytes());
    let error = decode_named(&bomb, "bomb.tiff", &DecodeLimits::default()).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "bomb.tiff: too large: 16000 x 16000 pixels; the limit is 100000000 pixels"
    );
}

/// CRC-32 over a chunk's kind and data.
fn png_checksum(chunk: &[u8]) -> [u8; 4] {
    let checksum = chunk.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 }
        })
    });
    (!checksum).to_be_bytes()
}

/// A zlib stream of `repeats` times 258 zeros: the literal 0, then a match of length 258 at distance 1 in 13 bits each.
fn deflated_zeros(repeats: usize) -> Vec<u8> {
    // The last block, with fixed codes. Of a number the lowest bit comes first, of a code the highest.
    let begin = [true, true, false];
    let literal_zero = [false, false, true, true, false, false, false, false];
    let longest_match = [
        true, true, false, false, false, true, false, true, false, false, false, false, false,
    ];
    let end = [false; 7];
    let matches = std::iter::repeat_n(longest_match, repeats).flatten();
    let bits: Vec<bool> = begin
        .into_iter()
        .chain(literal_zero)
        .chain(matches)
        .chain(end)
        .collect();
    let bytes = bits.chunks(8).map(|bits| {
        let set = bits.iter().enumerate().filter(|(_, bit)| **bit);
        set.fold(0, |byte, (place, _)| byte | 1 << place)
    });
    [0x78, 0x01].into_iter().chain(bytes).collect()
}

/// The most memory that this process ever held, in bytes.
#[cfg(target_os = "linux")]
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB")).expect("in kB");
    kilobytes.parse::<usize>().expect("a number") << 10
}

/// A colour profile of 4 MB that unfolds to 600 MB, in a PNG of 45 x 29 pixels. It is not read here, so nothing is lost.
#[cfg(target_os = "linux")]
#[test]
fn a_colour_profile_that_unfolds_takes_no_memory() {
    let image = read("rgb.png");
    let mut profile = b"iCCPbomb\0\0".to_vec();
    profile.extend(deflated_zeros(2_400_000));
    let mut bomb = image[..33].to_vec();
    bomb.extend((profile.len() as u32 - 4).to_be_bytes());
    bomb.extend(&profile);
    bomb.extend(png_checksum(&profile));
    bomb.extend(&image[33..]);

    let expected = decode_named(&image, "rgb.png", &DecodeLimits::default());
    let before = peak_memory();
    assert_eq!(decode_named(&bomb, "bomb.png", &DecodeLimits::default()), expected);
    let grown = peak_memory() - before;
    assert!(grown < 300 << 20, "{} MB", grown >> 20);
}

/// A PNG of a few bytes that claims 60,000 x 60,000 pixels is refused by its header.
#[test]
fn a_decompression_bomb_is_refused_before_it_unfolds() {
    let mut bomb = read("rgb.png");
    bomb[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let checksum = png_checksum(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum);
    let error = decode_named(&bomb, "bomb.png", &DecodeLimits::default()).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "bomb.png: too large: 60000 x 60000 pixels; the limit is 100000000 pixels"
    );
}
