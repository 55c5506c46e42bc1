//! JSON records to typed rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMillisecondType, TimestampNanosecondType, UInt64Type,
};
use serde_json::{Value, json};
use sightstream_connectors::format::{BytesEncoding, JsonOptions, RecordDecoder};

use crate::kit::{decode, decode_as, field, json_field, reason, record, table};

#[test]
fn every_sql_type_is_read_from_its_json() {
    let list = |item| DataType::List(Arc::new(field("item", item)));
    let object = DataType::Struct(vec![field("x", DataType::Int32), field("y", DataType::Utf8)].into());
    let rows = decode(
        vec![
            field("text", DataType::Utf8),
            field("small", DataType::Int16),
            field("int", DataType::Int32),
            field("big", DataType::Int64),
            field("float", DataType::Float32),
            field("double", DataType::Float64),
            field("flag", DataType::Boolean),
            field("date", DataType::Date32),
            field("bytes", DataType::Binary),
            field("price", DataType::Decimal128(10, 2)),
            field("vector", list(DataType::Float32)),
            field("point", object),
        ],
        r#"{"text": "a \"q\" \u00e9", "small": -3, "int": 7, "big": 9007199254740993, "float": 0.1, "double": 1e300,
            "flag": true, "date": "2025-01-31", "bytes": "AAH/", "price": 12.5, "vector": [1, 2.5, null],
            "point": {"x": 4, "z": 1}, "unknown": {"deep": [1]}}"#,
    )
    .expect("every value fits");
    assert_eq!(rows["text"].as_string::<i32>().value(0), "a \"q\" é");
    assert_eq!(rows["small"].as_primitive::<Int16Type>().value(0), -3);
    assert_eq!(rows["int"].as_primitive::<Int32Type>().value(0), 7);
    assert_eq!(rows["big"].as_primitive::<Int64Type>().value(0), 9_007_199_254_740_993);
    assert_eq!(rows["float"].as_primitive::<Float32Type>().value(0), 0.1);
    assert_eq!(rows["double"].as_primitive::<Float64Type>().value(0), 1e300);
    assert!(rows["flag"].as_boolean().value(0));
    assert_eq!(rows["date"].as_primitive::<Date32Type>().value(0), 20_119);
    assert_eq!(rows["bytes"].as_binary::<i32>().value(0), [0, 1, 255]);
    assert_eq!(rows["price"].as_primitive::<Decimal128Type>().value(0), 1250);
    let vector = rows["vector"].as_list::<i32>().value(0);
    assert_eq!(
        *vector,
        *(Arc::new(Float32Array::from(vec![Some(1.0), Some(2.5), None])) as ArrayRef)
    );
    let point = rows["point"].as_struct();
    assert_eq!(point.column(0).as_primitive::<Int32Type>().value(0), 4);
    assert!(point.column(1).is_null(0));
}

#[test]
fn numbers_may_stand_in_strings_and_integers_lose_what_is_behind_their_point() {
    let rows = decode(
        vec![
            field("a", DataType::Int64),
            field("b", DataType::Float64),
            field("c", DataType::Int32),
            field("d", DataType::Int32),
            field("e", DataType::UInt64),
        ],
        r#"{"a": "12", "b": "1.5", "c": 3.9, "d": -3.9, "e": 1.8e19}"#,
    )
    .expect("all are numbers");
    assert_eq!(rows["a"].as_primitive::<Int64Type>().value(0), 12);
    assert_eq!(rows["b"].as_primitive::<Float64Type>().value(0), 1.5);
    assert_eq!(rows["c"].as_primitive::<Int32Type>().value(0), 3);
    assert_eq!(rows["d"].as_primitive::<Int32Type>().value(0), -3);
    assert_eq!(
        rows["e"].as_primitive::<UInt64Type>().value(0),
        18_000_000_000_000_000_000
    );
}

