//! What the language model reads, as VLM2Vec-V2 writes it: no chat template, nothing appended.

use crate::media::Media;

/// Stands for an image's pixels.
pub const IMAGE_PAD: &str = "<|image_pad|>";

/// Stands for a video's pixels.
pub const VIDEO_PAD: &str = "<|video_pad|>";

/// The instruction of an image that comes without one.
pub const DEFAULT_IMAGE_INSTRUCTION: &str = "Represent the given image.";

/// The instruction of a document's page that comes without one.
pub const DEFAULT_PAGE_INSTRUCTION: &str = "Understand the content of the provided document image.";

/// The instruction of a video that comes without one.
pub const DEFAULT_VIDEO_INSTRUCTION: &str = "Understand the content of the provided video.";

/// The words of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words<'a> {
    /// What to do with the medium, and a text that comes with it.
    Given {
        /// The instruction.
        instruction: Option<&'a str>,
        /// The text.
        text: Option<&'a str>,
    },
    /// Words as a dataset has them, to the letter, with the medium among them.
    Around {
        /// What stands before the medium.
        before: &'a str,
        /// What stands after it.
        after: &'a str,
    },
}

impl<'a> Words<'a> {
    /// An instruction alone.
    pub fn instruction(instruction: Option<&'a str>) -> Self {
        Self::Given {
            instruction,
            text: None,
        }
    }

    /// Each of its texts.
    pub(super) fn texts(self) -> [&'a str; 2] {
        match self {
            Self::Given { instruction, text } => [instruction.unwrap_or_default(), text.unwrap_or_default()],
            Self::Around { before, after } => [before, after],
        }
    }
}

/// The prompt: the instruction; after it, if there is text, a space and the text; before it, if there are pixels, their pad
/// token and a space. A page is an image. The text of a medium that is text stands before one that comes with it.
///
/// Without an instruction (`None`) pixels have that of their kind ([`DEFAULT_IMAGE_INSTRUCTION`],
/// [`DEFAULT_PAGE_INSTRUCTION`], [`DEFAULT_VIDEO_INSTRUCTION`]) unless a text comes with them, and text stands alone, as it
/// does under an empty one. Among [`Words::Around`] the pad token, or the medium's text, stands where they say.
pub fn prompt(media: &Media, words: Words<'_>) -> String {
    let (medium, default) = match media {
        Media::Image(_) => (IMAGE_PAD, DEFAULT_IMAGE_INSTRUCTION),
        Media::Page(_) => (IMAGE_PAD, DEFAULT_PAGE_INSTRUCTION),
        Media::Clip(_) => (VIDEO_PAD, DEFAULT_VIDEO_INSTRUCTION),
        Media::Text(text) => (text.as_str(), ""),
    };
    let (instruction, text) = match words {
        Words::Around { before, after } => return format!("{before}{medium}{after}"),
        Words::Given { instruction, text } => (instruction, text.unwrap_or_default()),
    };
    if matches!(media, Media::Text(_)) {
        return joined([instruction.unwrap_or_default(), medium, text]);
    }
    match instruction {
        None if !text.is_empty() => format!("{medium} {text}"),
        instruction => format!("{medium} {}", joined([instruction.unwrap_or(default), text, ""])),
    }
}

/// The texts that are not empty, with a space between them.
fn joined(texts: [&str; 3]) -> String {
    let texts: Vec<&str> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Under an instruction alone.
    fn prompt(media: &Media, instruction: Option<&str>) -> String {
        super::prompt(media, Words::instruction(instruction))
    }

    #[test]
    fn text_follows_the_instruction_and_pixels_precede_it() {
        let text = Media::Text("red bicycle".into());
        assert_eq!(prompt(&text, None), "red bicycle");
        assert_eq!(prompt(&text, Some("")), "red bicycle");
        assert_eq!(prompt(&text, Some("Find an image:")), "Find an image: red bicycle");
        assert_eq!(
            prompt(&Media::Text(String::new()), Some("Find an image:")),
            "Find an image:"
        );
        let image = Media::Image(image::RgbImage::new(1, 1));
        assert_eq!(prompt(&image, None), "<|image_pad|> Represent the given image.");
        assert_eq!(prompt(&image, Some("What is it?")), "<|image_pad|> What is it?");
    }

    #[test]
    fn pages_and_videos_have_instructions_of_their_own() {
        let page = Media::Page(image::RgbImage::new(1, 1));
        assert_eq!(
            prompt(&page, None),
            "<|image_pad|> Understand the content of the provided document image."
        );
        assert_eq!(prompt(&page, Some("")), "<|image_pad|> ");
        let clip = Media::Clip(vec![image::RgbImage::new(1, 1)]);
        assert_eq!(
            prompt(&clip, None),
            "<|video_pad|> Understand the content of the provided video."
        );
        assert_eq!(prompt(&clip, Some("What moves?")), "<|video_pad|> What moves?");
    }

    #[test]
    fn a_text_beside_pixels_follows_the_instruction_and_takes_the_place_of_the_default() {
        let image = Media::Image(image::RgbImage::new(1, 1));
        let with = |media, instruction, text| super::prompt(media, Words::Given { instruction, text });
        assert_eq!(
            with(&image, Some("Answer:"), Some("How many?")),
            "<|image_pad|> Answer: How many?"
        );
        assert_eq!(with(&image, Some(""), Some("How many?")), "<|image_pad|> How many?");
        assert_eq!(with(&image, None, Some("How many?")), "<|image_pad|> How many?");
        assert_eq!(with(&image, None, Some("")), "<|image_pad|> Represent the given image.");
        let text = Media::Text("red".into());
        assert_eq!(with(&text, Some("Find:"), Some("bicycle")), "Find: red bicycle");
        assert_eq!(with(&text, None, Some("bicycle")), "red bicycle");
    }

    #[test]
    fn words_around_a_medium_stay_as_they_are() {
        let words = Words::Around {
            before: "Look: ",
            after: "\nWhat is it?",
        };
        let frame = || image::RgbImage::new(1, 1);
        let with = |media: &Media| super::prompt(media, words);
        assert_eq!(with(&Media::Page(frame())), "Look: <|image_pad|>\nWhat is it?");
        assert_eq!(with(&Media::Clip(vec![frame()])), "Look: <|video_pad|>\nWhat is it?");
        assert_eq!(with(&Media::Text("red".into())), "Look: red\nWhat is it?");
    }
}
