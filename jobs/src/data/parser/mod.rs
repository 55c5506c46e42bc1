//! From a row to a pair: one parser for each shape of dataset.
//!
//! | parser | columns | query | target |
//! | --- | --- | --- | --- |
//! | `pairs` | `query`, `positive`, `negatives`, `candidates`: items of `url`, `text`, `instruction` | as the row says | as the row says |
//! | `mmeb` | `qry`, `qry_image_path`, `pos_text`, `pos_image_path`, `neg_text`, `neg_image_path` | the row's words, the image at `<\|image_1\|>` | the same |
//! | `llavahound_caption` | `video`, `conversations` | the video with the row's request; or its caption | the caption; or the video |
//! | `llavahound_qa` | `video`, `conversations` | the video with a question | the answer |
//! | `vidore` | `query`, `image`, `answer` | the page with a question; or the question | the answer; or the page |
//! | `visrag` | `query`, `image`, `source` | the question | the page |
//!
//! The columns are those of the public files that VLM2Vec-V2 was trained on, and which side is which is VLM2Vec's choice, where
//! no [`Mode`] says otherwise. Instructions are those of the benchmark, or like them.

mod llavahound;
mod mmeb;
mod pages;
mod pairs;

use std::fmt;
use std::str::FromStr;

use super::item::{Item, ItemWords, Medium, Pair, Root};
use super::table::TableRow;
use super::value::Value;
use crate::error::JobError;

/// The instruction of a text that a page is to be found with.
const FIND_PAGE: &str = "Find a document image that matches the given query:";
/// The instruction of a page that is to be found.
const READ_PAGE: &str = "Understand the content of the provided document image.";
/// The instruction of a text that a video is to be found with.
const FIND_VIDEO: &str = "Find a video that contains the following visual content:";
/// The instruction of a video that is to be found.
const WATCH_VIDEO: &str = "Understand the content of the provided video.";
/// The instruction of a video and a question.
const ANSWER_VIDEO: &str = "Answer the question about the given video:";

pub(super) use pairs::item;

/// The shape of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParserKind {
    /// The project's own.
    Pairs,
    /// MMEB-train.
    Mmeb,
    /// LLaVA-Hound's captions of videos.
    LlavahoundCaption,
    /// LLaVA-Hound's questions about videos.
    LlavahoundQa,
    /// The training set of ColPali.
    Vidore,
    /// The training sets of VisRAG.
    Visrag,
}

/// What is searched with what, where a dataset gives a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `llavahound_caption`: a caption is found with a video.
    CaptionRetrieval,
    /// `llavahound_caption`: a video is found with a caption.
    VideoRetrieval,
    /// `vidore`: an answer is found with a page and a question.
    QuestionAnswering,
    /// `vidore`: a page is found with a question.
    PageRetrieval,
}

const PARSERS: [(&str, ParserKind); 6] = [
    ("pairs", ParserKind::Pairs),
    ("mmeb", ParserKind::Mmeb),
    ("llavahound_caption", ParserKind::LlavahoundCaption),
    ("llavahound_qa", ParserKind::LlavahoundQa),
    ("vidore", ParserKind::Vidore),
    ("visrag", ParserKind::Visrag),
];

const MODES: [(&str, Mode); 4] = [
    ("caption_retrieval", Mode::CaptionRetrieval),
    ("video_retrieval", Mode::VideoRetrieval),
    ("question_answering", Mode::QuestionAnswering),
    ("page_retrieval", Mode::PageRetrieval),
];

impl ParserKind {
    /// The modes of this parser, its default first.
    pub fn modes(self) -> &'static [Mode] {
        match self {
            Self::LlavahoundCaption => &[Mode::CaptionRetrieval, Mode::VideoRetrieval],
            Self::Vidore => &[Mode::QuestionAnswering, Mode::PageRetrieval],
            Self::Pairs | Self::Mmeb | Self::LlavahoundQa | Self::Visrag => &[],
        }
    }

    /// The columns that it reads.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Pairs => &["query", "positive", "negatives", "candidates"],
            Self::Mmeb => &[
                "qry",
                "qry_image_path",
                "pos_text",
                "pos_image_path",
                "neg_text",
                "neg_image_path",
            ],
            Self::LlavahoundCaption | Self::LlavahoundQa => &["video", "conversations"],
            Self::Vidore => &["query", "image", "answer"],
            Self::Visrag => &["query", "image", "source"],
        }
    }
}

