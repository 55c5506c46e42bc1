//! Dead letters are listed and sent back: nothing is lost, and nothing is sent twice.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rdkafka::message::{Headers, Message, OwnedMessage};
use sightstream_connectors::dead_letter::{
    DeadLetter, DeadLetterTarget, KeptLetters, ReplayDestination, ReplayOptions, ReplayReport, Selection, Stage, replay,
};
use sightstream_connectors::{Origin, OriginKind, SourceRecord, Waits};
use support::*;
use tempfile::TempDir;

/// The letter of the record at `offset` of partition 1 of the topic `media`.
fn letter(offset: i64, code: &str) -> DeadLetter {
    let record = SourceRecord {
        value: Some(format!("value {offset}").into_bytes()),
        key: Some(vec![255, offset as u8]),
        headers: vec![("own".into(), Some(vec![254])), ("own".into(), None)],
        truncated: false,
        origin: Origin {
            kind: OriginKind::Topic,
            table: "source".into(),
            topic: "media".into(),
            partition: 1,
            offset,
            timestamp_ms: Some(1_000 + offset),
        },
    };
    DeadLetter {
        at: DateTime::<Utc>::from_timestamp_millis(1_700_000_000_000 + offset * 1_000).expect("a time"),
        ..DeadLetter::new(Some(record), "vectors", Stage::Embed, code, "no such file")
    }
}

fn in_file(offset: i64) -> DeadLetter {
    let mut letter = letter(offset, "bad_record");
    if let Some(record) = &mut letter.record {
        record.origin.kind = OriginKind::File;
        record.origin.topic = "in.jsonl".into();
        record.key = None;
        record.headers.clear();
    }
    letter
}

async fn keep(target: &DeadLetterTarget, letters: &[DeadLetter]) {
    let kept = within(target.open(&Waits::default()))
        .await
        .expect("it opens")
        .expect("it keeps letters");
    within(kept.write(letters)).await.expect("they are kept");
    kept.flush().await.expect("they are durable");
}

fn file(path: &Path) -> DeadLetterTarget {
    DeadLetterTarget::File(path.to_path_buf())
}

fn to(text: &str) -> ReplayOptions {
    ReplayOptions {
        selection: Selection::default(),
        limit: None,
        max_replays: 3,
        dry_run: false,
        destination: ReplayDestination::parse(text).expect("a destination"),
    }
}

async fn send(target: &DeadLetterTarget, options: &ReplayOptions) -> ReplayReport {
    let kept = within(KeptLetters::open_to_replay(target, "sightstream-replay"))
        .await
        .expect("they can be read");
    within(replay(&Arc::new(kept), options, |_| {}))
        .await
        .expect("they can be sent")
}

fn sent(report: &ReplayReport) -> u64 {
    report.sent.values().sum()
}

/// The codes of those that were not sent back yet.
async fn waiting(target: &DeadLetterTarget) -> Vec<String> {
    let kept = within(KeptLetters::open(target, "sightstream-replay"))
        .await
        .expect("they can be read");
    let (mut letters, mut codes) = (Arc::new(kept).read(false), Vec::new());
    while let Some(found) = within(letters.next()).await.expect("they can be read") {
        if !found.replayed {
            codes.extend(found.letter.map(|letter| letter.code));
        }
    }
    codes
}

/// What the topic `media` holds.
async fn arrived(servers: &str, count: usize) -> Vec<OwnedMessage> {
    let servers = servers.to_string();
    let messages = tokio::task::spawn_blocking(move || consume(&servers, "media", count)).await;
    messages.expect("it reads")
}

fn values(messages: &[OwnedMessage]) -> Vec<String> {
    let value = |message: &OwnedMessage| String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
    messages.iter().map(value).collect()
}

fn headers(message: &OwnedMessage) -> BTreeMap<String, Vec<Option<Vec<u8>>>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for header in message.headers().expect("there are headers").iter() {
        let value = header.value.map(<[u8]>::to_vec);
        all.entry(header.key.to_string()).or_default().push(value);
    }
    all
}

