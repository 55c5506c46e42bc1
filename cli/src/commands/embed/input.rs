//! What `embed` reads: references from the command line, or JSON lines of them.

use std::sync::Arc;

use anyhow::Context;
use futures::Stream;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest line that is read. A `data:` URL of the largest medium that is fetched by default fits.
const MAX_LINE_BYTES: usize = 96 << 20;

/// All lines that are in memory at the same time, in bytes: at least one of the longest.
const BUDGET_BYTES: usize = 2 * MAX_LINE_BYTES;

/// One input, or why it is none.
#[derive(Debug)]
pub struct Entry {
    /// What to embed.
    pub request: Result<Request, Unreadable>,
    /// The line's share of the memory for lines, held until its result is written.
    pub budget: Option<Budget>,
}

/// A line's share of the memory for lines. The parts of a medium hold it together.
pub type Budget = Arc<OwnedSemaphorePermit>;

/// A line `{"id"?, "url", "instruction"?}`; other fields are passed over.
#[derive(Debug, Clone, Deserialize)]
pub struct Request {
    /// Any JSON value, kept as it is written.
    #[serde(default, deserialize_with = "present")]
    pub id: Option<Box<RawValue>>,
    /// The media reference.
    pub url: String,
    /// The line's own instruction.
    #[serde(default)]
    pub instruction: Option<String>,
}

/// A line that cannot be read as a [`Request`].
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The line's number, from 1.
    pub line: u64,
    /// Why, in a sentence that names the line.
    pub error: String,
}

/// An `id` that is given is kept, `null` too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

impl Entry {
    /// A reference from the command line.
    pub fn of_url(url: String) -> Self {
        Self {
            request: Ok(Request {
                id: None,
                url,
                instruction: None,
            }),
            budget: None,
        }
    }
}

/// The entries in the file at `path`, or in standard input where it is `-`.
///
/// # Errors
/// If the file cannot be opened; the stream gives one more error if it cannot be read further.
pub async fn json_lines(path: &str) -> anyhow::Result<impl Stream<Item = anyhow::Result<Entry>> + Send + use<>> {
    let reader: Box<dyn AsyncBufRead + Send + Unpin> = if path == "-" {
        Box::new(BufReader::new(tokio::io::stdin()))
    } else {
        let file = File::open(path)
            .await
            .with_context(|| format!("cannot open the input {path}"))?;
        Box::new(BufReader::new(file))
    };
    let name = if path == "-" {
        "standard input".to_string()
    } else {
        path.to_string()
    };
    let lines = Lines {
        reader,
        name,
        number: 0,
        budget: Arc::new(Semaphore::new(BUDGET_BYTES)),
    };
    Ok(futures::stream::try_unfold(lines, |mut lines| async move {
        Ok(lines.next().await?.map(|entry| (entry, lines)))
    }))
}

