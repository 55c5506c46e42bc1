//! What crosses between the service and a worker: frames of a JSON header and a payload of bytes.
//!
//! A frame is the header's length (u32), the payload's length (u64), both little-endian, the header, the payload. The
//! service speaks first: [`Setup`], answered by [`Ready`]; then [`DecodeJob`] with the medium's bytes, answered by
//! [`Reply`] with the text or the pixels, again and again until one side hangs up.

use std::io::{self, Read, Write};

use image::RgbImage;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::FittedAnswer;
use crate::error::MediaError;
use crate::fetch::Content;
use crate::media::{Answer, DecodeLimits, Media, Parts, Question, Reader, Reading, Segmentation};
use crate::processor::PixelTarget;
use crate::reference::Fragment;

/// Changes with everything here. The two sides are of one executable unless somebody names another one.
pub(super) const PROTOCOL: u32 = 2;

/// The longest header that is read from a worker.
pub(super) const MAX_REPLY_HEADER: u32 = 64 << 10;

/// The most characters of a worker's message that get into an error.
const MAX_MESSAGE: usize = 1000;

/// Says what a worker may use.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) protocol: u32,
    /// Bytes beyond what it starts with.
    pub(super) memory: u64,
}

/// A worker has taken its [`Setup`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) protocol: u32,
}

/// How one medium is decoded. Its bytes are the payload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DecodeJob {
    /// What the bytes are said to be.
    pub media_type: Option<String>,
    /// Which part is meant.
    pub fragment: Option<Fragment>,
    /// What is asked.
    pub question: Question,
    /// What the decoded medium may hold.
    pub limits: DecodeLimits,
    /// How media with a length become inputs.
    pub segmentation: Segmentation,
    /// To which size images are brought.
    pub target: PixelTarget,
}

impl DecodeJob {
    /// Does the job: decodes, and resizes images. `name` is the redacted reference, for errors.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read(&self, reader: &mut Reader, content: &Content, name: &str) -> Result<FittedAnswer, MediaError> {
        let reading = Reading {
            media_type: self.media_type.as_deref(),
            fragment: self.fragment.as_ref(),
            question: self.question,
            limits: &self.limits,
            segmentation: &self.segmentation,
            name,
        };
        Ok(
            match reader.read(content, &reading, &|image| self.target.fit_image(image))? {
                Answer::Media(media) => {
                    FittedAnswer::Media(self.target.accept(media).ok_or_else(|| MediaError::Corrupt {
                        name: name.to_owned(),
                        message: "its frames have several sizes".into(),
                    })?)
                }
                Answer::Parts(parts) => FittedAnswer::Parts(parts),
            },
        )
    }
}

/// What became of a medium. The text, or the frames' pixels (8-bit RGB, row by row, one frame after the other), are the
/// payload.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Text,
    /// Width and height.
    Image(u32, u32),
    /// Width and height.
    Page(u32, u32),
    /// Width and height of all frames, and how many there are.
    Clip(u32, u32, u32),
    Parts(Parts),
    Refused {
        reason: Refusal,
        message: String,
    },
}

/// The kinds of [`MediaError`] that decoding gives. A worker does not know the reference, so it cannot name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Refusal {
    TooLarge,
    Unsupported,
    Corrupt,
    Panicked,
}