fn code(code: &str) -> Selection {
    Selection {
        codes: vec![code.into()],
        ..Selection::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_goes_back_to_its_partition_as_it_was_and_counts_its_replays() {
    let cluster = cluster(3);
    let servers = cluster.bootstrap_servers();
    let folder = TempDir::new().expect("a folder");
    let target = file(&folder.path().join("dead.jsonl"));
    keep(&target, &[letter(7, "not_found")]).await;
    let options = to(&format!("kafka://{servers}"));
    let report = send(&target, &options).await;
    assert_eq!(report.sent, [("media".to_string(), 1)].into());

    // It fails again, and again.
    for replays in 1..=3 {
        let mut again = letter(7, "not_found");
        if let Some(record) = &mut again.record {
            record.headers = vec![
                ("sightstream.timestamp".into(), Some(b"1007".to_vec())),
                ("sightstream.replays".into(), Some(replays.to_string().into_bytes())),
            ];
        }
        keep(&target, &[again]).await;
        let report = send(&target, &options).await;
        let expected = if replays < 3 { (1, 0) } else { (0, 1) };
        assert_eq!(
            (sent(&report), report.left.len()),
            expected,
            "three times are enough: {report:?}"
        );
    }

    let messages = arrived(&servers, 3).await;
    let message = &messages[0];
    assert_eq!(message.partition(), 1);
    assert_eq!(
        (message.payload(), message.key()),
        (Some(&b"value 7"[..]), Some(&[255, 7][..]))
    );
    let found = headers(message);
    assert_eq!(found["own"], [Some(vec![254]), None]);
    assert_eq!(found.len(), 3, "what dead-lettering added is gone: {found:?}");
    for (message, replays) in messages.iter().zip(1..) {
        let found = headers(message);
        assert_eq!(found["sightstream.replays"], [Some(replays.to_string().into_bytes())]);
        assert_eq!(
            found["sightstream.timestamp"],
            [Some(b"1007".to_vec())],
            "the first time stays"
        );
    }
}

/// Sends letters back in several choices, while more come, and looks that each arrives once.
async fn each_once(servers: &str, target: DeadLetterTarget) {
    keep(
        &target,
        &[letter(0, "a"), letter(1, "b"), letter(2, "a"), letter(3, "c")],
    )
    .await;
    assert_eq!(waiting(&target).await, ["a", "b", "a", "c"]);
    let options = to(&format!("kafka://{servers}"));
    let dry = ReplayOptions {
        dry_run: true,
        ..options.clone()
    };
    assert_eq!(
        (sent(&send(&target, &dry).await), sent(&send(&target, &dry).await)),
        (4, 4)
    );

    let only = |selection, limit| ReplayOptions {
        selection,
        limit,
        ..options.clone()
    };
    assert_eq!(sent(&send(&target, &only(code("c"), None)).await), 1);
    assert_eq!(sent(&send(&target, &only(code("c"), None)).await), 0);
    assert_eq!(sent(&send(&target, &only(code("a"), Some(1))).await), 1);
    assert_eq!(waiting(&target).await, ["b", "a"]);
    keep(&target, &[letter(4, "b")]).await;
    assert_eq!(sent(&send(&target, &only(code("a"), None)).await), 1);
    let rest = send(&target, &options).await;
    assert_eq!((sent(&rest), rest.others), (2, 0));
    assert_eq!(sent(&send(&target, &options).await), 0);
    assert_eq!(waiting(&target).await, [""; 0]);
    assert_eq!(
        values(&arrived(servers, 5).await),
        ["value 3", "value 0", "value 2", "value 1", "value 4"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_a_file_are_sent_once_in_any_choice() {
    let cluster = cluster(3);
    let folder = TempDir::new().expect("a folder");
    each_once(&cluster.bootstrap_servers(), file(&folder.path().join("dead.jsonl"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_a_topic_are_sent_once_in_any_choice() {
    let cluster = cluster(3);
    let servers = cluster.bootstrap_servers();
    cluster.create_topic("dead", 1, 1).expect("a topic can be made");
    let target = DeadLetterTarget::parse(&format!("kafka://{servers}/dead")).expect("a topic");
    each_once(&servers, target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_letters_of_several_partitions_are_all_sent() {
    let cluster = cluster(3);
    let servers = cluster.bootstrap_servers();
    cluster.create_topic("dead", 4, 1).expect("a topic can be made");
    let target = DeadLetterTarget::parse(&format!("kafka://{servers}/dead")).expect("a topic");
    let letters: Vec<_> = (0..1_200)
        .map(|n| letter(n, if n % 2 == 0 { "even" } else { "odd" }))
        .collect();
    keep(&target, &letters).await;
    let options = to(&format!("kafka://{servers}"));
    let some = ReplayOptions {
        limit: Some(100),
        selection: code("even"),
        ..options.clone()
    };
    assert_eq!(sent(&send(&target, &some).await), 100);
    assert_eq!(sent(&send(&target, &options).await), 1_100);
    let mut values = values(&arrived(&servers, 1_200).await);
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 1_200);
    assert_eq!(waiting(&target).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_too_scattered_to_be_remembered_is_refused_before_it_is_sent() {
    let cluster = cluster(3);
    let servers = cluster.bootstrap_servers();
    cluster.create_topic("dead", 1, 1).expect("a topic can be made");
    let target = DeadLetterTarget::parse(&format!("kafka://{servers}/dead")).expect("a topic");
    let letters: Vec<_> = (0..3_000)
        .map(|n| letter(n, if n % 2 == 0 { "even" } else { "odd" }))
        .collect();
    keep(&target, &letters).await;
    let options = to(&format!("kafka://{servers}"));
    let odd = ReplayOptions {
        selection: code("odd"),
        ..options.clone()
    };
    let kept = KeptLetters::open_to_replay(&target, "sightstream-replay")
        .await
        .expect("they can be read");
    let error = within(replay(&Arc::new(kept), &odd, |_| {}))
        .await
        .expect_err("they are scattered");
    assert!(error.to_string().contains("scattered"), "{error}");
    let report = send(&target, &options).await;
    let sent_before = 3_000 - sent(&report);
    assert!(sent_before > 0, "what could be remembered was sent");
    let mut values = values(&arrived(&servers, 3_000).await);
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 3_000, "each was sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_larger_than_the_clients_own_limit_goes_back() {
    let cluster = cluster(3);
    let servers = cluster.bootstrap_servers();
    let folder = TempDir::new().expect("a folder");
    let target = file(&folder.path().join("dead.jsonl"));
    let mut large = letter(0, "too_large");
    large.record.as_mut().expect("it has a record").value = Some(vec![b'x'; 2_000_000]);
    keep(&target, &[large]).await;
    assert_eq!(sent(&send(&target, &to(&format!("kafka://{servers}"))).await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_told_and_stays() {
    let cluster = cluster(3);
    let servers = cluster.bootstrap_servers();
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("dead.jsonl");
    let target = file(&path);
    let mut truncated = letter(1, "bad_record");
    truncated.record.as_mut().expect("it has a record").truncated = true;
    let nobody = DeadLetter::new(None, "vectors", Stage::Compute, "expression", "no row");
    keep(
        &target,
        &[truncated, nobody, in_file(0), letter(3, "not_found"), in_file(1)],
    )
    .await;
    let mut lines = fs::OpenOptions::new().append(true).open(&path).expect("it opens");
    lines.write_all(b"no letter\n{\"at\": \"2025").expect("it is written");

    let report = send(&target, &to(&format!("kafka://{servers}"))).await;
    assert_eq!(sent(&report), 1);
    let left: Vec<(&str, u64)> = report
        .left
        .iter()
        .map(|(reason, count)| (reason.as_str(), *count))
        .collect();
    assert_eq!(left.len(), 4, "{left:?}");
    for (part, count) in [
        ("it came from a file", 2),
        ("only the first part", 1),
        ("no single record", 1),
        ("no dead letter", 1),
    ] {
        assert!(
            left.iter().any(|(reason, of)| reason.contains(part) && *of == count),
            "{part}: {left:?}"
        );
    }
    // Those of a file go to a file, once.
    let again = folder.path().join("again.jsonl");
    for _ in 0..2 {
        send(&target, &to(again.to_str().expect("the path is UTF-8"))).await;
        assert_eq!(fs::read_to_string(&again).expect("it is there"), "value 0\nvalue 1\n");
    }
    assert_eq!(waiting(&target).await, ["bad_record", "expression"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_letters_that_begins_anew_is_sent_from_its_start() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("dead.jsonl");
    let target = file(&path);
    let options = to(folder.path().join("again.jsonl").to_str().expect("the path is UTF-8"));
    keep(&target, &[in_file(0), in_file(1)]).await;
    assert_eq!(sent(&send(&target, &options).await), 2);
    fs::remove_file(&path).expect("it is there");
    keep(&target, &[in_file(5), in_file(6), in_file(7)]).await;
    assert_eq!(sent(&send(&target, &options).await), 3);
    assert_eq!(sent(&send(&target, &options).await), 0);
    // What remembers it was cut short by a crash: the last run of lines is sent again, the others are not.
    keep(&target, &[in_file(8)]).await;
    assert_eq!(sent(&send(&target, &options).await), 1);
    let state = folder.path().join("dead.jsonl.replayed");
    let text = fs::read(&state).expect("it is there");
    fs::write(&state, &text[..text.len() - 2]).expect("it can be written");
    assert_eq!(sent(&send(&target, &options).await), 1);
    assert_eq!(sent(&send(&target, &options).await), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_calls_do_not_send_the_letters_of_one_file() {
    let folder = TempDir::new().expect("a folder");
    let target = file(&folder.path().join("dead.jsonl"));
    keep(&target, &[in_file(0)]).await;
    let first = KeptLetters::open_to_replay(&target, "g").await.expect("it opens");
    let error = KeptLetters::open_to_replay(&target, "g")
        .await
        .err()
        .expect("the first is at work");
    assert!(error.to_string().contains("another process"), "{error}");
    KeptLetters::open(&target, "g")
        .await
        .expect("they can be looked at meanwhile");
    drop(first);
    KeptLetters::open_to_replay(&target, "g")
        .await
        .expect("the first has ended");
}
