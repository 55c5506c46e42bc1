//! Videos through the reader: which are one input, and which have parts.

use image::RgbImage;
use sightstream_model::error::MediaError;
use sightstream_model::fetch::Content;
use sightstream_model::media::{Answer, DecodeLimits, Media, Parts, Question, Reader, Reading, Segmentation};
use sightstream_model::reference::Fragment;

use crate::kit::{Clip, TEN_SECONDS, content, made};

fn ask(
    reader: &mut Reader,
    content: &Content,
    fragment: Option<Fragment>,
    question: Question,
) -> Result<Answer, MediaError> {
    let segmentation = Segmentation {
        longest_clip: 8.0,
        window: 3.0,
        ..Segmentation::default()
    };
    let reading = Reading {
        media_type: None,
        fragment: fragment.as_ref(),
        question,
        limits: &DecodeLimits::default(),
        segmentation: &segmentation,
        name: "a video",
    };
    reader.read(content, &reading, &|frame| frame)
}

fn span(start: f64, end: f64) -> Option<Fragment> {
    Some(Fragment::Time { start, end: Some(end) })
}

fn frames(answer: Result<Answer, MediaError>) -> Vec<RgbImage> {
    match answer {
        Ok(Answer::Media(Media::Clip(frames))) => frames,
        other => panic!("{other:?}"),
    }
}

fn in_memory(clip: &Clip) -> Content {
    Content::Memory(std::fs::read(&clip.path).expect("the file").into())
}

#[test]
fn a_long_video_has_windows() {
    let clip = made(TEN_SECONDS, "-c:v libx264 -pix_fmt yuv420p", "a.mp4");
    let (mut reader, content) = (Reader::default(), content(&clip.path));
    let whole = ask(&mut reader, &content, None, Question::Input).expect("an answer");
    let Answer::Parts(parts @ Parts::Windows { duration }) = whole else {
        panic!("{whole:?}");
    };
    assert!((duration - 10.0).abs() < 1e-6);
    assert_eq!(
        parts
            .fragments(&Segmentation {
                window: 3.0,
                ..Segmentation::default()
            })
            .count(),
        4
    );
    assert_eq!(
        ask(&mut reader, &content, None, Question::Parts),
        Ok(Answer::Parts(parts))
    );
    for (start, end) in [(0.0, 3.0), (3.0, 6.0), (6.0, 9.0), (9.0, 10.0)] {
        assert_eq!(
            frames(ask(&mut reader, &content, span(start, end), Question::Input)).len(),
            8
        );
    }
    let error = ask(&mut reader, &content, span(12.0, 15.0), Question::Input).expect_err("it is past the end");
    assert_eq!(
        error.to_string(),
        "a video: not supported: the video ends at 10 s; there is no frame in 12-15 s"
    );
    let error = ask(&mut reader, &content, Some(Fragment::Page(2)), Question::Input).expect_err("a video has no pages");
    assert!(error.to_string().contains("no page"), "{error}");
}

/// Every window shows something, though in few of them a picture begins.
#[test]
fn every_window_of_a_slideshow_has_a_frame() {
    let clip = made(
        "testsrc2=size=96x60:rate=1/10:duration=40",
        "-c:v libx264 -pix_fmt yuv420p",
        "a.mkv",
    );
    let (mut reader, content) = (Reader::default(), content(&clip.path));
    let Ok(Answer::Parts(parts)) = ask(&mut reader, &content, None, Question::Parts) else {
        panic!("it has windows");
    };
    let segmentation = Segmentation {
        window: 3.0,
        ..Segmentation::default()
    };
    let mut pictures: Vec<RgbImage> = Vec::new();
    assert!(parts.count(&segmentation) >= 11, "{parts:?}");
    for fragment in parts.fragments(&segmentation) {
        pictures.extend(frames(ask(&mut reader, &content, Some(fragment), Question::Input)));
    }
    assert_eq!(pictures.len(), parts.count(&segmentation));
    pictures.dedup();
    assert_eq!(pictures.len(), 4);
}

#[test]
fn a_short_video_is_one_clip() {
    let clip = made(
        "testsrc2=size=96x60:rate=10:duration=5",
        "-c:v libx264 -pix_fmt yuv420p",
        "a.mp4",
    );
    let (mut reader, content) = (Reader::default(), content(&clip.path));
    assert_eq!(
        ask(&mut reader, &content, None, Question::Parts),
        Ok(Answer::Parts(Parts::Whole))
    );
    assert_eq!(frames(ask(&mut reader, &content, None, Question::Input)).len(), 8);
}

#[test]
fn an_animation_is_a_clip_and_a_still_image_stays_one() {
    for (name, encoding) in [("a.gif", ""), ("a.webp", "-c:v libwebp_anim -lossless 1")] {
        let mut reader = Reader::default();
        let moving = made("testsrc2=size=96x60:rate=10:duration=2", encoding, name);
        let content = in_memory(&moving);
        assert_eq!(
            frames(ask(&mut reader, &content, None, Question::Input)).len(),
            8,
            "{name}"
        );
        assert_eq!(
            frames(ask(&mut reader, &content, span(0.0, 0.3), Question::Input)).len(),
            3,
            "{name}"
        );
        assert_eq!(
            ask(&mut reader, &content, None, Question::Parts),
            Ok(Answer::Parts(Parts::Whole))
        );

        let still = made(
            "testsrc2=size=96x60:rate=10:duration=2",
            &format!("-frames:v 1 {encoding}"),
            name,
        );
        let content = in_memory(&still);
        let answer = ask(&mut reader, &content, None, Question::Input);
        assert!(
            matches!(answer, Ok(Answer::Media(Media::Image(_)))),
            "{name}: {answer:?}"
        );
        let error = ask(&mut reader, &content, span(0.0, 1.0), Question::Input).expect_err("no time");
        assert!(error.to_string().contains("an image has no span of time"), "{error}");
        assert_eq!(
            ask(&mut reader, &content, None, Question::Parts),
            Ok(Answer::Parts(Parts::Whole))
        );
    }
    let mut reader = Reader::default();
    let long = made("testsrc2=size=96x60:rate=2:duration=12", "", "a.gif");
    let answer = ask(&mut reader, &in_memory(&long), None, Question::Input);
    assert!(matches!(answer, Ok(Answer::Parts(Parts::Windows { .. }))), "{answer:?}");
}