impl Reply {
    /// The answer, and its payload.
    pub(super) fn of(outcome: Result<FittedAnswer, MediaError>) -> (Self, Vec<u8>) {
        let refused = |reason, message| (Self::Refused { reason, message }, Vec::new());
        match outcome.map(|answer| match answer {
            FittedAnswer::Media(media) => Answer::Media(media.into_media()),
            FittedAnswer::Parts(parts) => Answer::Parts(parts),
        }) {
            Ok(Answer::Media(Media::Text(text))) => (Self::Text, text.into_bytes()),
            Ok(Answer::Media(Media::Image(image))) => (Self::Image(image.width(), image.height()), image.into_raw()),
            Ok(Answer::Media(Media::Page(page))) => (Self::Page(page.width(), page.height()), page.into_raw()),
            Ok(Answer::Media(Media::Clip(frames))) => {
                let (width, height) = frames.first().map(RgbImage::dimensions).unwrap_or_default();
                let header = Self::Clip(width, height, frames.len() as u32);
                (header, frames.into_iter().flat_map(RgbImage::into_raw).collect())
            }
            Ok(Answer::Parts(parts)) => (Self::Parts(parts), Vec::new()),
            Err(MediaError::TooLarge { message, .. }) => refused(Refusal::TooLarge, message),
            Err(MediaError::Unsupported { message, .. }) => refused(Refusal::Unsupported, message),
            Err(MediaError::Panicked { message, .. }) => refused(Refusal::Panicked, message),
            Err(MediaError::Corrupt { message, .. }) => refused(Refusal::Corrupt, message),
            // Decoding gives none of the others.
            Err(other) => refused(Refusal::Corrupt, other.to_string()),
        }
    }
}

impl Refusal {
    pub(super) fn into_media_error(self, name: &str, message: &str) -> MediaError {
        let (name, message) = (name.to_owned(), readable(message));
        match self {
            Self::TooLarge => MediaError::TooLarge { name, message },
            Self::Unsupported => MediaError::Unsupported { name, message },
            Self::Corrupt => MediaError::Corrupt { name, message },
            Self::Panicked => MediaError::Panicked { name, message },
        }
    }
}

/// A worker's words, as long and as plain as a message may be.
pub(super) fn readable(message: &str) -> String {
    let plain = message.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MAX_MESSAGE).collect()
}

/// Why a reply was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplyError {
    /// The worker hung up, or took too long.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It sent something else than an answer.
    #[error("{0}")]
    Violation(String),
}

/// Writes one frame.
pub(super) fn write_frame(to: &mut impl Write, header: &impl Serialize, payload: &[u8]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let header_length = u32::try_from(header.len()).map_err(|_| io::Error::other("the header passes 4 GiB"))?;
    let mut head = Vec::with_capacity(12 + header.len());
    head.extend(header_length.to_le_bytes());
    head.extend((payload.len() as u64).to_le_bytes());
    head.extend(header);
    to.write_all(&head)?;
    to.write_all(payload)
}

/// Reads a frame's header, at most `max_header` bytes of it, and the length of the payload that follows.
pub(super) fn read_header<H: DeserializeOwned>(from: &mut impl Read, max_header: u32) -> Result<(H, u64), ReplyError> {
    let (mut header_length, mut payload_length) = ([0; 4], [0; 8]);
    from.read_exact(&mut header_length)?;
    from.read_exact(&mut payload_length)?;
    let header_length = u32::from_le_bytes(header_length);
    if header_length > max_header {
        return Err(ReplyError::Violation(format!("a header of {header_length} bytes")));
    }
    let mut header = vec![0; header_length as usize];
    from.read_exact(&mut header)?;
    let header = serde_json::from_slice(&header)
        .map_err(|error| ReplyError::Violation(format!("a header that is none: {error}")))?;
    Ok((header, u64::from_le_bytes(payload_length)))
}

