//! From bytes to a medium: what they are is seen by their content, then they are decoded.

mod counters;
pub mod document;
mod failure;
pub mod image;
mod parts;
mod reader;
pub mod video;

use std::borrow::Cow;

use ::image::{ImageFormat, RgbImage};
use serde::{Deserialize, Serialize};

use crate::error::MediaError;
use crate::kind::{HEAD, Kind};
use crate::reference::Fragment;
pub(crate) use counters::{COUNTERS, Known, describe as describe_counters};
pub use failure::Failure;
pub use parts::{Parts, Segmentation};
pub use reader::{Answer, Question, Reader, Reading};

/// What is read here, for messages.
const READABLE: &str = "images (JPEG, PNG, WebP, GIF, BMP, TIFF), videos, PDF documents and text can be read";

/// A decoded medium.
#[derive(Debug, Clone, PartialEq)]
pub enum Media {
    /// Text, UTF-8, without a byte order mark.
    Text(String),
    /// An image: 8-bit RGB, upright.
    Image(RgbImage),
    /// A page of a document: 8-bit RGB.
    Page(RgbImage),
    /// Frames of a video, in order: 8-bit RGB, upright, all of one size.
    Clip(Vec<RgbImage>),
}

impl Media {
    /// Refuses a part of a medium that has no parts: text and images are taken whole. `name` is the redacted reference.
    ///
    /// # Errors
    /// [`MediaError::Unsupported`] where `fragment` names a span of time or a page.
    pub fn whole(self, fragment: Option<&Fragment>, name: &str) -> Result<Self, MediaError> {
        let Some(fragment) = fragment else { return Ok(self) };
        let kind = match self {
            Self::Text(_) => "text",
            Self::Image(_) => "an image",
            Self::Page(_) => "a page",
            Self::Clip(_) => "an animation",
        };
        let part = match fragment {
            Fragment::Time { .. } => "span of time (#t=)",
            Fragment::Page(_) => "page (#page=)",
        };
        Err(MediaError::Unsupported {
            name: name.to_owned(),
            message: format!("{kind} has no {part}"),
        })
    }
}

/// What a medium may hold once decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecodeLimits {
    /// The most pixels, width times height. It is checked before they are allocated, so a small file that claims to be a
    /// huge image costs nothing. Decoding holds up to 12 bytes a pixel at its peak: what the decoder keeps (8 bytes for
    /// 16-bit colour with alpha, as much for the canvas of an animation) beside what it becomes. Ordinary photographs stay
    /// at 6. To that come a PNG's metadata, of at most 64 MiB.
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    /// 100 million pixels.
    fn default() -> Self {
        Self {
            max_pixels: 100_000_000,
        }
    }
}

/// Decodes a medium. The content decides what it is, and what reads as text is no image; `media_type` (a hint: the server,
/// or the file's extension) decides only between text and what cannot be text. `name` is the redacted reference, for errors.
///
/// # Errors
/// [`MediaError::Unsupported`], [`MediaError::Corrupt`] or [`MediaError::TooLarge`]. The decoders are libraries: whoever
/// must go on after a panic in one of them catches it.
pub fn decode(bytes: &[u8], media_type: Option<&str>, limits: &DecodeLimits, name: &str) -> Result<Media, MediaError> {
    let media_type = media_type.map(MediaType::parse);
    let declared_text = media_type.as_ref().is_some_and(MediaType::is_text);
    if let Some(format) = image_format(bytes) {
        return image::decode(bytes, format, limits)
            .map(Media::Image)
            .map_err(|failure| failure.into_media_error(name.to_owned()));
    }
    let unsupported = |message: String| {
        Err(MediaError::Unsupported {
            name: name.to_owned(),
            message,
        })
    };
    match media_type {
        Some(media_type) if declared_text => text(bytes, media_type.charset, name).map(Media::Text),
        Some(media_type) if media_type.essence.starts_with("image/") => match image::is_readable(&media_type.essence) {
            true if bytes.is_empty() => Err(MediaError::Corrupt {
                name: name.to_owned(),
                message: "it is empty".into(),
            }),
            true => Err(MediaError::Corrupt {
                name: name.to_owned(),
                message: format!("it should be {}, but is {}", media_type.essence, described(bytes)),
            }),
            false => unsupported(format!("it is {}; {READABLE}", media_type.essence)),
        },
        Some(media_type) => unsupported(format!("it is {}; {READABLE}", media_type.essence)),
        None if bytes.is_empty() => Err(MediaError::Corrupt {
            name: name.to_owned(),
            message: "it is empty".into(),
        }),
        None if reads_as_text(bytes) && !is_markup(bytes) => text(bytes, None, name).map(Media::Text),
        None => unsupported(format!("it is {}; {READABLE}", described(bytes))),
    }
}