struct Lines<R> {
    reader: R,
    /// The input, as an error calls it.
    name: String,
    /// The number of the line read last.
    number: u64,
    budget: Arc<Semaphore>,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// The next entry, with blank lines passed over.
    async fn next(&mut self) -> anyhow::Result<Option<Entry>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            // The file is read one line ahead of what the budget admits.
            let mut limited = (&mut self.reader).take(MAX_LINE_BYTES as u64 + 1);
            let length = limited.read_until(b'\n', &mut line).await;
            let length = length.with_context(|| format!("cannot read {} after line {}", self.name, self.number))?;
            if length == 0 {
                return Ok(None);
            }
            self.number += 1;
            if length > MAX_LINE_BYTES && line.last() != Some(&b'\n') {
                self.skip_line().await?;
                let error = format!(
                    "it is longer than {} MiB; name a file or a URL instead",
                    MAX_LINE_BYTES >> 20
                );
                return Ok(Some(Entry {
                    request: Err(self.unreadable(&error)),
                    budget: None,
                }));
            }
            if !line.trim_ascii().is_empty() {
                break;
            }
        }
        let request = serde_json::from_slice(line.trim_ascii()).map_err(|error| {
            // serde_json counts lines within what it was given, which is always one.
            let error = error.to_string();
            let what = error.split(" at line ").next().unwrap_or(&error);
            self.unreadable(&format!(
                "it is no JSON object {{\"id\"?, \"url\", \"instruction\"?}}: {what}"
            ))
        });
        let share = u32::try_from(line.len()).unwrap_or(u32::MAX).min(MAX_LINE_BYTES as u32);
        drop(line);
        let budget = Arc::clone(&self.budget)
            .acquire_many_owned(share)
            .await
            .context("the input budget is closed")?;
        Ok(Some(Entry {
            request,
            budget: Some(Arc::new(budget)),
        }))
    }

    /// Reads to the end of the line without keeping it.
    async fn skip_line(&mut self) -> anyhow::Result<()> {
        loop {
            let buffered = self
                .reader
                .fill_buf()
                .await
                .with_context(|| format!("cannot read {}", self.name))?;
            let (length, ended) = match buffered.iter().position(|byte| *byte == b'\n') {
                Some(newline) => (newline + 1, true),
                None => (buffered.len(), buffered.is_empty()),
            };
            self.reader.consume(length);
            if ended {
                return Ok(());
            }
        }
    }

    fn unreadable(&self, why: &str) -> Unreadable {
        Unreadable {
            line: self.number,
            error: format!("line {} of {}: {why}", self.number, self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn entries(text: &'static [u8]) -> Vec<Entry> {
        let budget = Arc::new(Semaphore::new(BUDGET_BYTES));
        let mut lines = Lines {
            reader: text,
            name: "in.jsonl".to_string(),
            number: 0,
            budget,
        };
        let mut entries = Vec::new();
        while let Some(entry) = lines.next().await.expect("a slice can always be read") {
            entries.push(entry);
        }
        entries
    }

    #[tokio::test]
    async fn an_id_is_kept_as_it_is_written() {
        let ids = br#"{"id":7,"url":"a"}
{"id":"7","url":"a"}
{"id":123456789012345678901234567890,"url":"a"}
{"id":null,"url":"a"}
{"url":"a","title":"passed over"}"#;
        let ids: Vec<Option<String>> = entries(ids)
            .await
            .into_iter()
            .map(|entry| entry.request.expect("a request").id.map(|id| id.get().to_string()))
            .collect();
        let expected = [
            Some("7"),
            Some("\"7\""),
            Some("123456789012345678901234567890"),
            Some("null"),
            None,
        ];
        assert_eq!(ids.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    }

    #[tokio::test]
    async fn a_bad_line_is_an_entry_that_names_its_line_and_the_next_one_is_read() {
        let entries = entries(b"{\"url\":\"a\"}\n\nnot json\n[1]\n\xff\n{\"id\":1}\n{\"url\":\"b\"}").await;
        let lines: Vec<Option<u64>> = entries
            .iter()
            .map(|entry| entry.request.as_ref().err().map(|unreadable| unreadable.line))
            .collect();
        assert_eq!(lines, [None, Some(3), Some(4), Some(5), Some(6), None]);
        let error = &entries[1].request.as_ref().expect_err("line 3 is no JSON").error;
        assert!(error.starts_with("line 3 of in.jsonl: it is no JSON object"), "{error}");
        assert!(!error.contains("line 1 column"), "{error}");
    }

    #[tokio::test]
    async fn a_line_holds_its_share_of_the_memory_until_it_is_dropped() {
        let budget = Arc::new(Semaphore::new(BUDGET_BYTES));
        let text: &[u8] = b"{\"url\":\"a\"}\n";
        let mut lines = Lines {
            reader: text,
            name: "in.jsonl".to_string(),
            number: 0,
            budget: Arc::clone(&budget),
        };
        let entry = lines.next().await.expect("it can be read").expect("there is one line");
        assert_eq!(budget.available_permits(), BUDGET_BYTES - text.len());
        drop(entry);
        assert_eq!(budget.available_permits(), BUDGET_BYTES);
    }
}