/// Reads a worker's answer to `job` about `sent` bytes. Nothing is allocated, nor believed, beyond what such an answer can
/// be.
pub(super) fn read_reply(
    from: &mut impl Read,
    job: &DecodeJob,
    sent: u64,
    name: &str,
) -> Result<Result<FittedAnswer, MediaError>, ReplyError> {
    let (reply, length) = read_header(from, MAX_REPLY_HEADER)?;
    let media = match reply {
        // A byte of Latin-1 is at most two of UTF-8.
        Reply::Text if length > sent.saturating_mul(2) => {
            return violation(format!("{length} bytes of text out of {sent}"));
        }
        Reply::Text => match String::from_utf8(read_payload(from, length)?) {
            Ok(text) => Media::Text(text),
            Err(_) => return violation("text that is not UTF-8".into()),
        },
        Reply::Image(width, height) => Media::Image(read_frames(from, job, (width, height, 1), length)?.remove(0)),
        Reply::Page(width, height) => Media::Page(read_frames(from, job, (width, height, 1), length)?.remove(0)),
        Reply::Clip(_, _, 0) => return violation("a clip of 0 frames".into()),
        Reply::Clip(_, _, count) if count > job.segmentation.frames => {
            return violation(format!("a clip of {count} frames"));
        }
        Reply::Clip(width, height, count) => Media::Clip(read_frames(from, job, (width, height, count), length)?),
        Reply::Parts(_) if length != 0 => return violation(format!("{length} bytes after parts")),
        Reply::Parts(parts) if parts.are_possible() => return Ok(Ok(FittedAnswer::Parts(parts))),
        Reply::Parts(parts) => return violation(format!("{parts:?}")),
        Reply::Refused { .. } if length != 0 => return violation(format!("{length} bytes after a refusal")),
        Reply::Refused { reason, message } => return Ok(Err(reason.into_media_error(name, &message))),
    };
    match job.target.accept(media) {
        Some(fitted) => Ok(Ok(FittedAnswer::Media(fitted))),
        None => violation("pixels of another size than was asked for".into()),
    }
}

/// So many frames of this size, if they may have it.
fn read_frames(
    from: &mut impl Read,
    job: &DecodeJob,
    (width, height, count): (u32, u32, u32),
    length: u64,
) -> Result<Vec<RgbImage>, ReplyError> {
    if !job.target.admits(width, height) {
        return violation(format!("an image of {width} x {height} pixels"));
    }
    let bytes = u64::from(width) * u64::from(height) * 3;
    if bytes.checked_mul(u64::from(count)) != Some(length) {
        return violation(format!("{length} bytes for {count} of {width} x {height} pixels"));
    }
    (0..count)
        .map(|_| {
            let pixels = read_payload(from, bytes)?;
            RgbImage::from_raw(width, height, pixels)
                .ok_or_else(|| ReplyError::Violation(format!("too few bytes for {width} x {height} pixels")))
        })
        .collect()
}

fn violation<T>(what: String) -> Result<T, ReplyError> {
    Err(ReplyError::Violation(what))
}

