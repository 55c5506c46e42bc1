//! Reads media, and keeps those that were read last open: the windows of a video and the pages of a document are asked for
//! one after the other.

use std::io;

use ::image::RgbImage;
use ::metrics::counter;
use serde::{Deserialize, Serialize};

use super::counters::OPENED;
use super::document::Document;
use super::failure::Failure;
use super::parts::{Parts, Segmentation};
use super::video::Video;
use super::{DecodeLimits, Media};
use crate::error::MediaError;
use crate::fetch::{Content, Identity};
use crate::kind::{Kind, moves};
use crate::reference::Fragment;

/// What is asked of a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// The one input that the reference names, or its parts where it has several.
    Input,
    /// Its parts alone.
    Parts,
}

/// How a medium is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// What the bytes are said to be.
    pub media_type: Option<&'a str>,
    /// Which part is meant.
    pub fragment: Option<&'a Fragment>,
    /// What is asked.
    pub question: Question,
    /// What the decoded medium may hold.
    pub limits: &'a DecodeLimits,
    /// How media with a length become inputs.
    pub segmentation: &'a Segmentation,
    /// The redacted reference, for errors.
    pub name: &'a str,
}

/// What a medium gives.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// One input.
    Media(Media),
    /// Its parts.
    Parts(Parts),
}

/// How many media a reader keeps open. Where several are read by turns, each is opened once; and each holds a decoder's
/// frames.
const KEPT_OPEN: usize = 3;

/// Reads media.
#[derive(Debug, Default)]
pub struct Reader {
    /// The one that was read last is the last.
    open: Vec<(Identity, Opened)>,
    /// Whether there is no room for two.
    is_full: bool,
}

#[derive(Debug)]
enum Opened {
    Video(Box<Video>),
    Document(Document),
}

impl Reader {
    /// Answers a question about a medium. `fit` brings each image to the size that is kept of it, as soon as it is decoded:
    /// a clip of eight large frames is never whole in memory.
    ///
    /// # Errors
    /// [`MediaError::Unsupported`], [`MediaError::Corrupt`] or [`MediaError::TooLarge`]. The decoders are libraries: whoever
    /// must go on after a panic in one of them catches it.
    pub fn read(
        &mut self,
        content: &Content,
        reading: &Reading<'_>,
        fit: &dyn Fn(RgbImage) -> RgbImage,
    ) -> Result<Answer, MediaError> {
        let name = || reading.name.to_owned();
        let unreadable = |error: io::Error| MediaError::Unavailable {
            name: name(),
            message: error.to_string(),
        };
        let head = content.head().map_err(unreadable)?;
        let kind = match Kind::of(&head, reading.media_type) {
            Kind::Other if moves(content.reader()) => Kind::Video,
            kind => kind,
        };
        if kind == Kind::Other {
            let bytes = content.bytes().map_err(unreadable)?;
            let media = super::decode(&bytes, reading.media_type, reading.limits, reading.name)?;
            return Ok(match (reading.question, media.whole(reading.fragment, reading.name)?) {
                (Question::Parts, _) => Answer::Parts(Parts::Whole),
                (Question::Input, Media::Image(image)) => Answer::Media(Media::Image(fit(image))),
                (Question::Input, media) => Answer::Media(media),
            });
        }
        let answer = match content.identity() {
            Some(identity) => self.read_kept(identity, kind, content, reading, fit),
            None => Opened::open(kind, content, reading).and_then(|mut opened| opened.read(reading, fit)),
        };
        answer.map_err(|failure| failure.into_media_error(name()))
    }

    /// The media that it has open.
    pub fn open(&self) -> impl Iterator<Item = Identity> {
        self.open.iter().map(|&(identity, _)| identity)
    }

    /// Lets all go but the medium that was read last, which goes when another one is read.
    pub fn make_room(&mut self) {
        let others = self.open.len().saturating_sub(1);
        self.open.drain(..others);
        self.is_full = true;
    }

