//! Records as arrow-json reads them, which Arroyo's sources are made of: what it takes, this decoder takes, and as the same
//! value; what it refuses, this decoder refuses. The exceptions are listed, and docs/dialect.md tells them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::json::ReaderBuilder;

use crate::kit::{decode, field};

/// Values to read into every type. Numbers in strings with spaces around them are left out: newer versions than Arroyo's
/// take them.
const VALUES: [&str; 56] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "1.0",
    "1.5",
    "-1.5",
    "0.1",
    "-0.5",
    "1e3",
    "1E-3",
    "2.5e2",
    "127",
    "128",
    "255",
    "256",
    "32767",
    "32768",
    "65535",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "16777217",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1.8e19",
    "1e38",
    "\"\"",
    "\"text\"",
    "\"1\"",
    "\"-1\"",
    "\"+1\"",
    "\"1.0\"",
    "\"1.5\"",
    "\"1e3\"",
    "\"0x1\"",
    "\"true\"",
    "\"2025-01-31\"",
    "\"2025-01-31T12:00:00Z\"",
    "\"2025-01-31T13:00:00.123456789+01:00\"",
    "\"2025-01-31 12:00:00\"",
    "\" 2025-01-31T12:00:00Z\"",
    "\"2025-13-01\"",
    "[]",
    "[1, \"2\", null]",
    "{\"x\": 1, \"y\": [\"a\"], \"z\": 0}",
];

/// What this decoder refuses on purpose: a TIMESTAMP that its number of 64 bits cannot hold, of which arrow-json makes the
/// largest, and one beyond the calendar, in whose place arrow-json writes an error.
fn is_exception(data_type: &DataType, value: &str) -> bool {
    let DataType::Timestamp(unit, _) = data_type else {
        return false;
    };
    let too_large = [
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1.8e19",
        "1e38",
    ];
    let beyond_calendar: &[&str] = match unit {
        TimeUnit::Second | TimeUnit::Millisecond => {
            &["9223372036854775807", "-9223372036854775808", "9007199254740993"]
        }
        TimeUnit::Microsecond => &["9223372036854775807", "-9223372036854775808"],
        TimeUnit::Nanosecond => &[],
    };
    too_large.contains(&value) || beyond_calendar.contains(&value)
}

fn by_arrow(field: &Field, record: &str) -> Option<ArrayRef> {
    let schema = Arc::new(Schema::new(vec![field.clone()]));
    let mut decoder = ReaderBuilder::new(schema).build_decoder().expect("it reads the type");
    decoder.decode(record.as_bytes()).ok()?;
    let batch: Option<RecordBatch> = decoder.flush().ok()?;
    Some(Arc::clone(batch.expect("there was a record").column(0)))
}

#[test]
fn every_value_is_read_into_every_type_as_arrow_json_reads_it() {
    let list = |item| DataType::List(Arc::new(field("item", item)));
    let types = [
        DataType::Boolean,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float64,
        DataType::Utf8,
        DataType::Timestamp(TimeUnit::Second, None),
        DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        list(DataType::Int32),
        list(DataType::Float64),
        list(DataType::Utf8),
        DataType::Struct(vec![field("x", DataType::Int32), field("y", list(DataType::Utf8))].into()),
    ];
    let mut differences = Vec::new();
    for data_type in &types {
        for nullable in [true, false] {
            let field = Field::new("c", data_type.clone(), nullable);
            for value in VALUES {
                for record in [format!(r#"{{"c": {value}, "d": 1}}"#), format!(r#"{{"d": {value}}}"#)] {
                    let ours = decode(vec![field.clone()], &record).map(|rows| Arc::clone(rows.column(0)));
                    let theirs = by_arrow(&field, &record);
                    if ours.as_ref().ok() != theirs.as_ref() && !is_exception(data_type, value) {
                        differences.push(format!("{record} as {data_type}: {ours:?}, by arrow-json {theirs:?}"));
                    }
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