#[test]
fn a_value_of_another_type_is_rejected_with_the_column_and_what_was_found() {
    for (data_type, value, expected) in [
        (
            DataType::Utf8,
            r#"{"c": 17}"#,
            "column `c`: expected TEXT, found the number 17",
        ),
        (
            DataType::Int64,
            r#"{"c": "many"}"#,
            "column `c`: expected BIGINT, found the string \"many\"",
        ),
        (
            DataType::Int64,
            r#"{"c": "1.5"}"#,
            "column `c`: expected BIGINT, found the string \"1.5\"",
        ),
        (
            DataType::Int64,
            r#"{"c": 1e300}"#,
            "found the number 1e300, which is out of its range",
        ),
        (
            DataType::Int16,
            r#"{"c": 40000}"#,
            "found the number 40000, which is out of its range",
        ),
        (DataType::Float32, r#"{"c": 1e39}"#, "out of its range"),
        (
            DataType::Float64,
            r#"{"c": "NaN"}"#,
            "expected DOUBLE, found the string \"NaN\"",
        ),
        (
            DataType::Boolean,
            r#"{"c": "true"}"#,
            "expected BOOLEAN, found the string \"true\"",
        ),
        (DataType::Date32, r#"{"c": "31.1.2025"}"#, "expected DATE"),
        (DataType::Binary, r#"{"c": "not base64!"}"#, "expected BYTEA"),
        (
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            r#"{"c": "noon"}"#,
            "expected TIMESTAMP",
        ),
        (
            DataType::List(Arc::new(field("item", DataType::Float32))),
            r#"{"c": [1, "x"]}"#,
            "column `c[1]`: expected FLOAT, found the string \"x\"",
        ),
        (
            DataType::List(Arc::new(field("item", DataType::Float32))),
            r#"{"c": {}}"#,
            "expected FLOAT[], found the object",
        ),
        (
            DataType::Struct(vec![field("x", DataType::Int32)].into()),
            r#"{"c": {"x": []}}"#,
            "column `c.x`: expected INT, found the array []",
        ),
    ] {
        let found = reason(data_type, value);
        assert!(found.contains(expected), "{value}: {found}");
    }
}

#[test]
fn what_is_no_json_object_is_rejected() {
    let decoder = RecordDecoder::new(&table(vec![field("c", DataType::Utf8)], &[]), JsonOptions::default())
        .expect("the table is well formed");
    for (value, expected) in [
        (&b"{\"c\": \"x\""[..], "not JSON"),
        (b"{\"c\": \"x\"} {}", "not JSON"),
        (b"", "the value is empty"),
        (b"[1, 2]", "expected a JSON object, found the array"),
        (b"null", "found null"),
        (b"{\"c\": \"\xff\"}", "not UTF-8 (at byte 7)"),
        (b"{\"c\": \"\\ud800\"}", "column `c`"),
    ] {
        let found = decoder.decode(&record(value)).expect_err("it is no object");
        assert!(found.contains(expected), "{found}");
    }
    let deep = "[".repeat(100_000);
    decoder.decode(&record(deep.as_bytes())).expect_err("it is no object");
}

#[test]
fn a_missing_field_is_null_unless_the_column_is_not_null() {
    let rows = decode(vec![field("c", DataType::Int64), json_field("j")], "{}").expect("both may be NULL");
    assert!(rows["c"].is_null(0) && rows["j"].is_null(0));
    let required = || vec![Field::new("c", DataType::Int64, false)];
    assert!(
        decode(required(), "{}")
            .expect_err("it is missing")
            .contains("column `c` is NOT NULL and is missing")
    );
    assert!(
        decode(required(), r#"{"c": null}"#)
            .expect_err("it is null")
            .contains("is null")
    );
}

#[test]
fn timestamps_are_rfc_3339_or_a_number_in_the_columns_unit() {
    let nanos = |value: &str| {
        let rows = decode(vec![field("t", DataType::Timestamp(TimeUnit::Nanosecond, None))], value);
        rows.expect("it is a timestamp")["t"]
            .as_primitive::<TimestampNanosecondType>()
            .value(0)
    };
    let noon = 1_738_324_800_000_000_000;
    for value in [
        r#"{"t": "2025-01-31T12:00:00Z"}"#,
        r#"{"t": "2025-01-31T13:00:00+01:00"}"#,
        r#"{"t": "2025-01-31 12:00:00"}"#,
        r#"{"t": 1738324800000000000}"#,
    ] {
        assert_eq!(nanos(value), noon, "{value}");
    }
    assert_eq!(nanos(r#"{"t": "2025-01-31T12:00:00.000000001Z"}"#), noon + 1);
    let rows = decode(
        vec![field("t", DataType::Timestamp(TimeUnit::Millisecond, None))],
        r#"{"t": 5}"#,
    );
    assert_eq!(
        rows.expect("it is a timestamp")["t"]
            .as_primitive::<TimestampMillisecondType>()
            .value(0),
        5
    );
}

#[test]
fn json_columns_keep_the_text_of_any_value_without_white_space() {
    let payload = r#"{"b": [1, {"x": null}],  "a b": 1.50, "c" : "d \" { , \\"}"#;
    let fields = vec![json_field("payload"), json_field("other")];
    let rows = decode(fields, &format!(r#"{{"payload": {payload}, "other": "a text"}}"#)).expect("any value fits");
    assert_eq!(
        rows["payload"].as_string::<i32>().value(0),
        r#"{"b":[1,{"x":null}],"a b":1.50,"c":"d \" { , \\"}"#
    );
    assert_eq!(rows["other"].as_string::<i32>().value(0), "\"a text\"");
}

#[test]
fn a_vector_is_a_list_or_its_bytes() {
    let list = || DataType::List(Arc::new(field("item", DataType::Float32)));
    let pair = || DataType::FixedSizeList(Arc::new(field("item", DataType::Float32)), 2);
    let hex = JsonOptions {
        bytes: BytesEncoding::Hex,
        ..Default::default()
    };
    let numbers = Float32Array::from(vec![1.0, -2.5]);
    // 1.0 and -2.5: 0000803f 000020c0.
    for (options, value) in [
        (JsonOptions::default(), r#"{"v": [1.0, -2.5]}"#),
        (JsonOptions::default(), r#"{"v": "AACAPwAAIMA="}"#),
        (JsonOptions::default(), r#"{"v": "AACAPwAAIMA"}"#),
        (hex, r#"{"v": "0000803f000020c0"}"#),
        (hex, r#"{"v": [1, -2.5]}"#),
    ] {
        for data_type in [list(), pair()] {
            let rows = decode_as(&table(vec![field("v", data_type)], &[]), options, value).expect(value);
            let vector = arrow::compute::cast(&rows["v"], &list()).expect("it is a list");
            assert_eq!(*vector.as_list::<i32>().value(0), numbers, "{value}");
        }
    }
    assert!(decode(vec![field("v", list())], r#"{"v": null}"#).expect("it may be NULL")["v"].is_null(0));
    for (data_type, value, expected) in [
        (
            list(),
            r#"{"v": "AACAPwAAIA=="}"#,
            "column `v`: 7 bytes are no whole number of 4-byte floats",
        ),
        (list(), r#"{"v": "AADAfw=="}"#, "holds NaN at position 0"),
        (
            list(),
            r#"{"v": "no base64!"}"#,
            "expected FLOAT[], found the string \"no base64!\"",
        ),
        (pair(), r#"{"v": "AACAPw=="}"#, "column `v`: expected 2 items, found 1"),
        (
            DataType::List(Arc::new(field("item", DataType::Float64))),
            r#"{"v": "AACAPw=="}"#,
            "expected DOUBLE[]",
        ),
    ] {
        let found = decode(vec![field("v", data_type)], value).expect_err(value);
        assert!(found.contains(expected), "{value}: {found}");
    }
}

#[test]
fn an_unstructured_record_is_one_value() {
    let options = JsonOptions {
        unstructured: true,
        ..Default::default()
    };
    let fields = || vec![json_field("value"), field("o", DataType::Int64)];
    let declared = table(fields(), &[("o", "offset_id")]);
    for record in [r#"{"a": [1 ]}"#, "no JSON", "[1]"] {
        let rows = decode_as(&declared, options, record).expect("any text fits");
        assert_eq!(rows["value"].as_string::<i32>().value(0), record);
        assert_eq!(rows["o"].as_primitive::<Int64Type>().value(0), 17);
    }
    for fields in [
        fields(),
        vec![field("value", DataType::Utf8)],
        vec![json_field("other")],
    ] {
        let error = RecordDecoder::new(&table(fields, &[]), options).expect_err("there is more than `value JSON`");
        assert!(error.to_string().contains("one column `value` of type JSON"), "{error}");
    }
}

#[test]
fn bytes_are_base64_unless_the_table_says_hexadecimal() {
    let table = table(vec![field("b", DataType::Binary)], &[]);
    let bytes = |options, value: &str| {
        decode_as(&table, options, value).map(|rows| rows["b"].as_binary::<i32>().value(0).to_vec())
    };
    let hex = JsonOptions {
        bytes: BytesEncoding::Hex,
        ..Default::default()
    };
    assert_eq!(
        bytes(JsonOptions::default(), r#"{"b": "q83v"}"#),
        Ok(vec![0xab, 0xcd, 0xef])
    );
    assert_eq!(bytes(JsonOptions::default(), r#"{"b": "q80="}"#), Ok(vec![0xab, 0xcd]));
    assert_eq!(
        bytes(JsonOptions::default(), r#"{"b": "q80"}"#),
        Ok(vec![0xab, 0xcd]),
        "padding may be left out"
    );
    assert_eq!(bytes(hex, r#"{"b": "abCD"}"#), Ok(vec![0xab, 0xcd]));
    bytes(hex, r#"{"b": "abc"}"#).expect_err("half a byte");
}

#[test]
fn metadata_columns_come_from_the_record() {
    let fields = || {
        vec![
            field("id", DataType::Utf8),
            field("o", DataType::Int64),
            field("p", DataType::Int32),
            field("t", DataType::Utf8),
            field("ms", DataType::Int64),
            field("at", DataType::Timestamp(TimeUnit::Nanosecond, None)),
            field("k", DataType::Binary),
            field("ktext", DataType::Utf8),
            json_field("h"),
        ]
    };
    let metadata = [
        ("o", "offset_id"),
        ("p", "partition"),
        ("t", "topic"),
        ("ms", "timestamp"),
        ("at", "timestamp"),
        ("k", "key"),
        ("ktext", "key"),
        ("h", "headers"),
    ];
    let rows = decode_as(
        &table(fields(), &metadata),
        JsonOptions::default(),
        r#"{"id": "a", "o": "not this"}"#,
    )
    .expect("the record fits");
    assert_eq!(rows["o"].as_primitive::<Int64Type>().value(0), 17);
    assert_eq!(rows["p"].as_primitive::<Int32Type>().value(0), 3);
    assert_eq!(rows["t"].as_string::<i32>().value(0), "media-topic");
    assert_eq!(rows["ms"].as_primitive::<Int64Type>().value(0), 1_700_000_000_123);
    assert_eq!(
        rows["at"].as_primitive::<TimestampNanosecondType>().value(0),
        1_700_000_000_123_000_000
    );
    assert_eq!(rows["k"].as_binary::<i32>().value(0), b"k1");
    assert_eq!(rows["ktext"].as_string::<i32>().value(0), "k1");
    let headers: Value = serde_json::from_str(rows["h"].as_string::<i32>().value(0)).expect("headers are JSON");
    assert_eq!(headers, json!({"trace": ["a", "b"], "empty": null}));

    let wrong = RecordDecoder::new(&table(fields(), &[("id", "offsets")]), JsonOptions::default());
    assert!(
        wrong
            .expect_err("no such metadata")
            .to_string()
            .contains("there are offset_id")
    );
    let wrong = RecordDecoder::new(&table(fields(), &[("t", "offset_id")]), JsonOptions::default());
    assert!(wrong.expect_err("TEXT holds no offset").to_string().contains("BIGINT"));
}

#[test]
fn string_views_and_fixed_lists_can_be_declared() {
    let fixed = DataType::FixedSizeList(Arc::new(field("item", DataType::Float32)), 2);
    let fields = || vec![field("s", DataType::Utf8View), field("v", fixed.clone())];
    let rows = decode(fields(), r#"{"s": "x", "v": [1, 2]}"#).expect("both fit");
    assert_eq!(rows["s"].as_string_view().value(0), "x");
    assert_eq!(rows["v"].as_fixed_size_list().value(0).len(), 2);
    assert!(
        decode(fields(), r#"{"v": [1]}"#)
            .expect_err("too short")
            .contains("expected 2 items, found 1")
    );
    assert!(decode(fields(), "{}").expect("both may be NULL")["v"].is_null(0));
}
