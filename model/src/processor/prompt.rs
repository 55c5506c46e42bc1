//! What the language model reads, as VLM2Vec-V2 writes it: no chat template, nothing appended.

use crate::media::Media;

/// Stands for an image's pixels.
pub const IMAGE_PAD: &str = "<|image_pad|>";

/// Stands for a video's pixels.
pub const VIDEO_PAD: &str = "<|video_pad|>";

/// The instruction of an image that comes without one.
pub const DEFAULT_IMAGE_INSTRUCTION: &str = "Represent the given image.";

/// The prompt: the instruction; after it, if there is text, a space and the text; before it, if there is an image, the pad
/// token and a space.
///
/// Without an instruction (`None`) an image has [`DEFAULT_IMAGE_INSTRUCTION`], and text stands alone, as it does under an
/// empty one.
pub fn prompt(media: &Media, instruction: Option<&str>) -> String {
    match media {
        Media::Image(_) | Media::Page(_) | Media::Clip(_) => {
            format!("{IMAGE_PAD} {}", instruction.unwrap_or(DEFAULT_IMAGE_INSTRUCTION))
        }
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
}