/// Reads as many bytes as were announced; the caller has seen that they are not too many.
pub(super) fn read_payload(from: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| io::Error::other("a payload larger than the address space"))?;
    let mut payload = vec![0; length];
    from.read_exact(&mut payload)?;
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> DecodeJob {
        let target = PixelTarget {
            factor: 28,
            min_pixels: 784,
            max_pixels: 78_400,
        };
        DecodeJob {
            media_type: None,
            fragment: Some(Fragment::Time { start: 30.1, end: None }),
            question: Question::Input,
            limits: DecodeLimits::default(),
            segmentation: Segmentation::default(),
            target,
        }
    }

    fn frame(header: &str, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        frame.extend((header.len() as u32).to_le_bytes());
        frame.extend((payload.len() as u64).to_le_bytes());
        frame.extend(header.as_bytes());
        frame.extend(payload);
        frame
    }

    fn read(bytes: &[u8]) -> Result<Result<FittedAnswer, String>, String> {
        match read_reply(&mut &bytes[..], &job(), 10, "it") {
            Ok(outcome) => Ok(outcome.map_err(|error| error.to_string())),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_job_arrives_as_it_was_sent() {
        let mut sent = Vec::new();
        write_frame(&mut sent, &job(), b"bytes").expect("a vector takes it");
        let (received, length) = read_header::<DecodeJob>(&mut &sent[..], u32::MAX).expect("a frame");
        assert_eq!(
            (received.fragment, received.limits, received.target, length),
            (job().fragment, job().limits, job().target, 5)
        );
    }

    #[test]
    fn every_outcome_comes_back() {
        let image = |shade| RgbImage::from_pixel(56, 28, image::Rgb([1, 2, shade]));
        let media = [
            Media::Image(image(3)),
            Media::Page(image(4)),
            Media::Clip(vec![image(5), image(6), image(7)]),
            Media::Text("größer".into()),
            Media::Text(String::new()),
        ];
        let media = media.map(|media| FittedAnswer::Media(job().target.accept(media).expect("it fits")));
        let parts = [Parts::Whole, Parts::Pages(3), Parts::Windows { duration: 7200.04 }];
        for answer in media.into_iter().chain(parts.map(FittedAnswer::Parts)) {
            let (reply, payload) = Reply::of(Ok(answer.clone()));
            let mut sent = Vec::new();
            write_frame(&mut sent, &reply, &payload).expect("a vector takes it");
            assert_eq!(read(&sent), Ok(Ok(answer)));
        }
        let corrupt = MediaError::Corrupt {
            name: "what the worker calls it".into(),
            message: "no IHDR\u{1b}".into(),
        };
        let (reply, payload) = Reply::of(Err(corrupt));
        let mut sent = Vec::new();
        write_frame(&mut sent, &reply, &payload).expect("a vector takes it");
        assert_eq!(read(&sent), Ok(Err("it: corrupt: no IHDR ".into())));
    }

    #[test]
    fn an_answer_that_cannot_be_is_no_answer() {
        let huge = |header: &str, length: u64| {
            let mut frame = frame(header, b"");
            frame[4..12].copy_from_slice(&length.to_le_bytes());
            frame
        };
        for (reply, why) in [
            (frame("no JSON", b""), "a header that is none"),
            (frame(r#"{"video":{}}"#, b""), "a header that is none"),
            (frame(r#""text""#, b"\xFF"), "not UTF-8"),
            (huge(r#""text""#, u64::MAX), "bytes of text out of 10"),
            (frame(r#"{"clip":[28,28,0]}"#, b""), "a clip of 0 frames"),
            (huge(r#"{"clip":[28,28,9]}"#, 9 * 2352), "a clip of 9 frames"),
            (huge(r#"{"clip":[28,28,4]}"#, 3 * 2352), "7056 bytes for 4 of 28 x 28"),
            (huge(r#"{"clip":[28,29,4]}"#, 4 * 2436), "an image of 28 x 29"),
            (huge(r#"{"image":[27,28]}"#, 2268), "an image of 27 x 28 pixels"),
            (huge(r#"{"page":[27,28]}"#, 2268), "an image of 27 x 28 pixels"),
            (
                huge(r#"{"image":[2800000,2800000]}"#, 23_520_000_000_000),
                "an image of 2800000 x",
            ),
            (frame(r#"{"image":[28,28]}"#, b"123"), "3 bytes for 1 of 28 x 28 pixels"),
            (frame(r#"{"parts":"whole"}"#, b"1"), "1 bytes after parts"),
            (frame(r#"{"parts":{"pages":0}}"#, b""), "Pages(0)"),
            (
                frame(r#"{"parts":{"windows":{"duration":-1.0}}}"#, b""),
                "duration: -1.0",
            ),
            (
                frame(r#"{"parts":{"windows":{"duration":1e30}}}"#, b""),
                "duration: 1e30",
            ),
            (
                frame(r#"{"refused":{"reason":"corrupt","message":""}}"#, b"1"),
                "1 bytes after a refusal",
            ),
            (vec![0xFF; 40], "a header of 4294967295 bytes"),
        ] {
            let refused = read(&reply).expect_err(why);
            assert!(refused.contains(why), "{refused}");
        }
        assert!(read(&frame(r#""text""#, b"ok")[..10]).is_err(), "it is cut off");
    }
}
