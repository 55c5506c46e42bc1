//! Dead letters: records and rows that cannot go on, kept with the reason and everything that is needed to send them
//! again.

mod destination;
mod file;
mod headers;
mod kept;
mod line;
mod replay;
mod selection;
mod target;
mod topic;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};

pub use destination::{REPLAYS, ReplayDestination};
pub use file::DeadLetterFile;
pub use headers::Headers;
pub use kept::{Found, KeptLetters, Letters, Place, Unreadable};
pub use replay::{ReplayOptions, ReplayReport, replay};
pub use selection::{Moment, Selection};
pub use target::DeadLetterTarget;
pub use topic::DeadLetterTopic;

use crate::{ConnectorError, SourceRecord};

/// The most bytes of a reason: it stands in a header beside a record that may be near the size limit of its topic.
const MAX_REASON: usize = 4 << 10;

/// A record that went no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record as it was in the source, where the failure can be traced to one.
    pub record: Option<SourceRecord>,
    /// Why, in a sentence.
    pub reason: String,
    /// Why, in a word for programs: `bad_record`, `not_found`, `corrupt`, ….
    pub code: String,
    /// Where on its way.
    pub stage: Stage,
    /// The SQL table that refused it: the source's for [`Stage::Read`], else the sink's.
    pub table: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl DeadLetter {
    /// A dead letter of this moment. A long reason is shortened.
    pub fn new(
        record: Option<SourceRecord>,
        table: impl Into<String>,
        stage: Stage,
        code: impl Into<String>,
        reason: &str,
    ) -> Self {
        Self {
            record,
            reason: shortened(reason),
            code: code.into(),
            stage,
            table: table.into(),
            at: Utc::now(),
        }
    }

    /// The letter in a line of a [`DeadLetterFile`].
    ///
    /// # Errors
    /// Why the line is none.
    pub fn from_line(line: &[u8]) -> Result<Self, String> {
        line::decode(line)
    }

    /// The letter in a record of a [`DeadLetterTopic`].
    ///
    /// # Errors
    /// Why the record is none: another program may write to the topic too.
    pub fn from_record(key: Option<Vec<u8>>, value: Option<Vec<u8>>, headers: Headers) -> Result<Self, String> {
        headers::decode(key, value, headers)
    }

    /// Adds another reason, unless it is there already.
    pub fn add_reason(&mut self, reason: &str) {
        if !self.reason.contains(&shortened(reason)) {
            self.reason = shortened(&format!("{}; {reason}", self.reason));
        }
    }

    /// The letter as a line of a [`DeadLetterFile`], without its end.
    pub fn to_line(&self) -> String {
        line::encode(self).to_string()
    }

    /// The text of [`DeadLetter::at`]: RFC 3339.
    pub fn time(&self) -> String {
        self.at.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

/// The first bytes of `reason`, with `…` where more follow.
fn shortened(reason: &str) -> String {
    if reason.len() <= MAX_REASON {
        return reason.to_string();
    }
    let mut kept = reason[..reason.floor_char_boundary(MAX_REASON)].to_string();
    kept.push('…');
    kept
}

/// The steps of a row's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Decoding the record.
    Read,
    /// Fetching, decoding or encoding the medium.
    Embed,
    /// Any other expression of the query.
    Compute,
    /// Writing the row to the sink.
    Write,
}

impl Stage {
    /// The stage's name in files, headers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Embed => "embed",
            Self::Compute => "compute",
            Self::Write => "write",
        }
    }

    /// The stage of that name.
    pub fn parse(name: &str) -> Option<Self> {
        let stages = [Self::Read, Self::Embed, Self::Compute, Self::Write];
        stages.into_iter().find(|stage| stage.as_str() == name)
    }
}

/// Takes dead letters. All methods may be called at the same time from several tasks.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Writes `letters`, in order. The same letters may come again after a crash.
    ///
    /// # Errors
    /// If they cannot be kept: going on would lose them.
    async fn write(&self, letters: &[DeadLetter]) -> Result<(), ConnectorError>;

    /// Returns when everything written so far is durable.
    async fn flush(&self) -> Result<(), ConnectorError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_bounded_however_many_are_added() {
        let long = "ä".repeat(MAX_REASON);
        let mut letter = DeadLetter::new(None, "vectors", Stage::Compute, "expression", &long);
        assert!(letter.reason.ends_with("ä…"), "{}", letter.reason);
        letter.add_reason("another");
        assert!(letter.reason.len() <= MAX_REASON + "…".len());
        let mut short = DeadLetter::new(None, "vectors", Stage::Compute, "expression", "one");
        short.add_reason("two");
        short.add_reason("one");
        assert_eq!(short.reason, "one; two");
    }
}