    /// Reads a medium that is kept open. Decoders that fail for want of memory do not always say so: with nothing else open
    /// they get a second chance.
    fn read_kept(
        &mut self,
        identity: Identity,
        kind: Kind,
        content: &Content,
        reading: &Reading<'_>,
        fit: &dyn Fn(RgbImage) -> RgbImage,
    ) -> Result<Answer, Failure> {
        let is_alone = self.open.iter().all(|(open, _)| *open == identity);
        let mut read = || {
            let opened = self.opened(identity, kind, content, reading)?;
            opened.read(reading, fit)
        };
        match read() {
            Err(Failure::TooLarge(_) | Failure::Corrupt(_)) if !is_alone => {
                self.open.clear();
                self.opened(identity, kind, content, reading)?.read(reading, fit)
            }
            answer => answer,
        }
    }

    /// The medium, opened unless it is open.
    fn opened(
        &mut self,
        identity: Identity,
        kind: Kind,
        content: &Content,
        reading: &Reading<'_>,
    ) -> Result<&mut Opened, Failure> {
        let opened = match self.open.iter().position(|(open, _)| *open == identity) {
            Some(index) => self.open.remove(index).1,
            None => {
                // What goes does so before what comes takes memory.
                let others = if std::mem::take(&mut self.is_full) {
                    0
                } else {
                    KEPT_OPEN - 1
                };
                self.open.drain(..self.open.len().saturating_sub(others));
                Opened::open(kind, content, reading)?
            }
        };
        self.open.push((identity, opened));
        let last = self.open.len() - 1;
        Ok(&mut self.open[last].1)
    }
}

impl Opened {
    fn open(kind: Kind, content: &Content, reading: &Reading<'_>) -> Result<Self, Failure> {
        counter!(OPENED).increment(1);
        match kind {
            Kind::Document => Document::open(content).map(Self::Document),
            Kind::Video | Kind::Other => Video::open(content, reading.limits).map(Box::new).map(Self::Video),
        }
    }

    fn read(&mut self, reading: &Reading<'_>, fit: &dyn Fn(RgbImage) -> RgbImage) -> Result<Answer, Failure> {
        let Reading {
            fragment,
            question,
            limits,
            segmentation,
            ..
        } = *reading;
        match (self, fragment) {
            (Self::Video(video), None)
                if question == Question::Parts || video.duration() > segmentation.longest_clip =>
            {
                parts(match video.duration() {
                    duration if duration > segmentation.longest_clip => Parts::Windows { duration },
                    _ => Parts::Whole,
                })
            }
            (_, Some(_)) if question == Question::Parts => Ok(Answer::Parts(Parts::Whole)),
            (Self::Video(video), None) => video.clip(None, segmentation.frames, fit).map(clip),
            (Self::Video(video), Some(&Fragment::Time { start, end })) => {
                let span = Some((start, end.unwrap_or(f64::INFINITY)));
                video.clip(span, segmentation.frames, fit).map(clip)
            }
            (Self::Document(document), None) if question == Question::Parts || document.pages() > 1 => {
                parts(Parts::Pages(document.pages()))
            }
            (Self::Document(document), None) => document
                .page(1, segmentation.page_dpi, limits)
                .map(|page| page_of(fit(page))),
            (Self::Document(document), Some(&Fragment::Page(page))) => document
                .page(page, segmentation.page_dpi, limits)
                .map(|page| page_of(fit(page))),
            (Self::Video(_), Some(Fragment::Page(_))) => {
                Err(Failure::Unsupported("a video has no page (#page=)".into()))
            }
            (Self::Document(_), Some(Fragment::Time { .. })) => {
                Err(Failure::Unsupported("a document has no span of time (#t=)".into()))
            }
        }
    }
}

/// What a medium consists of, unless its times or its pages are nonsense.
fn parts(parts: Parts) -> Result<Answer, Failure> {
    match parts {
        Parts::Windows { duration } if !parts.are_possible() => {
            Err(Failure::Corrupt(format!("it says that it lasts {duration} s")))
        }
        Parts::Pages(pages) if !parts.are_possible() => Err(Failure::TooLarge(format!("{pages} pages"))),
        parts => Ok(Answer::Parts(parts)),
    }
}

fn clip(frames: Vec<RgbImage>) -> Answer {
    Answer::Media(Media::Clip(frames))
}

fn page_of(page: RgbImage) -> Answer {
    Answer::Media(Media::Page(page))
}