/// Whether [`Reader`] gives these bytes to the decoder of a format. What else there is it only looks at: text, and what
/// cannot be read.
pub fn needs_decoder(bytes: &[u8], media_type: Option<&str>) -> bool {
    let head = &bytes[..bytes.len().min(HEAD)];
    Kind::of(head, media_type).has_parts() || image_format(bytes).is_some()
}

/// The format of an image, readable or not.
fn image_format(bytes: &[u8]) -> Option<ImageFormat> {
    // "BMW", "P1 incident", "GIF89a": a sentence may begin as an image does. But no image that is read here goes without
    // control characters.
    ::image::guess_format(bytes).ok().filter(|_| !reads_as_text(bytes))
}

/// `text/plain; charset=utf-8`, taken apart.
struct MediaType<'a> {
    essence: String,
    charset: Option<&'a str>,
}

impl<'a> MediaType<'a> {
    fn parse(media_type: &'a str) -> Self {
        let mut parts = media_type.split(';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let charset = parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("charset")
                .then(|| value.trim().trim_matches('"'))
        });
        Self { essence, charset }
    }

    /// A web page is markup with text somewhere in it (and often a server's way to say no): it is not taken for text.
    fn is_text(&self) -> bool {
        self.essence.starts_with("text/") && self.essence != "text/html"
    }
}

/// Decodes text as UTF-8, unless the charset says Latin-1.
fn text(bytes: &[u8], charset: Option<&str>, name: &str) -> Result<String, MediaError> {
    let charset = charset.map(str::to_ascii_lowercase);
    match charset.as_deref() {
        None | Some("utf-8" | "utf8" | "us-ascii" | "ascii") => {
            let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
            match std::str::from_utf8(bytes) {
                Ok(text) => Ok(text.to_owned()),
                Err(error) => Err(MediaError::Corrupt {
                    name: name.to_owned(),
                    message: format!("the text is not UTF-8 from byte {} on", error.valid_up_to()),
                }),
            }
        }
        Some("iso-8859-1" | "latin1") => Ok(bytes.iter().map(|&byte| char::from(byte)).collect()),
        Some(other) => Err(MediaError::Unsupported {
            name: name.to_owned(),
            message: format!("text in the charset {other}; use UTF-8"),
        }),
    }
}

/// UTF-8 without control characters other than white space.
fn reads_as_text(bytes: &[u8]) -> bool {
    let is_control = |character: char| character.is_control() && !character.is_whitespace();
    std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(is_control))
}

fn is_markup(bytes: &[u8]) -> bool {
    markup(bytes).is_some()
}

fn markup(bytes: &[u8]) -> Option<&'static str> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(256)])
        .trim_start()
        .to_ascii_lowercase();
    if head.starts_with("<!doctype html") || head.starts_with("<html") {
        Some("a web page")
    } else if head.starts_with("<svg") || (head.starts_with("<?xml") && head.contains("<svg")) {
        Some("an SVG drawing")
    } else {
        None
    }
}

