//! Dead letters in a file and in a topic.

mod support;

use std::fs;

use chrono::{DateTime, Utc};
use rdkafka::message::{Headers, Message};
use serde_json::{Value, json};
use sightstream_connectors::dead_letter::{DeadLetter, DeadLetterTarget, Stage};
use sightstream_connectors::{Origin, OriginKind, SourceRecord, Waits};
use support::*;
use tempfile::TempDir;

fn letter(value: Option<&[u8]>) -> DeadLetter {
    let record = SourceRecord {
        value: value.map(<[u8]>::to_vec),
        key: Some(b"k1".to_vec()),
        headers: vec![
            ("trace".into(), Some(b"t".to_vec())),
            ("raw".into(), Some(vec![255])),
            ("none".into(), None),
        ],
        truncated: false,
        origin: Origin {
            kind: OriginKind::Topic,
            table: "media".into(),
            topic: "media".into(),
            partition: 2,
            offset: 41,
            timestamp_ms: Some(1_700_000_000_000),
        },
    };
    DeadLetter {
        record: Some(record),
        reason: "column `id`: expected TEXT, found the number 7".into(),
        code: "bad_record".into(),
        stage: Stage::Read,
        table: "media".into(),
        at: DateTime::<Utc>::from_timestamp_millis(1_700_000_001_500).expect("a time"),
    }
}

#[tokio::test]
async fn a_file_keeps_everything_that_is_needed_to_send_a_record_again() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("state/dead.jsonl");
    let target = DeadLetterTarget::parse(path.to_str().expect("the path is UTF-8")).expect("a path");
    let file = target
        .open(&Waits::default())
        .await
        .expect("the file can be made")
        .expect("there is a target");
    file.write(&[letter(Some(b"{\"id\": 7}")), letter(Some(&[0, 255]))])
        .await
        .expect("they are kept");
    file.flush().await.expect("they are durable");
    drop(file);
    // A restart goes on in the same file.
    let file = target
        .open(&Waits::default())
        .await
        .expect("the file can be opened")
        .expect("there is a target");
    file.write(&[DeadLetter {
        record: None,
        stage: Stage::Write,
        ..letter(None)
    }])
    .await
    .expect("it is kept");
    file.flush().await.expect("it is durable");

    let text = fs::read_to_string(&path).expect("the file is there");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    assert_eq!(
        lines[0],
        json!({
            "at": "2023-11-14T22:13:21.500Z", "table": "media", "stage": "read", "code": "bad_record",
            "reason": "column `id`: expected TEXT, found the number 7",
            "source_table": "media", "origin": "topic", "topic": "media", "partition": 2, "offset": 41, "timestamp_ms": 1_700_000_000_000_i64,
            "key": "k1", "value": "{\"id\": 7}",
            "headers": [
                {"name": "trace", "value": "t"},
                {"name": "raw", "value": "/w==", "encoding": "base64"},
                {"name": "none", "value": null},
            ],
        })
    );
    assert_eq!(
        (&lines[1]["value"], &lines[1]["value_encoding"]),
        (&json!("AP8="), &json!("base64"))
    );
    assert_eq!((&lines[2]["stage"], lines[2].get("value")), (&json!("write"), None));
    assert_eq!(lines.len(), 3);
}

#[tokio::test]
async fn a_topic_gets_the_record_as_it_was_with_the_reason_in_its_headers() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let target = DeadLetterTarget::parse(&format!("kafka://{servers}/media")).expect("a topic");
    let topic = within(target.open(&Waits::default()))
        .await
        .expect("the topic is there")
        .expect("there is a target");
    within(topic.write(&[letter(Some(&[0, 255]))]))
        .await
        .expect("it is kept");
    topic.flush().await.expect("it is durable");
    let messages = tokio::task::spawn_blocking(move || consume(&servers, "media", 1))
        .await
        .expect("it reads");
    assert_eq!(
        (messages[0].payload(), messages[0].key()),
        (Some(&[0, 255][..]), Some(&b"k1"[..]))
    );
    let headers: Vec<(String, Option<Vec<u8>>)> = messages[0]
        .headers()
        .expect("there are headers")
        .iter()
        .map(|header| (header.key.to_string(), header.value.map(<[u8]>::to_vec)))
        .collect();
    let expected: [(&str, Option<&[u8]>); 16] = [
        ("trace", Some(b"t")),
        ("raw", Some(&[255])),
        ("none", None),
        ("sightstream.time", Some(b"2023-11-14T22:13:21.500Z")),
        ("__connect.errors.topic", Some(b"media")),
        ("__connect.errors.partition", Some(b"2")),
        ("__connect.errors.offset", Some(b"41")),
        ("__connect.errors.connector.name", Some(b"media")),
        ("__connect.errors.stage", Some(b"VALUE_CONVERTER")),
        ("__connect.errors.exception.class.name", Some(b"bad_record")),
        (
            "__connect.errors.exception.message",
            Some(b"column `id`: expected TEXT, found the number 7"),
        ),
        ("sightstream.stage", Some(b"read")),
        ("sightstream.table", Some(b"media")),
        ("sightstream.source.table", Some(b"media")),
        ("sightstream.origin", Some(b"topic")),
        ("sightstream.timestamp", Some(b"1700000000000")),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, value)| (name.to_string(), value.map(<[u8]>::to_vec)))
        .collect();
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn a_letter_that_is_too_large_for_its_topic_is_an_error_that_says_what_to_do() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let target = DeadLetterTarget::parse(&format!("kafka://{servers}/media?message.max.bytes=2000")).expect("a topic");
    let topic = within(target.open(&Waits::default()))
        .await
        .expect("the topic is there")
        .expect("there is a target");
    let large = letter(Some(&[b'x'; 1900]));
    let error = within(topic.write(&[large])).await.expect_err("it is too large");
    let error = error.to_string();
    for part in [
        "offset 41 of partition 2 of `media`",
        "its position stays",
        "'max.message.bytes' of `media`",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let unlimited = DeadLetterTarget::parse(&format!("kafka://{servers}/media")).expect("a topic");
    let unlimited = within(unlimited.open(&Waits::default()))
        .await
        .expect("the topic is there")
        .expect("there is a target");
    let larger = letter(Some(&vec![b'x'; 2_000_000]));
    within(unlimited.write(&[larger]))
        .await
        .expect("the client has no limit of its own");
}

#[tokio::test]
async fn none_is_no_target() {
    assert!(
        DeadLetterTarget::None
            .open(&Waits::default())
            .await
            .expect("there is nothing to open")
            .is_none()
    );
}
