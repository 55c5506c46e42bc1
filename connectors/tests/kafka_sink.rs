//! A topic as a sink, on librdkafka's broker in this process.

mod support;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use rdkafka::message::{Headers, Message, Timestamp};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::{Value, json};
use sightstream_connectors::format::{TYPE_JSON, TYPE_KEY};
use sightstream_connectors::{Deletion, Role, SinkContext, TableDefinition, deleting, open_sink, validate};
use support::*;

fn table(servers: &str, options: &[(&str, &str)]) -> TableDefinition {
    let base = [
        ("connector", "kafka"),
        ("bootstrap_servers", servers),
        ("topic", "media"),
        ("type", "sink"),
        ("format", "json"),
    ];
    TableDefinition {
        name: "out".into(),
        schema: Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, true),
            Field::new("vector", DataType::Binary, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        ])),
        metadata_columns: Vec::new(),
        options: base
            .iter()
            .chain(options)
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
    }
}

/// Rows as a plan gives them: the ids are string views.
fn rows(ids: &[Option<&str>]) -> RecordBatch {
    let times = (1..=ids.len() as i64).map(|second| second * 1_000_000);
    let columns: [(&str, ArrayRef); 3] = [
        ("id", Arc::new(StringViewArray::from(ids.to_vec()))),
        (
            "vector",
            Arc::new(BinaryArray::from_iter_values(ids.iter().map(|_| [0, 255]))),
        ),
        ("at", Arc::new(TimestampMicrosecondArray::from_iter_values(times))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .expect("the columns are of one length")
}

fn value(message: &impl Message) -> Value {
    serde_json::from_slice(message.payload().expect("it has a value")).expect("the value is JSON")
}

#[tokio::test]
async fn rows_become_json_records_with_key_and_time() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let options = [("sink.key_field", "id"), ("sink.timestamp_field", "at")];
    let sink = within(open_sink(&table(&servers, &options), &SinkContext::default()))
        .await
        .expect("the sink opens");
    let rejections = within(sink.write(&rows(&[Some("a"), None])))
        .await
        .expect("the rows are taken");
    assert_eq!(rejections, []);
    sink.flush().await.expect("the rows are durable");
    sink.close().await.expect("the sink closes");

    let messages = tokio::task::spawn_blocking(move || consume(&servers, "media", 2))
        .await
        .expect("it reads");
    assert_eq!(
        value(&messages[0]),
        json!({"id": "a", "vector": "AP8=", "at": "1970-01-01T00:00:01"})
    );
    assert_eq!(messages[0].key(), Some(&b"a"[..]));
    assert_eq!(messages[0].timestamp(), Timestamp::CreateTime(1000));
    assert_eq!(
        (value(&messages[1])["id"].clone(), messages[1].key()),
        (Value::Null, None)
    );
}

/// A table with the columns `id TEXT, meta JSON`, of which `meta` holds the headers.
fn table_with_headers(servers: &str) -> TableDefinition {
    let json = [(TYPE_KEY.to_string(), TYPE_JSON.to_string())].into();
    TableDefinition {
        schema: Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, true),
            Field::new("meta", DataType::Utf8, true).with_metadata(json),
        ])),
        ..table(servers, &[("sink.headers_field", "meta")])
    }
}

fn rows_with_headers(headers: &[Option<&str>]) -> RecordBatch {
    let ids = (0..headers.len()).map(|id| id.to_string());
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(StringArray::from_iter_values(ids))),
        ("meta", Arc::new(StringViewArray::from(headers.to_vec()))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .expect("the columns are of one length")
}

fn headers(message: &impl Message) -> Option<Vec<(String, Option<String>)>> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the headers are text");
    let headers = message.headers()?.iter();
    Some(
        headers
            .map(|header| (header.key.to_string(), header.value.map(text)))
            .collect(),
    )
}

