//! A dead letter as a line of JSON.
//!
//! `at`, `table`, `stage`, `code` and `reason` say what happened. Of the record there are `source_table`, `origin`
//! (`topic` or `file`), `topic` (of a file its path), `partition`, `offset`, `timestamp_ms`, `key`, `value` and
//! `headers` (a list of `name`, `value`), and `truncated` where the value is only the first part of the original.
//! Bytes that are UTF-8 are text; others are base64, and a field `key_encoding`, `value_encoding` or (in a header)
//! `encoding` says so.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::{DeadLetter, Stage};
use crate::{Origin, OriginKind, SourceRecord};

/// The line of `letter`, without its end.
pub(super) fn encode(letter: &DeadLetter) -> Value {
    let mut line = Map::new();
    line.insert("at".into(), letter.time().into());
    line.insert("table".into(), letter.table.clone().into());
    line.insert("stage".into(), letter.stage.as_str().into());
    line.insert("code".into(), letter.code.clone().into());
    line.insert("reason".into(), letter.reason.clone().into());
    if let Some(record) = &letter.record {
        let origin = &record.origin;
        line.insert("source_table".into(), origin.table.clone().into());
        line.insert("origin".into(), origin.kind.as_str().into());
        line.insert("topic".into(), origin.topic.clone().into());
        line.insert("partition".into(), origin.partition.into());
        line.insert("offset".into(), origin.offset.into());
        line.insert("timestamp_ms".into(), origin.timestamp_ms.into());
        put_bytes(&mut line, "key", "key_encoding", record.key.as_deref());
        put_bytes(&mut line, "value", "value_encoding", record.value.as_deref());
        if record.truncated {
            line.insert("truncated".into(), true.into());
        }
        let headers = record.headers.iter().map(|(name, value)| {
            let mut header = Map::new();
            header.insert("name".into(), json!(name));
            put_bytes(&mut header, "value", "encoding", value.as_deref());
            Value::Object(header)
        });
        line.insert("headers".into(), headers.collect());
    }
    Value::Object(line)
}

fn put_bytes(object: &mut Map<String, Value>, name: &str, encoding: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| BASE64_STANDARD.encode(bytes))) {
        None => drop(object.insert(name.into(), Value::Null)),
        Some(Ok(text)) => drop(object.insert(name.into(), text.into())),
        Some(Err(base64)) => {
            object.insert(name.into(), base64.into());
            object.insert(encoding.into(), "base64".into());
        }
    }
}

/// The fields of every line.
#[derive(Deserialize)]
struct Line {
    at: DateTime<Utc>,
    table: String,
    stage: String,
    code: String,
    reason: String,
    topic: Option<IgnoredAny>,
}

/// The fields of a line with a record.
#[derive(Deserialize)]
struct Record {
    source_table: String,
    origin: String,
    topic: String,
    partition: i32,
    offset: i64,
    timestamp_ms: Option<i64>,
    key: Option<String>,
    key_encoding: Option<String>,
    value: Option<String>,
    value_encoding: Option<String>,
    #[serde(default)]
    truncated: bool,
    headers: Vec<Header>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: Option<String>,
    encoding: Option<String>,
}

/// The letter of a line.
///
/// # Errors
/// Why the line is none.
pub(super) fn decode(line: &[u8]) -> Result<DeadLetter, String> {
    let text = line;
    let line: Line = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let record = match line.topic {
        Some(_) => Some(source_record(
            serde_json::from_slice(text).map_err(|error| error.to_string())?,
        )?),
        None => None,
    };
    Ok(DeadLetter {
        stage: Stage::parse(&line.stage).ok_or_else(|| format!("there is no stage '{}'", line.stage))?,
        record,
        at: line.at,
        table: line.table,
        code: line.code,
        reason: line.reason,
    })
}

fn source_record(record: Record) -> Result<SourceRecord, String> {
    let headers = record
        .headers
        .into_iter()
        .map(|header| Ok((header.name, bytes(header.value, header.encoding.as_deref())?)));
    Ok(SourceRecord {
        headers: headers.collect::<Result<_, String>>()?,
        value: bytes(record.value, record.value_encoding.as_deref())?,
        key: bytes(record.key, record.key_encoding.as_deref())?,
        truncated: record.truncated,
        origin: Origin {
            kind: OriginKind::parse(&record.origin).ok_or_else(|| format!("there is no origin '{}'", record.origin))?,
            table: record.source_table,
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
        },
    })
}

fn bytes(text: Option<String>, encoding: Option<&str>) -> Result<Option<Vec<u8>>, String> {
    match (text, encoding) {
        (None, _) => Ok(None),
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (Some(text), Some("base64")) => BASE64_STANDARD
            .decode(text)
            .map(Some)
            .map_err(|error| error.to_string()),
        (Some(_), Some(other)) => Err(format!("there is no encoding '{other}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(record: Option<SourceRecord>) -> DeadLetter {
        DeadLetter {
            at: DateTime::<Utc>::from_timestamp_millis(1_700_000_001_500).expect("a time"),
            ..DeadLetter::new(record, "vectors", Stage::Embed, "not_found", "no such file")
        }
    }

    #[test]
    fn a_line_gives_back_every_byte_of_the_record() {
        let record = SourceRecord {
            value: Some(vec![0, 255]),
            key: Some(b"k".to_vec()),
            headers: vec![
                ("raw".into(), Some(vec![255])),
                ("none".into(), None),
                ("text".into(), Some(vec![])),
            ],
            truncated: true,
            origin: Origin {
                kind: OriginKind::File,
                table: "media".into(),
                topic: "in.jsonl".into(),
                partition: 0,
                offset: 41,
                timestamp_ms: Some(-5),
            },
        };
        for record in [None, Some(record)] {
            let letter = letter(record);
            let read = decode(encode(&letter).to_string().as_bytes()).expect("it is a line of ours");
            assert_eq!(read, letter);
        }
    }

    #[test]
    fn a_line_that_is_no_dead_letter_is_told_apart() {
        let cut = encode(&letter(None)).to_string().replace("}", r#","topic":"media"}"#);
        for line in [&cut, "", "{", "[]", "{}", r#"{"at":"now"}"#, "\u{feff}{}"] {
            assert!(decode(line.as_bytes()).is_err(), "{line}");
        }
    }
}