impl FromStr for ParserKind {
    type Err = JobError;

    fn from_str(text: &str) -> Result<Self, JobError> {
        named(text, "parser", &PARSERS)
    }
}

impl fmt::Display for ParserKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(*self, &PARSERS))
    }
}

impl FromStr for Mode {
    type Err = JobError;

    fn from_str(text: &str) -> Result<Self, JobError> {
        named(text, "mode", &MODES)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(*self, &MODES))
    }
}

fn named<T: Copy>(text: &str, what: &str, all: &[(&str, T)]) -> Result<T, JobError> {
    let found = all.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        JobError::Config(format!("`{text}` is no {what}; write one of {}", names.join(", ")))
    })
}

fn name_of<T: Copy + PartialEq>(value: T, all: &'static [(&'static str, T)]) -> &'static str {
    let found = all.iter().find(|(_, other)| *other == value);
    found.map(|(name, _)| *name).expect("the table has every value")
}

/// A parser with what a dataset says of itself.
#[derive(Debug, Clone)]
pub(super) struct Parser {
    pub(super) kind: ParserKind,
    pub(super) mode: Option<Mode>,
    /// Where the media lie.
    pub(super) root: Root,
    /// Stands in for the parser's own.
    pub(super) query_instruction: Option<String>,
    /// Stands in for the parser's own.
    pub(super) target_instruction: Option<String>,
}

impl Parser {
    /// What a row means. `Err` says what is wrong with it, its place first.
    pub(super) fn parse(&self, row: &TableRow) -> Result<Pair, String> {
        let parsed = match self.kind {
            ParserKind::Pairs => pairs::parse(self, &row.values),
            ParserKind::Mmeb => mmeb::parse(self, &row.values),
            ParserKind::LlavahoundCaption => llavahound::caption(self, &row.values),
            ParserKind::LlavahoundQa => llavahound::question(self, &row.values),
            ParserKind::Vidore => pages::vidore(self, row),
            ParserKind::Visrag => pages::visrag(self, row),
        };
        parsed.map_err(|error| format!("{}: {error}", row.place))
    }

    fn query_instruction<'a>(&'a self, default: &'a str) -> Option<&'a str> {
        Some(self.query_instruction.as_deref().unwrap_or(default))
    }

    fn target_instruction<'a>(&'a self, default: &'a str) -> Option<&'a str> {
        Some(self.target_instruction.as_deref().unwrap_or(default))
    }
}

/// A pair of a query and what it should find.
fn pair(query: Item, positive: Item) -> Pair {
    Pair {
        query,
        positives: vec![positive],
        negatives: Vec::new(),
        candidates: Vec::new(),
    }
}

/// A text that has to be there.
fn required<'a>(values: &'a Value, name: &str) -> Result<&'a str, String> {
    values.get(name).text(name)?.ok_or_else(|| format!("`{name}` is empty"))
}

/// A medium with the words of a text, in which `marker` says where the medium goes; without one it goes in front.
fn around(medium: Medium, text: &str, marker: &str) -> Result<Item, String> {
    let words = match text.split_once(marker) {
        Some((_, after)) if after.contains(marker) => {
            return Err(format!("{marker} stands in it more than once; an item has one medium"));
        }
        Some((before, after)) => ItemWords::Around {
            before: before.to_owned(),
            after: after.to_owned(),
        },
        None => ItemWords::Given {
            instruction: None,
            text: Some(text.to_owned()).filter(|text| !text.is_empty()),
        },
    };
    Ok(Item {
        medium: Some(medium),
        words,
    })
}
