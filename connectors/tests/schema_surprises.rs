//! Records that are not what their table expects: each is read as documented, or refused by itself with a short reason.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use serde_json::Value;
use sightstream_connectors::format::{JsonEncoder, JsonOptions, RecordDecoder, TYPE_JSON, TYPE_KEY};
use sightstream_connectors::{Origin, OriginKind, SourceRecord, TableDefinition};

fn decoder() -> RecordDecoder {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let list = DataType::List(Arc::new(field("item", DataType::Utf8)));
    let place = DataType::Struct(vec![field("lat", DataType::Float64)].into());
    let json = field("extra", DataType::Utf8).with_metadata([(TYPE_KEY.into(), TYPE_JSON.into())].into());
    let fields = vec![
        Field::new("id", DataType::Utf8, false),
        field("n", DataType::Int64),
        field("size", DataType::UInt32),
        field("x", DataType::Float64),
        field("flag", DataType::Boolean),
        field("tags", list),
        field("place", place),
        field("at", DataType::Timestamp(TimeUnit::Nanosecond, None)),
        json,
    ];
    let table = TableDefinition {
        name: "media".into(),
        schema: Arc::new(Schema::new(fields)),
        metadata_columns: Vec::new(),
        options: Default::default(),
    };
    RecordDecoder::new(&table, JsonOptions::default()).expect("the table is well formed")
}

/// The rows of one record, or the reason why it is none.
fn rows(decoder: &RecordDecoder, value: Option<&[u8]>) -> Result<RecordBatch, String> {
    let record = SourceRecord {
        value: value.map(<[u8]>::to_vec),
        key: None,
        headers: Vec::new(),
        truncated: false,
        origin: Origin {
            kind: OriginKind::Topic,
            table: "media".into(),
            topic: "media".into(),
            partition: 0,
            offset: 0,
            timestamp_ms: None,
        },
    };
    let row = decoder.decode(&record)?;
    Ok(decoder.batch(&[row]).expect("a decoded row makes a batch"))
}

/// The row of a record as JSON, or the reason why it is none.
fn decode(decoder: &RecordDecoder, value: Option<&[u8]>) -> Result<Value, String> {
    let batch = rows(decoder, value)?;
    let lines = JsonEncoder::new(JsonOptions::default()).encode(&batch);
    let lines = lines.expect("every type can be written");
    Ok(serde_json::from_slice(&lines[0]).expect("a row is written as JSON"))
}

