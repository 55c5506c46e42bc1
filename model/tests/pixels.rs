//! Pixels and patches are the reference's: Pillow's bicubic to the unit, transformers' patches to the bit.
//! model/reference/make_media_fixtures.py and make_fixtures.py make the expected values.

mod kits;

use std::fs::read;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use kits::Kind;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sightstream_model::media::Media;
use sightstream_model::processor::resize::{resize_bicubic, resize_for_model, smart_resize};
use sightstream_model::processor::{Processor, ProcessorConfig, ProcessorOverrides};

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn json(file: &str) -> Vec<Value> {
    let bytes = read(tests().join(file)).expect(file);
    serde_json::from_slice(&bytes).expect(file)
}

fn numbers(value: &Value) -> Vec<u32> {
    let numbers = value.as_array().expect("an array");
    numbers
        .iter()
        .map(|number| number.as_u64().expect("a number") as u32)
        .collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The noise of make_media_fixtures.py.
fn noise(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2].map(|channel: u32| {
            let mut value = x.wrapping_mul(73_856_093) ^ y.wrapping_mul(19_349_663) ^ channel.wrapping_mul(83_492_791);
            value ^= value >> 13;
            value = value.wrapping_mul(0x5BD1_E995);
            value ^= value >> 15;
            value as u8
        }))
    })
}

/// The blocks of make_media_fixtures.py, of these sides.
fn blocks(width: u32, height: u32, across: u32, down: u32) -> RgbImage {
    let noise = noise(width.div_ceil(across), height.div_ceil(down));
    RgbImage::from_fn(width, height, |x, y| match (y / down) % 2 {
        0 => Rgb([255; 3]),
        _ => *noise.get_pixel(x / across, y / down),
    })
}

fn processor(preprocessor: &str, overrides: ProcessorOverrides) -> Processor {
    let tokenizer = read(tests().join("fixtures/tokenizer.json")).expect("the fixture tokenizer");
    let config = ProcessorConfig::read(Some(preprocessor.as_bytes()), &overrides).expect("a valid configuration");
    Processor::new(&tokenizer, config).expect("a usable tokenizer")
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn bicubic_is_pillows_to_the_unit() {
    for case in json("formats/resize.json") {
        let (from, to) = (numbers(&case["from"]), numbers(&case["to"]));
        let image = match case.get("blocks").map(numbers) {
            Some(sides) => blocks(from[0], from[1], sides[0], sides[1]),
            None => noise(from[0], from[1]),
        };
        let resized = resize_bicubic(&image, to[0], to[1]);
        assert_eq!(
            sha256(resized.as_raw()),
            case["sha256"].as_str().expect("a digest"),
            "{from:?} to {to:?}"
        );
    }
}

#[test]
fn target_sizes_are_the_references() {
    let cases = json("formats/sizes.json");
    assert!(cases.len() > 500);
    for case in cases {
        let [height, width, least, most, rows, columns] = numbers(&case)[..] else {
            panic!("{case}")
        };
        assert_eq!(
            smart_resize(height, width, 28, least, most),
            (rows, columns),
            "{height} x {width}, {least}..{most}"
        );
    }
}

#[test]
fn patches_of_noise_are_transformers_to_the_bit() {
    for case in json("formats/patches.json") {
        let (size, limits) = (numbers(&case["size"]), numbers(&case["limits"]));
        let overrides = ProcessorOverrides {
            min_pixels: Some(limits[0]),
            max_pixels: Some(limits[1]),
        };
        let media = Media::Image(noise(size[0], size[1]));
        let input = processor("{}", overrides)
            .process(&media, None, "noise")
            .expect("an image is processed");
        let vision = input.vision.expect("an image has pixels");
        assert_eq!(vision.grid_thw[..], numbers(&case["grid"]), "{size:?}");
        assert_eq!(
            sha256(&little_endian(&vision.patches)),
            case["sha256"].as_str().expect("a digest"),
            "{size:?}"
        );
    }
}

/// The images and clips of every kit: files, decoded, resized and cut. JPEG may be off by the decoder's rounding.
#[test]
fn resized_pixels_and_patches_of_every_kit_are_the_references() {
    let (mut images, mut clips) = (0, 0);
    for kit in kits::all() {
        let processor = kit.encoder.processor();
        let config = processor.config();
        for case in kit
            .cases
            .iter()
            .filter(|case| !matches!(case.kind, Kind::Text | Kind::Video))
        {
            let place = format!("{} {}", kit.name, case.name);
            let tolerance = if case.is_jpeg() { 6 } else { 0 };

            let frames = kits::images(case);
            let resized: Vec<_> = frames
                .iter()
                .map(|frame| resize_for_model(frame, config.factor(), config.min_pixels, config.max_pixels))
                .collect();
            let expected = kit.reference(case, "resized");
            let (width, height) = resized[0].dimensions();
            let mut shape = vec![height as usize, width as usize, 3];
            if case.image.is_none() {
                shape.insert(0, frames.len());
            }
            assert_eq!(expected.dims(), shape, "{place}");
            let expected = expected.flatten_all().and_then(|samples| samples.to_vec1::<u8>());
            let found = resized.iter().flat_map(|frame| frame.as_raw());
            let differences: Vec<_> = std::iter::zip(found, expected.expect("bytes"))
                .map(|(found, expected)| found.abs_diff(expected))
                .collect();
            let mean = differences.iter().copied().map(f64::from).sum::<f64>() / differences.len() as f64;
            let largest = differences.into_iter().max().expect("an image has pixels");
            assert!(
                largest <= tolerance && mean <= 0.6,
                "{place}: off by up to {largest}, {mean:.3} on average"
            );

            let vision = kit.input(case).vision.expect("an image has pixels");
            assert_eq!(vision.grid_thw[..], kit.reference_u32(case, "grid_thw"), "{place}");
            let expected = kit.reference_f32(case, "patches");
            let dim = config.patch_dim();
            let rows = kit.reference_u32(case, "patch_rows");
            assert_eq!(expected.len(), rows.len() * dim, "{place}");
            for (row, expected) in rows.into_iter().zip(expected.chunks_exact(dim)) {
                let found = &vision.patches[row as usize * dim..][..dim];
                // One unit of a sample is at most 0.0151 after normalising.
                let tolerance = f32::from(tolerance) * 0.0151;
                let close =
                    std::iter::zip(found, expected).all(|(found, expected)| (found - expected).abs() <= tolerance);
                assert!(close, "{place}: patch {row}");
            }
            *(if case.image.is_none() { &mut clips } else { &mut images }) += 1;
        }
    }
    assert!(
        images >= 25 && clips >= 15,
        "only {images} images and {clips} clips in the kits"
    );
}
