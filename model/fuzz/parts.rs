//! What the targets of media with parts share: a medium of any content is asked for its parts and for some of them, and
//! answers within the limits or with an error of a readable length, however often and in whichever order it is asked.

use sightstream_model::error::MediaError;
use sightstream_model::fetch::Content;
use sightstream_model::media::{Answer, DecodeLimits, Media, Parts, Question, Reader, Reading, Segmentation};
use sightstream_model::processor::PixelTarget;
use sightstream_model::reference::Fragment;

/// Longer than any message that a person can read; dead letters carry it in a header.
const MOST_CHARACTERS: usize = 500;

const LIMITS: DecodeLimits = DecodeLimits { max_pixels: 1 << 20 };

const TARGET: PixelTarget = PixelTarget {
    factor: 28,
    min_pixels: 784,
    max_pixels: 4 * 784,
};

/// Asks for the whole, its parts, and `fragments`, twice over.
pub fn ask(bytes: &[u8], media_type: Option<&str>, segmentation: &Segmentation, fragments: &[Fragment]) {
    let content = Content::Memory(bytes.to_vec().into());
    let mut reader = Reader::default();
    let mut read = |question, fragment: Option<&Fragment>| {
        let reading = Reading {
            media_type,
            fragment,
            question,
            limits: &LIMITS,
            segmentation,
            name: "it",
        };
        let answer = reader.read(&content, &reading, &|image| TARGET.fit_image(image));
        if let Err(error) = &answer {
            readable(error);
        }
        answer.ok()
    };
    for _ in 0..2 {
        let parts = read(Question::Parts, None);
        let whole = read(Question::Input, None);
        // Asked for its parts, a medium answers with nothing else.
        assert!(matches!(parts, None | Some(Answer::Parts(_))));
        if let (Some(parts), Some(Answer::Parts(_))) = (&parts, &whole) {
            assert_eq!(Some(parts), whole.as_ref());
        }
        for answer in [&parts, &whole].into_iter().flatten() {
            if let Answer::Parts(parts) = answer {
                assert!(parts.are_possible(), "{parts:?}");
            }
        }
        if let Some(Answer::Parts(parts)) = &whole {
            assert_ne!(*parts, Parts::Whole, "what is one input is that input");
            let mut few = parts.fragments(segmentation).take(3);
            let first = few.next().expect("what has parts has a first one");
            check(read(Question::Input, Some(&first)), segmentation);
            for fragment in few {
                check(read(Question::Input, Some(&fragment)), segmentation);
            }
        }
        check(whole, segmentation);
        for fragment in fragments {
            check(read(Question::Input, Some(fragment)), segmentation);
        }
    }
}

fn check(answer: Option<Answer>, segmentation: &Segmentation) {
    let images = match answer {
        Some(Answer::Media(Media::Clip(frames))) => {
            assert!(
                (1..=segmentation.frames as usize).contains(&frames.len()),
                "{} frames",
                frames.len()
            );
            frames
        }
        Some(Answer::Media(Media::Page(image) | Media::Image(image))) => vec![image],
        Some(Answer::Media(Media::Text(_)) | Answer::Parts(_)) | None => return,
    };
    for image in &images {
        assert!(TARGET.admits(image.width(), image.height()), "{:?}", image.dimensions());
        assert_eq!(image.dimensions(), images[0].dimensions());
    }
}

fn readable(error: &MediaError) {
    let length = error.to_string().chars().count();
    assert!(length <= MOST_CHARACTERS, "{length} characters: {error}");
}
