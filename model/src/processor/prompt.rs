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

/// The prompt: the instruction; after it, if there is text, a space and the text; before it, if there are pixels, their pad
/// token and a space. A page is an image.
///
/// Without an instruction (`None`) pixels have that of their kind ([`DEFAULT_IMAGE_INSTRUCTION`],
/// [`DEFAULT_PAGE_INSTRUCTION`], [`DEFAULT_VIDEO_INSTRUCTION`]), and text stands alone, as it does under an empty one.
pub fn prompt(media: &Media, instruction: Option<&str>) -> String {
    let with_pixels = |pad, default| format!("{pad} {}", instruction.unwrap_or(default));
    match media {
        Media::Image(_) => with_pixels(IMAGE_PAD, DEFAULT_IMAGE_INSTRUCTION),
        Media::Page(_) => with_pixels(IMAGE_PAD, DEFAULT_PAGE_INSTRUCTION),
        Media::Clip(_) => with_pixels(VIDEO_PAD, DEFAULT_VIDEO_INSTRUCTION),
        Media::Text(text) => match instruction.unwrap_or_default() {
            "" => text.clone(),
            instruction if text.is_empty() => instruction.to_owned(),
            instruction => format!("{instruction} {text}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
