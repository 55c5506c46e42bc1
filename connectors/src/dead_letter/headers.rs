//! A dead letter as the headers of its record.
//!
//! They follow the record's own, and start with `sightstream.time`. The names are those of Kafka Connect, where it has
//! one: `__connect.errors.topic`, `.partition`, `.offset`, `.connector.name` (the table that refused the row), `.stage`,
//! `.exception.class.name` (the code) and `.exception.message` (the reason). Ours are `sightstream.time`, `.stage`,
//! `.table`, `.source.table`, `.origin` (`topic` or `file`), `.timestamp` (the record's own, in milliseconds since 1970)
//! and `.truncated`.

use chrono::{DateTime, Utc};

use super::{DeadLetter, Stage};
use crate::{Origin, OriginKind, SourceRecord};

/// Names and values of a record's headers, in order.
pub type Headers = Vec<(String, Option<Vec<u8>>)>;

const TOPIC: &str = "__connect.errors.topic";
const PARTITION: &str = "__connect.errors.partition";
const OFFSET: &str = "__connect.errors.offset";
const CONNECTOR: &str = "__connect.errors.connector.name";
const CONNECT_STAGE: &str = "__connect.errors.stage";
const CLASS: &str = "__connect.errors.exception.class.name";
const MESSAGE: &str = "__connect.errors.exception.message";
/// The first of those that are added, in every dead letter.
const TIME: &str = "sightstream.time";
const STAGE: &str = "sightstream.stage";
const TABLE: &str = "sightstream.table";
const SOURCE_TABLE: &str = "sightstream.source.table";
const ORIGIN: &str = "sightstream.origin";
const TRUNCATED: &str = "sightstream.truncated";
/// The record's own time. The dead letter's is that of its writing: with the record's, a topic that keeps its records
/// for some days would lose the letters of old ones at once.
const TIMESTAMP: &str = "sightstream.timestamp";

/// All headers of `letter`: the record's own, then those that say what happened.
pub(super) fn encode(letter: &DeadLetter) -> Headers {
    let mut headers = letter
        .record
        .as_ref()
        .map_or_else(Vec::new, |record| record.headers.clone());
    let mut put = |name: &str, value: &str| headers.push((name.to_string(), Some(value.as_bytes().to_vec())));
    put(TIME, &letter.time());
    if let Some(origin) = letter.record.as_ref().map(|record| &record.origin) {
        put(TOPIC, &origin.topic);
        put(PARTITION, &origin.partition.to_string());
        put(OFFSET, &origin.offset.to_string());
    }
    put(CONNECTOR, &letter.table);
    put(CONNECT_STAGE, connect_stage(letter.stage));
    put(CLASS, &letter.code);
    put(MESSAGE, &letter.reason);
    put(STAGE, letter.stage.as_str());
    put(TABLE, &letter.table);
    if let Some(record) = &letter.record {
        put(SOURCE_TABLE, &record.origin.table);
        put(ORIGIN, record.origin.kind.as_str());
        if let Some(timestamp) = record.origin.timestamp_ms {
            put(TIMESTAMP, &timestamp.to_string());
        }
        if record.truncated {
            put(TRUNCATED, "true");
        }
    }
    headers
}

/// The stage in the words of Kafka Connect.
fn connect_stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Read => "VALUE_CONVERTER",
        Stage::Embed | Stage::Compute => "TRANSFORMATION",
        Stage::Write => "TASK_PUT",
    }
}

/// The letter of a record with these `headers`.
///
/// # Errors
/// Why the record is no dead letter of ours.
pub(super) fn decode(key: Option<Vec<u8>>, value: Option<Vec<u8>>, mut headers: Headers) -> Result<DeadLetter, String> {
    // The last: a dead letter that was read as a record, and failed again, holds the headers of both.
    let start = headers.iter().rposition(|(name, _)| name == TIME);
    let start = start.ok_or_else(|| format!("the record has no header '{TIME}'"))?;
    let added = headers.split_off(start);
    let text = |name: &str| {
        let (_, value) = added.iter().find(|(added, _)| added == name)?;
        value.as_deref().and_then(|value| std::str::from_utf8(value).ok())
    };
    let required = |name: &str| text(name).ok_or_else(|| format!("the record has no header '{name}' of text"));
    fn parse<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
        text.parse()
            .map_err(|_| format!("the header '{name}' cannot be '{text}'"))
    }
    let record = match text(TOPIC) {
        None => None,
        Some(topic) => Some(SourceRecord {
            value,
            key,
            headers,
            truncated: text(TRUNCATED).is_some(),
            origin: Origin {
                kind: OriginKind::parse(required(ORIGIN)?).ok_or_else(|| format!("the header '{ORIGIN}' is wrong"))?,
                table: required(SOURCE_TABLE)?.to_string(),
                topic: topic.to_string(),
                partition: parse(PARTITION, required(PARTITION)?)?,
                offset: parse(OFFSET, required(OFFSET)?)?,
                timestamp_ms: text(TIMESTAMP).map(|text| parse(TIMESTAMP, text)).transpose()?,
            },
        }),
    };
    Ok(DeadLetter {
        record,
        at: parse::<DateTime<Utc>>(TIME, required(TIME)?)?,
        stage: Stage::parse(required(STAGE)?).ok_or_else(|| format!("the header '{STAGE}' is wrong"))?,
        table: required(TABLE)?.to_string(),
        code: required(CLASS)?.to_string(),
        reason: required(MESSAGE)?.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(headers: Headers) -> DeadLetter {
        let record = SourceRecord {
            value: None,
            key: Some(vec![255]),
            headers,
            truncated: false,
            origin: Origin {
                kind: OriginKind::Topic,
                table: "media".into(),
                topic: "media".into(),
                partition: 3,
                offset: 7,
                timestamp_ms: Some(9),
            },
        };
        DeadLetter {
            at: DateTime::<Utc>::from_timestamp_millis(1_700_000_001_500).expect("a time"),
            ..DeadLetter::new(Some(record), "vectors", Stage::Write, "refused", "the id is NULL")
        }
    }

    #[test]
    fn headers_give_back_the_letter_and_the_records_own_headers() {
        let own = vec![("a".to_string(), None), ("a".to_string(), Some(vec![255]))];
        let first = letter(own);
        // The letter of a letter: only what the last added is taken off.
        for letter in [first.clone(), letter(encode(&first))] {
            let read = decode(Some(vec![255]), None, encode(&letter)).expect("it is a letter of ours");
            assert_eq!(read, letter);
        }
    }

    #[test]
    fn a_letter_without_a_record_is_read_too() {
        let letter = DeadLetter {
            record: None,
            ..letter(Vec::new())
        };
        assert_eq!(decode(None, None, encode(&letter)).as_ref(), Ok(&letter));
    }

    #[test]
    fn any_other_record_is_no_dead_letter() {
        let mut cut = encode(&letter(Vec::new()));
        cut.pop();
        cut.retain(|(name, _)| name != MESSAGE);
        for headers in [Vec::new(), vec![(TIME.to_string(), None)], cut] {
            assert!(decode(None, None, headers).is_err());
        }
    }
}
