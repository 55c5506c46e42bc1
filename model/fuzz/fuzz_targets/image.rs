//! Media of any content: decoding ends with pixels or text within the limits, or with an error of a readable length; and
//! what was decoded becomes an input of the model, or an error again.
#![no_main]

use std::io::Cursor;
use std::sync::LazyLock;

use image::{ImageFormat, ImageReader};
use libfuzzer_sys::{Corpus, fuzz_target};
use sightstream_model::error::MediaError;
use sightstream_model::media::{DecodeLimits, Media, decode};
use sightstream_model::processor::{Processor, ProcessorConfig, ProcessorOverrides};

const LIMITS: DecodeLimits = DecodeLimits { max_pixels: 1 << 20 };

/// Longer than any message that a person can read; dead letters carry it in a header.
const MOST_CHARACTERS: usize = 500;

/// What a server or a file's extension says that the bytes are. The last byte of the input chooses, so that a plain file
/// is a seed.
const MEDIA_TYPES: [Option<&str>; 8] = [
    None,
    None,
    Some("image/jpeg"),
    Some("image/*"),
    Some("text/plain"),
    Some("text/plain; charset=\"ISO-8859-1\""),
    Some("text/html"),
    Some("application/octet-stream"),
];

/// Small images, so that an execution is short.
static PROCESSOR: LazyLock<Processor> = LazyLock::new(|| {
    let overrides = ProcessorOverrides {
        min_pixels: Some(28 * 28),
        max_pixels: Some(56 * 56),
    };
    let config = ProcessorConfig::read(None, &overrides).expect("the limits are in order");
    Processor::new(include_bytes!("../../demo/tokenizer.json"), config).expect("the demo checkpoint has a tokenizer")
});

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(&chooser) = bytes.last() else {
        return Corpus::Reject;
    };
    let media_type = MEDIA_TYPES[usize::from(chooser) % MEDIA_TYPES.len()];
    let media = match decode(bytes, media_type, &LIMITS, "it") {
        Ok(media) => media,
        Err(error) => {
            readable(&error);
            return Corpus::Keep;
        }
    };
    match &media {
        Media::Text(text) => assert!(!text.is_empty() && text.len() <= 2 * bytes.len()),
        Media::Image(image) => {
            let pixels = u64::from(image.width()) * u64::from(image.height());
            assert!((1..=LIMITS.max_pixels).contains(&pixels), "{pixels} pixels");
            assert_eq!(image.as_raw().len() as u64, pixels * 3);
            if let Some((width, height)) = announced_size(bytes) {
                let upright = (image.width(), image.height()) == (width, height);
                let turned = (image.height(), image.width()) == (width, height);
                assert!(
                    upright || turned,
                    "{width} x {height} announced, {:?} decoded",
                    image.dimensions()
                );
            }
        }
        Media::Page(_) | Media::Clip(_) => unreachable!("only a reader opens documents and videos"),
    }
    match PROCESSOR.process(&media, None, "it") {
        Ok(input) => {
            assert!(!input.token_ids.is_empty());
            assert_eq!(input.vision.is_some(), matches!(media, Media::Image(_)));
            if let Some(vision) = input.vision {
                let patch_dim = PROCESSOR.config().patch_dim();
                assert_eq!(vision.patches.len(), vision.patch_count() * patch_dim);
                assert!(vision.patches.iter().all(|value| value.is_finite()));
                let [_, height, width] = vision.grid_thw.map(|side| side * PROCESSOR.config().patch_size);
                assert!(PROCESSOR.target().admits(width, height), "{width} x {height}");
            }
        }
        Err(error) => readable(&error),
    }
    Corpus::Keep
});

fn readable(error: &MediaError) {
    let length = error.to_string().chars().count();
    assert!(length <= MOST_CHARACTERS, "{length} characters: {error}");
}

/// What the headers say to another reader. JPEGs have a reader of their own in the model, and none here.
fn announced_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    match reader.format()? {
        ImageFormat::Jpeg => None,
        _ => reader.into_dimensions().ok(),
    }
}
