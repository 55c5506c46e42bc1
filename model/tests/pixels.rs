//! Pixels and patches are the reference's: Pillow's bicubic to the unit, transformers' patches to the bit.
//! model/reference/make_media_fixtures.py and make_fixtures.py make the expected values.

use std::fs::read;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use safetensors::SafeTensors;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sightstream_model::media::{DecodeLimits, Media, decode};
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
        let image = noise(from[0], from[1]);
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
            .process(&media, None)
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

fn bytes<'a>(tensors: &'a SafeTensors<'_>, name: &str) -> &'a [u8] {
    tensors.tensor(name).expect(name).data()
}

fn integers(tensors: &SafeTensors<'_>, name: &str) -> Vec<i64> {
    let (chunks, _) = bytes(tensors, name).as_chunks();
    chunks.iter().map(|&chunk| i64::from_le_bytes(chunk)).collect()
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let (chunks, _) = bytes(tensors, name).as_chunks();
    chunks.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect()
}

/// The images of every kit: files, decoded, resized and cut. JPEG may be off by the decoder's rounding.
#[test]
fn resized_pixels_and_patches_of_every_kit_are_the_references() {
    let mut seen = 0;
    for kit in ["grouped", "wide_heads", "single_kv"] {
        let folder = tests().join("fixtures").join(kit);
        let preprocessor = std::fs::read_to_string(folder.join("preprocessor_config.json")).expect(kit);
        let processor = processor(&preprocessor, ProcessorOverrides::default());
        let reference = read(folder.join("reference.safetensors")).expect(kit);
        let reference = SafeTensors::deserialize(&reference).expect(kit);
        for case in json(&format!("fixtures/{kit}/cases.json")) {
            let Some(file) = case["image"].as_str() else { continue };
            let name = case["name"].as_str().expect("a case has a name");
            let content = read(tests().join("fixtures/media").join(file)).expect(file);
            let media = decode(&content, None, &DecodeLimits::default(), file).expect(file);
            let Media::Image(image) = &media else {
                panic!("{file} is an image")
            };
            let tolerance = if file.ends_with(".jpg") { 6 } else { 0 };

            let config = processor.config();
            let resized = resize_for_model(image, config.factor(), config.min_pixels, config.max_pixels);
            let shape = reference
                .tensor(&format!("{name}.resized"))
                .expect(name)
                .shape()
                .to_vec();
            assert_eq!(
                [resized.height() as usize, resized.width() as usize, 3],
                shape[..],
                "{kit}/{name}"
            );
            let expected = bytes(&reference, &format!("{name}.resized"));
            let differences = resized
                .as_raw()
                .iter()
                .zip(expected)
                .map(|(&found, &expected)| found.abs_diff(expected));
            let mean = differences.clone().map(f64::from).sum::<f64>() / expected.len() as f64;
            let largest = differences.max().expect("an image has pixels");
            assert!(
                largest <= tolerance && mean <= 0.6,
                "{kit}/{name}: off by up to {largest}, {mean:.3} on average"
            );

            let vision = processor
                .process(&media, None)
                .expect(name)
                .vision
                .expect("an image has pixels");
            let grid = integers(&reference, &format!("{name}.grid_thw"));
            assert_eq!(vision.grid_thw.map(i64::from)[..], grid, "{kit}/{name}");
            let expected = floats(&reference, &format!("{name}.patches"));
            let dim = config.patch_dim();
            let rows = integers(&reference, &format!("{name}.patch_rows"));
            for (row, expected) in rows.iter().zip(expected.chunks_exact(dim)) {
                let found = &vision.patches[*row as usize * dim..][..dim];
                // One unit of a sample is at most 0.0151 after normalising.
                let tolerance = f32::from(tolerance) * 0.0151;
                let close = found
                    .iter()
                    .zip(expected)
                    .all(|(found, expected)| (found - expected).abs() <= tolerance);
                assert!(close, "{kit}/{name}: patch {row}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 25, "only {seen} images in the kits");
}
