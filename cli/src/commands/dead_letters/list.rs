//! `sightstream dead-letters list`.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use sightstream_connectors::dead_letter::{DeadLetter, Found, KeptLetters};

use super::{is_missing, named};
use crate::args::{ListArgs, ListFormat};
use crate::error::Outcome;
use crate::progress::{self, grouped};

/// The most characters of a key and of a reason in the table.
const SHOWN_KEY: usize = 24;
const SHOWN_REASON: usize = 120;

/// How many letters there were.
#[derive(Default)]
struct Counts {
    shown: u64,
    replayed: u64,
    unreadable: u64,
    half_written: bool,
}

/// Prints the letters that `args` choose.
pub async fn execute(args: ListArgs) -> anyhow::Result<Outcome> {
    let target = named(&args.letters)?.target;
    if is_missing(&target) {
        progress::tell(format_args!("no dead letters: there is no file {target}"));
        return Ok(Outcome::Done);
    }
    let kept = Arc::new(KeptLetters::open(&target, &args.letters.group).await?);
    let mut out = std::io::stdout().lock();
    if args.format == ListFormat::Table && !args.summary {
        writeln!(
            out,
            "{}",
            row(["at", "stage", "code", "table", "from", "key", "reason"])
        )?;
    }
    let counts = list(&args, &kept, &mut out).await?;
    out.flush()?;
    if args.format == ListFormat::Table {
        progress::tell(told(&counts, args.all));
    }
    Ok(Outcome::Done)
}

async fn list(args: &ListArgs, kept: &Arc<KeptLetters>, out: &mut impl Write) -> anyhow::Result<Counts> {
    let selection = args.choice.selection();
    let limit = args.choice.limit.map_or(u64::MAX, |limit| limit as u64);
    let mut counts = Counts::default();
    let mut groups: BTreeMap<[String; 3], u64> = BTreeMap::new();
    let mut letters = kept.read(args.all);
    while counts.shown < limit
        && let Some(Found {
            place,
            replayed,
            letter,
        }) = letters.next().await?
    {
        let letter = match letter {
            Ok(letter) => letter,
            Err(unreadable) if unreadable.half_written => {
                counts.half_written = true;
                continue;
            }
            Err(unreadable) => {
                counts.unreadable += 1;
                let (partition, offset) = (place.partition, place.offset);
                tracing::warn!(partition, offset, reason = unreadable.reason, "no dead letter");
                continue;
            }
        };
        if !selection.matches(&letter) {
            continue;
        }
        if replayed && !args.all {
            counts.replayed += 1;
            continue;
        }
        counts.shown += 1;
        if args.summary {
            let group = [letter.code, letter.stage.as_str().to_string(), letter.table];
            *groups.entry(group).or_default() += 1;
        } else if args.format == ListFormat::Json {
            writeln!(out, "{}", letter.to_line())?;
        } else {
            writeln!(out, "{}", line(&letter))?;
        }
    }
    if args.summary {
        write_summary(out, args.format, groups)?;
    }
    Ok(counts)
}

fn write_summary(out: &mut impl Write, format: ListFormat, groups: BTreeMap<[String; 3], u64>) -> std::io::Result<()> {
    if format == ListFormat::Table {
        writeln!(out, "{:>10}  {:<18} {:<8} table", "count", "code", "stage")?;
    }
    for ([code, stage, table], count) in groups {
        match format {
            ListFormat::Table => writeln!(out, "{:>10}  {code:<18} {stage:<8} {table}", grouped(count))?,
            ListFormat::Json => {
                let group = serde_json::json!({"code": code, "stage": stage, "table": table, "count": count});
                writeln!(out, "{group}")?;
            }
        }
    }
    Ok(())
}

/// A letter in one line.
fn line(letter: &DeadLetter) -> String {
    let (from, key) = match &letter.record {
        None => (String::new(), String::new()),
        Some(record) => {
            let origin = &record.origin;
            let key = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            (
                format!("{}/{}/{}", origin.topic, origin.partition, origin.offset),
                shortened(&key, SHOWN_KEY),
            )
        }
    };
    row([
        &letter.time(),
        letter.stage.as_str(),
        &letter.code,
        &letter.table,
        &shortened(&from, usize::MAX),
        &key,
        &shortened(&letter.reason, SHOWN_REASON),
    ])
}

fn row([at, stage, code, table, from, key, reason]: [&str; 7]) -> String {
    format!("{at:<24}  {stage:<7}  {code:<17}  {table:<12}  {from:<20}  {key:<12}  {reason}")
}

/// The first characters of `text`, on one line, and nothing that a terminal would act on.
fn shortened(text: &str, characters: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(characters)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if shown.len() < text.len() && text.chars().nth(characters).is_some() {
        shown.push('…');
    }
    shown
}

/// The counts, for people.
fn told(counts: &Counts, all: bool) -> String {
    let plural = |count| if count == 1 { "" } else { "s" };
    let mut told = format!("{} dead letter{}", grouped(counts.shown), plural(counts.shown));
    if counts.replayed > 0 && !all {
        told += &format!("; {} sent back already (--all shows them)", grouped(counts.replayed));
    }
    if counts.unreadable > 0 {
        told += &format!("; {} that cannot be read", grouped(counts.unreadable));
    }
    if counts.half_written {
        told += "; the last line of the file is half-written, and not one yet";
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_one_line_without_control_characters() {
        assert_eq!(shortened("a\nb\u{1b}[31mc", 10), "a b [31mc");
        assert_eq!(shortened("ääää", 3), "äää…");
        assert_eq!(shortened("äää", 3), "äää");
    }
}
