//! Values at the edges of their types, which fuzzing has found to go wrong.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use serde_json::{Value, json};
use sightstream_connectors::format::{JsonEncoder, JsonOptions, RecordDecoder};
use sightstream_connectors::{Origin, OriginKind, SourceRecord, TableDefinition};

fn decode(data_type: DataType, value: &str) -> Result<RecordBatch, String> {
    let table = TableDefinition {
        name: "media".into(),
        schema: Arc::new(Schema::new(vec![Field::new("c", data_type, true)])),
        metadata_columns: Vec::new(),
        options: Default::default(),
    };
    let record = SourceRecord {
        value: Some(value.as_bytes().to_vec()),
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
    let decoder = RecordDecoder::new(&table, JsonOptions::default()).expect("the type can be read");
    let row = decoder.decode(&record)?;
    Ok(decoder.batch(&[row]).expect("a decoded row is a batch"))
}

fn reason(data_type: DataType, value: &str) -> String {
    decode(data_type, value).expect_err(value)
}

fn encode(column: ArrayRef) -> Vec<Value> {
    let schema = Schema::new(vec![Field::new("c", column.data_type().clone(), true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![column]).expect("one column of its own type");
    let lines = JsonEncoder::new(JsonOptions::default()).encode(&batch);
    let lines = lines.expect("the column can be written").into_iter();
    lines
        .map(|line| serde_json::from_slice::<Value>(&line).expect("it is JSON")["c"].clone())
        .collect()
}

#[test]
fn days_and_instants_without_a_date_are_no_values() {
    let milliseconds = DataType::Timestamp(TimeUnit::Millisecond, None);
    for (data_type, value) in [
        (DataType::Date32, i64::from(i32::MAX)),
        (DataType::Date32, i64::from(i32::MIN)),
        (milliseconds.clone(), i64::MAX),
        (milliseconds, i64::MIN),
    ] {
        let reason = decode(data_type, &json!({"c": value}).to_string()).expect_err("beyond the calendar");
        assert!(
            reason.contains("expected") && reason.contains(&value.to_string()),
            "{reason}"
        );
    }
}

#[test]
fn what_has_no_date_is_written_as_its_number_and_its_neighbours_as_dates() {
    // The third is in the year 31197, which RFC 3339 cannot say.
    let dates = encode(Arc::new(Date32Array::from(vec![
        Some(i32::MAX),
        Some(0),
        Some(10_675_000),
        None,
    ])));
    assert_eq!(
        dates,
        [json!(i32::MAX), json!("1970-01-01"), json!(10_675_000), Value::Null]
    );
    let instants = [1, i64::MIN, 922_337_203_719_163];
    let written = encode(Arc::new(TimestampMillisecondArray::from(instants.to_vec())));
    assert_eq!(
        written,
        [json!("1970-01-01T00:00:00.001"), json!(i64::MIN), json!(instants[2])]
    );
    let milliseconds = DataType::Timestamp(TimeUnit::Millisecond, None);
    let read = decode(milliseconds, &json!({"c": instants[2]}).to_string()).expect("it has a date");
    assert_eq!(encode(Arc::clone(read.column(0))), [json!(instants[2])]);
}

#[test]
fn decimals_that_cannot_be_kept_are_refused_and_never_become_others() {
    let column = DataType::Decimal128(10, 2);
    let zeros = "0".repeat(256);
    let long = "9".repeat(39);
    for number in [
        "1e65536",
        "1e256",
        &format!("1{zeros}"),
        &long,
        "1e-99999999999",
        "123456789",
    ] {
        for value in [format!(r#"{{"c": {number}}}"#), format!(r#"{{"c": "{number}"}}"#)] {
            let reason = reason(column.clone(), &value);
            assert!(reason.contains("expected DECIMAL(10, 2)"), "{number}: {reason}");
        }
    }
    let precise = format!(r#"{{"c": 1{}e-38}}"#, "2".repeat(42));
    reason(column, &precise);
}

#[test]
fn a_url_with_escaped_slashes_is_not_shown() {
    for url in [
        r"https:\/\/me:s3cret@host\/a",
        r"s3:\/\/me:s3cret@b",
        "http:me:s3cret@host",
    ] {
        let told = reason(DataType::Int64, &format!(r#"{{"c": "{url}"}}"#));
        assert!(!told.contains("s3cret"), "{told}");
    }
}
