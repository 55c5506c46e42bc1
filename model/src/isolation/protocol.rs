//! What crosses between the service and a worker: frames of a JSON header and a payload of bytes.
//!
//! A frame is the header's length (u32), the payload's length (u64), both little-endian, the header, the payload. The
//! service speaks first: [`Setup`], answered by [`Ready`]; then [`Request`], answered by [`super::reply::Reply`], again and
//! again until one side hangs up. A medium comes with its request: its bytes are the payload, or its open file follows the
//! frame (see [`super::descriptor`]).

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::FittedAnswer;
use crate::error::MediaError;
use crate::fetch::{Content, Identity};
use crate::media::{Answer, DecodeLimits, Question, Reader, Reading, Segmentation};
use crate::processor::PixelTarget;
use crate::reference::Fragment;

/// Changes with everything here. The two sides are of one executable unless somebody names another one.
pub(super) const PROTOCOL: u32 = 3;

/// The longest header that is read from a worker.
pub(super) const MAX_REPLY_HEADER: u32 = 64 << 10;

/// The payload of a frame that has none.
pub(super) const NOTHING: &[&[u8]] = &[];

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

/// What a worker is to do next.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request<J> {
    /// A [`DecodeJob`].
    pub(super) job: J,
    /// The file that follows, where the medium is in one; else it is the payload.
    pub(super) file: Option<SentFile>,
}

/// A file that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SentFile {
    /// In bytes.
    pub(super) length: u64,
    /// Of the content. A medium that the worker has open by this is not opened anew.
    pub(super) identity: Identity,
}

/// How one medium is decoded.
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
                Answer::Parts(parts) if parts.are_possible() => FittedAnswer::Parts(parts),
                Answer::Parts(_) => {
                    return Err(MediaError::TooLarge {
                        name: name.to_owned(),
                        message: "it has more parts than anybody asks for".into(),
                    });
                }
            },
        )
    }
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

/// Writes one frame, with the pieces of its payload.
pub(super) fn write_frame(
    to: &mut impl Write,
    header: &impl Serialize,
    payload: &[impl AsRef<[u8]>],
) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let header_length = u32::try_from(header.len()).map_err(|_| io::Error::other("the header passes 4 GiB"))?;
    let mut head = Vec::with_capacity(12 + header.len());
    head.extend(header_length.to_le_bytes());
    let payload_length: usize = payload.iter().map(|piece| piece.as_ref().len()).sum();
    head.extend((payload_length as u64).to_le_bytes());
    head.extend(header);
    to.write_all(&head)?;
    payload.iter().try_for_each(|piece| to.write_all(piece.as_ref()))
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

/// Reads as many bytes as were announced; the caller has seen that they are not too many.
pub(super) fn read_payload(from: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| io::Error::other("a payload larger than the address space"))?;
    let mut payload = vec![0; length];
    from.read_exact(&mut payload)?;
    Ok(payload)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::isolation) fn job() -> DecodeJob {
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

    #[test]
    fn a_job_arrives_as_it_was_sent() {
        let file = SentFile {
            length: 7 << 30,
            identity: Identity([7; 16]),
        };
        let mut sent = Vec::new();
        write_frame(
            &mut sent,
            &Request {
                job: &job(),
                file: Some(file),
            },
            &[b"bytes"],
        )
        .expect("a vector takes it");
        let (received, length) = read_header::<Request<DecodeJob>>(&mut &sent[..], u32::MAX).expect("a frame");
        assert_eq!(
            (received.job.fragment, received.job.segmentation, received.job.target),
            (job().fragment, job().segmentation, job().target)
        );
        assert_eq!((received.file, length), (Some(file), 5));
    }
}