#[test]
fn a_record_that_does_not_fit_is_refused_by_itself_with_a_short_reason() {
    let decoder = decoder();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let huge = format!(r#"{{"id": "a", "n": "{}"}}"#, "x".repeat(5 << 20));
    let long_key = format!(r#"{{"{}": 1"#, "k".repeat(1 << 20));
    let deep_tags = format!(r#"{{"id": "a", "tags": {deep}}}"#);
    let deep_open = "[".repeat(100_000);
    let cases: &[(&[u8], &str)] = &[
        (b"", "the value is empty"),
        (b" \n\t ", "the value is empty"),
        (b"\xef\xbb\xbf", "the value is empty"),
        (b"not json", "the value is not JSON"),
        (b"{\"id\": \"a\"", "the value is not JSON"),
        (
            b"{\"id\": \"a\"} {\"id\": \"b\"}",
            "the value is not JSON: trailing characters",
        ),
        (b"{'id': 'a'}", "the value is not JSON"),
        (b"{\"id\": \"a\",}", "the value is not JSON"),
        (b"{\"id\": \"a\", \"x\": NaN}", "the value is not JSON"),
        (b"{\"id\": \"a\", \"x\": Infinity}", "the value is not JSON"),
        (b"{\"id\": \"\xff\"}", "the value is not UTF-8 (at byte 8)"),
        (b"\x00\x00\x00\x00\x05{}", "the value is not JSON"),
        (b"[{\"id\": \"a\"}]", "expected a JSON object, found the array"),
        (b"\"a\"", "expected a JSON object, found the string"),
        (b"7", "expected a JSON object, found the number 7"),
        (b"null", "expected a JSON object, found null"),
        (b"true", "expected a JSON object, found the boolean"),
        (deep.as_bytes(), "expected a JSON object, found the array"),
        (deep_open.as_bytes(), "the value is not JSON"),
        (b"{}", "column `id` is NOT NULL and is missing"),
        (b"{\"ID\": \"a\"}", "column `id` is NOT NULL and is missing"),
        (b"{\"id\": null}", "column `id` is NOT NULL and is null"),
        (b"{\"id\": 7}", "column `id`: expected TEXT, found the number 7"),
        (b"{\"id\": \"\\ud800\"}", "column `id`: expected TEXT"),
        (b"{\"id\": \"a\", \"\\udc00\": 1}", "the value is not JSON"),
        (
            b"{\"id\": \"a\", \"n\": \"1.5\"}",
            "column `n`: expected BIGINT, found the string \"1.5\"",
        ),
        (
            b"{\"id\": \"a\", \"n\": 9223372036854775808}",
            "column `n`: expected BIGINT",
        ),
        (
            b"{\"id\": \"a\", \"n\": -9223372036854775809}",
            "column `n`: expected BIGINT",
        ),
        (b"{\"id\": \"a\", \"n\": 1e400}", "column `n`: expected BIGINT"),
        (
            b"{\"id\": \"a\", \"n\": {}}",
            "column `n`: expected BIGINT, found the object",
        ),
        (
            b"{\"id\": \"a\", \"size\": -1}",
            "column `size`: expected INT UNSIGNED, found the number -1",
        ),
        (b"{\"id\": \"a\", \"size\": 4294967296}", "out of its range"),
        (
            b"{\"id\": \"a\", \"x\": 1e999}",
            "column `x`: expected DOUBLE, found the number 1e999",
        ),
        (b"{\"id\": \"a\", \"x\": \"NaN\"}", "column `x`: expected DOUBLE"),
        (
            b"{\"id\": \"a\", \"flag\": 1}",
            "column `flag`: expected BOOLEAN, found the number 1",
        ),
        (
            b"{\"id\": \"a\", \"flag\": \"true\"}",
            "column `flag`: expected BOOLEAN, found the string",
        ),
        (
            b"{\"id\": \"a\", \"tags\": \"b\"}",
            "column `tags`: expected TEXT[], found the string",
        ),
        (
            b"{\"id\": \"a\", \"tags\": [\"b\", 1]}",
            "column `tags[1]`: expected TEXT, found the number 1",
        ),
        (
            deep_tags.as_bytes(),
            "column `tags[0]`: expected TEXT, found the array [[[",
        ),
        (
            b"{\"id\": \"a\", \"place\": [1]}",
            "column `place`: expected STRUCT, found the array",
        ),
        (
            b"{\"id\": \"a\", \"place\": {\"lat\": \"north\"}}",
            "column `place.lat`: expected DOUBLE",
        ),
        (
            b"{\"id\": \"a\", \"at\": \"yesterday\"}",
            "column `at`: expected TIMESTAMP",
        ),
        (
            b"{\"id\": \"a\", \"at\": 99999999999999999999}",
            "column `at`: expected TIMESTAMP",
        ),
        (huge.as_bytes(), "column `n`: expected BIGINT, found the string"),
        (long_key.as_bytes(), "the value is not JSON"),
    ];
    for (value, expected) in cases {
        let shown = String::from_utf8_lossy(&value[..value.len().min(80)]).into_owned();
        let reason = decode(&decoder, Some(value)).expect_err(&shown);
        assert!(reason.contains(expected), "{shown}: {reason}");
        assert!(reason.len() < 300, "{shown}: the reason has {} bytes", reason.len());
    }
    assert_eq!(decode(&decoder, None), Err("the record has no value".into()));
}

#[test]
fn the_reason_does_not_tell_what_a_url_holds() {
    let value = br#"{"id": "a", "n": "https://me:s3cret@host/a.png?sig=s3cret"}"#;
    let reason = decode(&decoder(), Some(value)).expect_err("a url is no number");
    assert!(reason.contains("https://") && !reason.contains("s3cret"), "{reason}");
}

#[test]
fn what_a_record_has_beyond_its_table_or_lacks_is_no_failure() {
    let decoder = decoder();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_unknown = format!(r#"{{"id": "a", "unknown": {deep}}}"#);
    let huge = format!(r#"{{"id": "{}"}}"#, "x".repeat(5 << 20));
    let id = |value: &[u8]| decode(&decoder, Some(value)).expect("it is read")["id"].clone();
    // A field that no column names may hold anything that is JSON.
    assert_eq!(id(deep_unknown.as_bytes()), "a");
    assert_eq!(id(br#"{"id": "a", "unknown": "\ud800", "other": 1e999}"#), "a");
    // Of a name that repeats, the last counts.
    assert_eq!(id(br#"{"id": "a", "id": "b"}"#), "b");
    // A byte order mark is passed over.
    assert_eq!(id(b"\xef\xbb\xbf{\"id\": \"a\"}"), "a");
    assert_eq!(id(b"\r\n {\"id\": \"a\"} \r\n"), "a");
    assert_eq!(id(r#"{"id": "\u0000 \ud83d\ude00 é"}"#.as_bytes()), "\u{0} 😀 é");
    assert_eq!(id(huge.as_bytes()).as_str().map(str::len), Some(5 << 20));

    let row = decode(
        &decoder,
        Some(br#"{"id": "", "n": -9223372036854775808, "size": "4294967295", "x": -0.0}"#),
    );
    let row = row.expect("these are the ends of the ranges");
    assert_eq!((&row["id"], &row["n"]), (&"".into(), &i64::MIN.into()));
    assert_eq!(row["size"], u32::MAX);
    assert!(row["flag"].is_null() && row["tags"].is_null() && row["extra"].is_null());
}

#[test]
fn a_json_column_keeps_whatever_is_json() {
    let decoder = decoder();
    let extra = |value: &str| {
        let rows = rows(&decoder, Some(value.as_bytes())).expect("any JSON can be kept");
        rows["extra"].as_string::<i32>().value(0).to_string()
    };
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let value = format!(r#"{{"id": "a", "extra": {deep}}}"#);
    assert_eq!(extra(&value).len(), 200_000);
    for json in ["1e999", "\"\\ud800\"", "{\"a\":1,\"a\":2}", "18446744073709551616"] {
        let value = format!(r#"{{"id": "a", "extra": {json}}}"#);
        assert_eq!(extra(&value), json);
    }
}