#[tokio::test]
async fn a_column_of_headers_becomes_the_records_headers_and_is_left_out_of_the_value() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let sink = within(open_sink(&table_with_headers(&servers), &SinkContext::default()))
        .await
        .expect("the sink opens");
    let repeated = r#"{"trace": ["1", null, "2"]}"#;
    let rows = rows_with_headers(&[Some(r#"{"z": "1", "a": "ä"}"#), None, Some("null"), Some(repeated)]);
    assert_eq!(within(sink.write(&rows)).await.expect("the rows are taken"), []);
    let messages = tokio::task::spawn_blocking(move || consume(&servers, "media", 4))
        .await
        .expect("it reads");
    let header = |name: &str, value: Option<&str>| (name.to_string(), value.map(str::to_string));
    assert_eq!(value(&messages[0]), json!({"id": "0"}));
    assert_eq!(
        messages.iter().map(headers).collect::<Vec<_>>(),
        [
            Some(vec![header("z", Some("1")), header("a", Some("ä"))]),
            None,
            None,
            Some(vec![
                header("trace", Some("1")),
                header("trace", None),
                header("trace", Some("2"))
            ]),
        ]
    );
}

#[tokio::test]
async fn a_row_whose_headers_are_no_object_of_texts_is_rejected_by_itself() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let sink = within(open_sink(&table_with_headers(&servers), &SinkContext::default()))
        .await
        .expect("the sink opens");
    let rows = rows_with_headers(&[Some("[]"), Some("{}"), Some("no JSON"), Some(r#"{"n": 1}"#), None]);
    let rejections = within(sink.write(&rows)).await.expect("two are taken");
    let reasons: Vec<(usize, &str)> = rejections
        .iter()
        .map(|rejection| (rejection.row, rejection.reason.as_str()))
        .collect();
    let no_object = "column `meta`: headers are a JSON object of names and texts";
    assert_eq!(
        reasons,
        [
            (0, no_object),
            (2, no_object),
            (3, "column `meta`: the header 'n' is not a text")
        ]
    );
    let messages = tokio::task::spawn_blocking(move || consume(&servers, "media", 2))
        .await
        .expect("it reads");
    let ids: Vec<Value> = messages.iter().map(|message| value(message)["id"].clone()).collect();
    assert_eq!(ids, ["1", "4"]);
}

#[test]
fn a_table_needs_a_column_beside_that_of_the_headers() {
    let mut table = table_with_headers("localhost:9092");
    table.schema = Arc::new(table.schema.project(&[1]).expect("it has two columns"));
    let error = validate(&table, Role::Sink).expect_err("the value would be empty");
    assert!(error.to_string().contains("the table has no other"), "{error}");
}

#[tokio::test]
async fn thousands_of_rows_are_acknowledged_in_order() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    // A queue smaller than a batch, so that writing has to wait for room.
    let options = [("client_configs", "queue.buffering.max.messages=100")];
    let sink = within(open_sink(&table(&servers, &options), &SinkContext::default()))
        .await
        .expect("the sink opens");
    let ids: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
    let ids: Vec<Option<&str>> = ids.iter().map(|id| Some(id.as_str())).collect();
    for chunk in ids.chunks(1000) {
        assert_eq!(within(sink.write(&rows(chunk))).await.expect("the rows are taken"), []);
    }
    let messages = tokio::task::spawn_blocking(move || consume(&servers, "media", 3000))
        .await
        .expect("it reads");
    let written: Vec<String> = messages
        .iter()
        .map(|message| value(message)["id"].as_str().expect("ids are text").to_string())
        .collect();
    assert_eq!(written, (0..3000).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_row_that_is_too_large_is_rejected_and_the_others_are_written() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let options = [("client_configs", "message.max.bytes=2000")];
    let sink = within(open_sink(&table(&servers, &options), &SinkContext::default()))
        .await
        .expect("the sink opens");
    let large = "x".repeat(3000);
    let rejections = within(sink.write(&rows(&[Some("a"), Some(&large), Some("c")])))
        .await
        .expect("two are taken");
    assert_eq!(
        rejections.iter().map(|rejection| rejection.row).collect::<Vec<_>>(),
        [1]
    );
    assert!(
        rejections[0].reason.contains("larger than the topic"),
        "{}",
        rejections[0].reason
    );
    let messages = tokio::task::spawn_blocking(move || consume(&servers, "media", 2))
        .await
        .expect("it reads");
    assert_eq!(
        messages
            .iter()
            .map(|message| value(message)["id"].clone())
            .collect::<Vec<_>>(),
        ["a", "c"]
    );
}

#[tokio::test]
async fn a_record_that_the_broker_refuses_is_rejected_and_a_topic_that_it_denies_is_an_error() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let sink = within(open_sink(&table(&servers, &[]), &SinkContext::default()))
        .await
        .expect("the sink opens");
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD],
    );
    let rejections = within(sink.write(&rows(&[Some("a")]))).await.expect("the sink goes on");
    assert_eq!(rejections.len(), 1);
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED],
    );
    let error = within(sink.write(&rows(&[Some("b")])))
        .await
        .expect_err("writing on is useless");
    assert!(
        !error.is_transient() && error.to_string().contains("`media`"),
        "{error}"
    );
}