/// What content without a decoder seems to be.
fn described(bytes: &[u8]) -> Cow<'static, str> {
    let known = match bytes {
        [] => "empty",
        [b'%', b'P', b'D', b'F', ..] => "a PDF document",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', ..] => "an AVIF image",
        [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', b'e' | b'i', ..] => "a HEIC image",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "an MP4 video",
        [0x1A, 0x45, 0xDF, 0xA3, ..] => "a Matroska or WebM video",
        [b'P', b'K', 3, 4, ..] => "a ZIP archive",
        [0x1F, 0x8B, ..] => "gzip data",
        _ => match markup(bytes) {
            Some(markup) => markup,
            None if reads_as_text(bytes) => "text",
            None => {
                let head: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                return Cow::Owned(format!("unknown content (it begins with {})", head.join(" ")));
            }
        },
    };
    Cow::Borrowed(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], media_type: Option<&str>) -> Result<Media, String> {
        decode(bytes, media_type, &DecodeLimits::default(), "it")
            .map_err(|error| format!("{}: {error}", error.reason()))
    }

    fn text_of(bytes: &[u8], media_type: Option<&str>) -> String {
        match read(bytes, media_type) {
            Ok(Media::Text(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_is_utf8_or_latin1() {
        assert_eq!(text_of("größer".as_bytes(), Some("text/plain")), "größer");
        assert_eq!(text_of(b"\xEF\xBB\xBFred", Some("text/plain;charset=UTF-8")), "red");
        assert_eq!(
            text_of(b"gr\xF6\xDFer", Some("text/plain; charset=\"ISO-8859-1\"")),
            "größer"
        );
        assert!(
            read(b"gr\xF6\xDFer", Some("text/plain"))
                .expect_err("no UTF-8")
                .contains("from byte 2 on")
        );
        assert!(
            read(b"x", Some("text/plain;charset=koi8-r"))
                .expect_err("charset")
                .contains("koi8-r")
        );
    }

    #[test]
    fn a_sentence_is_not_taken_for_an_image() {
        assert_eq!(text_of(b"BMW M3, red", Some("text/plain")), "BMW M3, red");
        for sentence in [
            "BMW M3, red",
            "P1 incident: the door was open",
            "P6 and P7",
            "GIF87a is older than GIF89a",
            "qoif",
            "farbfeld is German",
            "DDS - größer",
            "#?RADIANCE\nis a format",
        ] {
            assert_eq!(text_of(sentence.as_bytes(), None), sentence);
        }
        let refused = read(b"P6 1 1 255\n\x00\xFF\x00", None).expect_err("a bitmap");
        assert!(refused.contains("it is image/x-portable-anymap"), "{refused}");
        assert_eq!(
            text_of(b"GIF89a is a file format", Some("text/markdown")),
            "GIF89a is a file format"
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let refused = |bytes: &[u8], media_type| read(bytes, media_type).expect_err("refused");
        assert!(refused(b"%PDF-1.7 \x00", None).contains("unsupported: it: not supported: it is a PDF document"));
        assert!(refused(b"<!DOCTYPE html><p>no", Some("image/jpeg")).contains("but is a web page"));
        assert!(refused(b"<html><p>no", Some("text/html")).contains("text/html"));
        assert!(refused(b"<svg/>", None).contains("an SVG drawing"));
        assert!(refused(b"<svg/>", Some("image/svg+xml")).contains("it is image/svg+xml"));
        assert!(
            refused(b"hello", Some("image/png")).contains("corrupt: it: corrupt: it should be image/png, but is text")
        );
        assert!(refused(b"", None).contains("it is empty"));
        assert!(refused(b"\x01\x02\xFF", None).contains("01 02 ff"));
        assert!(refused(b"{}", Some("application/json")).contains("application/json"));
    }

    #[test]
    fn an_image_has_no_pages() {
        let image = Media::Image(RgbImage::new(1, 1));
        assert_eq!(image.clone().whole(None, "a.png"), Ok(image.clone()));
        let error = image
            .whole(Some(&Fragment::Page(2)), "a.png#page=2")
            .expect_err("no pages")
            .to_string();
        assert_eq!(error, "a.png#page=2: not supported: an image has no page (#page=)");
    }
}
