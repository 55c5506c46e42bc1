//! Prompts and tokens are VLM2Vec-V2's. model/reference/make_fixtures.py makes the expected ones.

use std::fs::read;
use std::path::{Path, PathBuf};

use image::RgbImage;
use safetensors::SafeTensors;
use serde_json::Value;
use sightstream_model::media::{DecodeLimits, Media, decode};
use sightstream_model::processor::prompt::prompt;
use sightstream_model::processor::{Processor, ProcessorConfig, ProcessorOverrides, VisionKind};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn processor(kit: &str) -> Processor {
    let preprocessor = read(fixtures().join(kit).join("preprocessor_config.json")).expect(kit);
    let config = ProcessorConfig::read(Some(&preprocessor), &ProcessorOverrides::default()).expect(kit);
    Processor::new(&read(fixtures().join("tokenizer.json")).expect("the tokenizer"), config).expect("usable")
}

fn media(case: &Value) -> Media {
    match case["image"].as_str() {
        Some(file) => {
            let content = read(fixtures().join("media").join(file)).expect(file);
            decode(&content, None, &DecodeLimits::default(), file).expect(file)
        }
        None => Media::Text(case["text"].as_str().expect("a text case has a text").into()),
    }
}

#[test]
fn prompts_and_tokens_of_every_kit_are_the_references() {
    let mut seen = 0;
    for kit in ["grouped", "wide_heads", "single_kv"] {
        let processor = processor(kit);
        let reference = read(fixtures().join(kit).join("reference.safetensors")).expect(kit);
        let reference = SafeTensors::deserialize(&reference).expect(kit);
        let cases = read(fixtures().join(kit).join("cases.json")).expect(kit);
        let cases: Vec<Value> = serde_json::from_slice(&cases).expect(kit);
        for case in cases
            .iter()
            .filter(|case| case["kind"] == "text" || case["kind"] == "image")
        {
            let name = case["name"].as_str().expect("a case has a name");
            let (media, instruction) = (media(case), case["instruction"].as_str());
            assert_eq!(
                prompt(&media, instruction),
                case["prompt"].as_str().expect("a prompt"),
                "{kit}/{name}"
            );
            let tensor = reference.tensor(&format!("{name}.token_ids")).expect(name);
            let (expected, _) = tensor.data().as_chunks();
            let expected: Vec<u32> = expected.iter().map(|&id| i64::from_le_bytes(id) as u32).collect();
            let input = processor.process(&media, instruction).expect(name);
            assert_eq!(input.token_ids, expected, "{kit}/{name}");
            assert_eq!(input.tokens(), expected.len());
            assert_eq!(
                input.vision.map(|vision| vision.kind),
                case["image"].as_str().map(|_| VisionKind::Image)
            );
            seen += 1;
        }
    }
    assert!(seen >= 40, "only {seen} prompts in the kits");
}

#[test]
fn unusable_text_is_refused() {
    let processor = processor("grouped");
    let text = |text: &str, instruction| {
        processor
            .process(&Media::Text(text.into()), instruction)
            .map_err(|error| (error.reason(), error.to_string()))
    };
    assert_eq!(text("", None).expect_err("no token").0, "text");
    assert_eq!(text("", Some("")).expect_err("no token").0, "text");
    assert!(text("", Some("Find an image:")).is_ok());
    let (reason, message) = text("a <|image_pad|> b", None).expect_err("pixels");
    assert_eq!(
        (reason, message.as_str()),
        (
            "text",
            "a <|image_pad|> b: unusable text: it holds <|image_pad|>, which stands for pixels"
        )
    );
    let image = Media::Image(RgbImage::new(30, 30));
    let instruction = Some("Compare with <|video_pad|>");
    assert_eq!(
        processor.process(&image, instruction).expect_err("pixels").reason(),
        "text"
    );
    let (reason, message) = text(&"red bicycle ".repeat(20_000), None).expect_err("too long");
    assert_eq!(reason, "too_large");
    assert!(message.contains("the limit is 32768"), "{message}");
    assert!(message.len() < 200, "the message does not repeat the text");
}