#[tokio::test]
async fn writing_waits_for_a_broker_that_is_away() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let sink = within(open_sink(&table(&servers, &[]), &SinkContext::default()))
        .await
        .expect("the sink opens");
    cluster.broker_down(1).expect("the broker goes");
    let up = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        cluster.broker_up(1).expect("the broker comes back");
    };
    let batch = rows(&[Some("a")]);
    let (written, ()) = tokio::join!(within(sink.write(&batch)), up);
    assert_eq!(written.expect("the row is taken in the end"), []);
}

#[test]
fn options_that_cannot_be_used_are_named_with_the_way_out() {
    for (options, expected) in [
        (&[("sink.commit_mode", "exactly_once")][..], "at least once"),
        (&[("sink.key_field", "nope")], "the column `nope`"),
        (&[("sink.timestamp_field", "id")], "no TIMESTAMP"),
        (&[("sink.headers_field", "nope")], "the column `nope`"),
        (&[("sink.headers_field", "vector")], "neither JSON nor TEXT"),
        (&[("source.offset", "earliest")], "unknown option 'source.offset'"),
        (&[("client_configs", "transactional.id=x")], "at least once"),
    ] {
        let error = validate(&table("localhost:9092", options), Role::Sink)
            .expect_err(expected)
            .to_string();
        assert!(error.contains(expected), "{options:?}: {error}");
    }
}

#[tokio::test]
async fn a_tombstone_is_passed_on_with_its_key_between_the_rows() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let sink = within(open_sink(
        &table(&servers, &[("sink.key_field", "id")]),
        &SinkContext::default(),
    ))
    .await
    .expect("the sink opens");
    let deletion = |key: Option<&str>, before| Deletion {
        key: key.map(|key| key.as_bytes().to_vec()),
        before,
    };
    let deletions = [
        deletion(Some("first"), 0),
        deletion(Some("b"), 1),
        deletion(None, 1),
        deletion(Some("b"), 2),
    ];
    let rejections = within(sink.write_and_delete(&rows(&[Some("a"), Some("b")]), &deletions))
        .await
        .expect("they are taken");
    assert!(rejections.rows.is_empty());
    assert_eq!(
        rejections
            .deletions
            .iter()
            .map(|rejection| rejection.row)
            .collect::<Vec<_>>(),
        [2]
    );
    let messages = tokio::task::spawn_blocking(move || consume(&servers, "media", 5))
        .await
        .expect("it reads");
    let written: Vec<_> = messages
        .iter()
        .map(|message| (message.key().unwrap_or_default(), message.payload().is_some()))
        .collect();
    let expected: [(&[u8], bool); 5] = [
        (b"first", false),
        (b"a", true),
        (b"b", false),
        (b"b", true),
        (b"b", false),
    ];
    assert_eq!(written, expected);
}

#[test]
fn a_topic_without_keys_cannot_take_tombstones() {
    let error = deleting(&table("localhost:1", &[]))
        .expect_err("there is no key")
        .to_string();
    assert!(error.contains("'sink.key_field'"), "{error}");
}
