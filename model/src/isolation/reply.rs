//! What a worker answers, and what of it is believed.

use std::io::Read;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::protocol::{DecodeJob, MAX_REPLY_HEADER, ReplyError, read_header, read_payload};
use super::{FittedAnswer, counts};
use crate::error::MediaError;
use crate::fetch::Identity;
use crate::media::{Answer, Media, Parts};

/// The most characters of a worker's message that get into an error.
const MAX_MESSAGE: usize = 1000;

/// What a worker answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) reply: Reply,
    /// What was counted since the last answer (see [`super::counts`]).
    #[serde(default)]
    pub(super) counts: Vec<(String, u64)>,
    /// The media that it has open now.
    #[serde(default)]
    pub(super) open: Vec<Identity>,
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
    /// The answer, and the pieces of its payload.
    pub(super) fn of(outcome: Result<FittedAnswer, MediaError>) -> (Self, Vec<Vec<u8>>) {
        let refused = |reason, message| (Self::Refused { reason, message }, Vec::new());
        match outcome.map(|answer| match answer {
            FittedAnswer::Media(media) => Answer::Media(media.into_media()),
            FittedAnswer::Parts(parts) => Answer::Parts(parts),
        }) {
            Ok(Answer::Media(Media::Text(text))) => (Self::Text, vec![text.into_bytes()]),
            Ok(Answer::Media(Media::Image(image))) => {
                (Self::Image(image.width(), image.height()), vec![image.into_raw()])
            }
            Ok(Answer::Media(Media::Page(page))) => (Self::Page(page.width(), page.height()), vec![page.into_raw()]),
            Ok(Answer::Media(Media::Clip(frames))) => {
                let (width, height) = frames.first().map(RgbImage::dimensions).unwrap_or_default();
                let header = Self::Clip(width, height, frames.len() as u32);
                (header, frames.into_iter().map(RgbImage::into_raw).collect())
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

/// What a worker answered about a medium, and which media it has open.
type Answered = (Result<FittedAnswer, MediaError>, Vec<Identity>);

/// Reads a worker's answer to `job` about `sent` bytes. Nothing is allocated, nor believed, beyond what such an answer can
/// be.
pub(super) fn read_reply(from: &mut impl Read, job: &DecodeJob, sent: u64, name: &str) -> Result<Answered, ReplyError> {
    let (Told { reply, counts, open }, length) = read_header(from, MAX_REPLY_HEADER)?;
    counts::tell(&counts);
    Ok((read_outcome(from, reply, length, job, sent, name)?, open))
}

fn read_outcome(
    from: &mut impl Read,
    reply: Reply,
    length: u64,
    job: &DecodeJob,
    sent: u64,
    name: &str,
) -> Result<Result<FittedAnswer, MediaError>, ReplyError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::protocol::tests::job;
    use crate::isolation::protocol::write_frame;

    fn told(reply: Reply) -> Told {
        Told {
            reply,
            counts: Vec::new(),
            open: Vec::new(),
        }
    }

    fn frame(reply: &str, payload: &[u8]) -> Vec<u8> {
        let header = format!("{{\"reply\":{reply}}}");
        let mut frame = Vec::new();
        frame.extend((header.len() as u32).to_le_bytes());
        frame.extend((payload.len() as u64).to_le_bytes());
        frame.extend(header.as_bytes());
        frame.extend(payload);
        frame
    }

    fn read(bytes: &[u8]) -> Result<Result<FittedAnswer, String>, String> {
        match read_reply(&mut &bytes[..], &job(), 10, "it") {
            Ok((outcome, _)) => Ok(outcome.map_err(|error| error.to_string())),
            Err(error) => Err(error.to_string()),
        }
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
            write_frame(&mut sent, &told(reply), &payload).expect("a vector takes it");
            assert_eq!(read(&sent), Ok(Ok(answer)));
        }
        let corrupt = MediaError::Corrupt {
            name: "what the worker calls it".into(),
            message: "no IHDR\u{1b}".into(),
        };
        let (reply, payload) = Reply::of(Err(corrupt));
        let mut sent = Vec::new();
        write_frame(&mut sent, &told(reply), &payload).expect("a vector takes it");
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
