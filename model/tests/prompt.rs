//! Prompts and tokens are VLM2Vec-V2's. model/reference/make_fixtures.py makes the expected ones.

mod kits;

use image::RgbImage;
use kits::{Kind, Kit};
use sightstream_model::media::Media;
use sightstream_model::processor::prompt::prompt;
use sightstream_model::processor::{Processor, ProcessorConfig, ProcessorOverrides, VisionKind, Words};
use sightstream_model::service::input_cost;

#[test]
fn prompts_and_tokens_of_every_kit_are_the_references() {
    let mut seen = 0;
    for kit in kits::all() {
        for case in &kit.cases {
            let kind = match case.kind {
                Kind::Text => None,
                Kind::Image | Kind::Page => Some(VisionKind::Image),
                Kind::Clip | Kind::Film => Some(VisionKind::Video),
                Kind::Video | Kind::Tokens => continue,
            };
            let place = format!("{} {}", kit.name, case.name);
            let written = prompt(&kits::media(case), Words::instruction(case.instruction.as_deref()));
            assert_eq!(Some(written.as_str()), case.prompt.as_deref(), "{place}");
            let input = kit.input(case);
            assert_eq!(input.token_ids, kit.reference_u32(case, "token_ids"), "{place}");
            assert_eq!(input.tokens(), input.token_ids.len());
            assert_eq!(input.vision.map(|vision| vision.kind), kind, "{place}");
            seen += 1;
        }
    }
    assert!(seen >= 60, "only {seen} prompts in the kits");
}

#[test]
fn unusable_text_is_refused() {
    let processor = Kit::load("grouped", None).encoder.processor();
    let text = |text: &str, instruction| {
        processor
            .process(&Media::Text(text.into()), instruction, "a.txt")
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
            "a.txt: unusable text: it holds <|image_pad|>, which stands for pixels"
        )
    );
    let image = Media::Image(RgbImage::new(30, 30));
    let instruction = Some("Compare with <|video_pad|>");
    assert_eq!(
        processor
            .process(&image, instruction, "a.png")
            .expect_err("pixels")
            .to_string(),
        "a.png: unusable text: it holds <|video_pad|>, which stands for pixels"
    );
    let (reason, message) = text(&"red bicycle ".repeat(20_000), None).expect_err("too long");
    assert_eq!(reason, "too_large");
    assert!(message.contains("the limit is 32768"), "{message}");
    assert!(message.len() < 200, "the message does not repeat the text");
}

#[test]
fn text_of_more_than_a_mebibyte_is_refused_before_it_is_tokenised() {
    let processor = Kit::load("grouped", None).encoder.processor();
    let (half, too_much) = ("a ".repeat(256 << 10), "a ".repeat(32 << 20));
    let refused = |media: Media, instruction| {
        processor
            .process(&media, instruction, "a")
            .expect_err("too long")
            .to_string()
    };
    assert_eq!(
        refused(Media::Text(too_much), None),
        "a: too large: 67108864 bytes of text; the limit is 1048576"
    );
    let instruction = format!("{half}!");
    assert_eq!(
        refused(Media::Text(half.clone()), Some(&instruction)),
        "a: too large: 1048577 bytes of text; the limit is 1048576"
    );
    // One byte less is for the tokenizer to count.
    assert!(refused(Media::Text(half.clone()), Some(&half)).contains("tokens; the limit is 32768"));
    let image = Media::Image(RgbImage::new(30, 30));
    assert!(refused(image, Some(&half.repeat(3))).contains("bytes of text"));
}

#[test]
fn a_clip_is_one_input_of_half_as_many_grids_as_frames() {
    let processor = Kit::load("grouped", None).encoder.processor();
    let clip = |frames| {
        let clip = Media::Clip(vec![RgbImage::new(84, 56); frames]);
        processor.process(&clip, None, "a.mkv")
    };
    for (frames, time) in [(1, 1), (2, 1), (3, 2), (5, 3), (8, 4), (9, 5)] {
        let input = clip(frames).expect("processed");
        let vision = input.vision.as_ref().expect("a clip has pixels");
        assert_eq!((vision.kind, vision.grid_thw), (VisionKind::Video, [time, 4, 6]));
        let pads = input.token_ids.iter().filter(|&&token| token == 767).count();
        assert_eq!(pads, time as usize * 6, "{frames} frames");
    }
    assert_eq!(
        clip(0).expect_err("no frames").to_string(),
        "a.mkv: corrupt: it has no frames"
    );
    let uneven = Media::Clip(vec![RgbImage::new(84, 56), RgbImage::new(56, 84)]);
    assert_eq!(
        processor
            .process(&uneven, None, "a.mkv")
            .expect_err("uneven")
            .to_string(),
        "a.mkv: corrupt: its frames are of several sizes"
    );
    let largest = processor.largest_clip(8).expect("processed");
    let image = processor.largest_image().expect("processed");
    assert_eq!(input_cost(&largest) - 1, (input_cost(&image) - 1) * 4);
    let error = processor.largest_clip(4200).expect_err("too many").to_string();
    assert!(error.starts_with("the largest clip: too large: 3360"), "{error}");
}

#[test]
fn a_tokenizer_without_a_video_token_does_for_all_but_videos() {
    let tokenizer = std::fs::read_to_string(kits::fixtures().join("tokenizer.json")).expect("the kits' tokenizer");
    let without = tokenizer.replace("<|video_pad|>", "<|other_pad|>");
    let config = ProcessorConfig::read(None, &ProcessorOverrides::default()).expect("the defaults");
    let processor = Processor::new(without.as_bytes(), config).expect("loads");
    let frame = RgbImage::new(56, 56);
    assert!(processor.process(&Media::Page(frame.clone()), None, "a.pdf").is_ok());
    let refused = processor.process(&Media::Clip(vec![frame]), None, "a.mkv");
    assert_eq!(
        refused.expect_err("no video").to_string(),
        "a.mkv: not supported: it is a video, and the checkpoint's tokenizer has no token <|video_pad|>"
    );
}

#[test]
fn pixels_stand_among_words_once_and_where_these_say() {
    let processor = Kit::load("grouped", None).encoder.processor();
    let image = Media::Image(RgbImage::new(56, 56));
    let pack = |before, after| {
        let fitted = processor.target().fit(&image);
        processor.pack_words(&fitted, Words::Around { before, after }, "a.png")
    };
    let text = |text: &str| {
        processor
            .process(&Media::Text(text.into()), None, "text")
            .expect("text")
            .token_ids
    };
    let input = pack("Find this:", "red").expect("packed");
    let grid = input.vision.as_ref().expect("pixels").grid_thw;
    let pads = grid.iter().product::<u32>() as usize / 4;
    let pad = pack("", "").expect("packed").token_ids[0];
    let expected = [text("Find this:"), vec![pad; pads], text("red")].concat();
    assert_eq!(input.token_ids, expected);
    let refused = pack("Find <|image_pad|>", "red").expect_err("twice");
    assert_eq!(refused.reason(), "text");
}
