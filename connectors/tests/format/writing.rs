//! Rows to JSON, and batches to what a table declares.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, Date32Array, Decimal128Array, DictionaryArray, FixedSizeListArray,
    Float32Array, Int64Array, LargeStringArray, StringArray, StringViewArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Float32Type, Int32Type, Schema, TimeUnit};
use serde_json::{Value, json};
use sightstream_connectors::format::{BytesEncoding, Decimals, JsonEncoder, JsonOptions, Timestamps, conform};

use crate::kit::{batch, decode, encode, field, json_field};

#[test]
fn rows_are_written_with_every_column() {
    let fields = vec![
        field("id", DataType::Utf8),
        field("n", DataType::Int64),
        field("f", DataType::Float32),
        field("at", DataType::Timestamp(TimeUnit::Nanosecond, None)),
        field("b", DataType::Binary),
        field("v", DataType::List(Arc::new(field("item", DataType::Float32)))),
        json_field("j"),
        field("nothing", DataType::Utf8),
    ];
    let text = r#"{"id":"a","n":1,"f":0.1,"at":"2025-01-31T12:00:00.5Z","b":"q80=","v":[1.0,-2.5],"j":{"x":[1]},"nothing":null}"#;
    let rows = decode(fields.clone(), text).expect("the record fits");
    let mut expected: Value = serde_json::from_str(text).expect("it is JSON");
    expected["at"] = json!("2025-01-31T12:00:00.500");
    assert_eq!(encode(&rows, JsonOptions::default()), [expected.clone()]);
    let line = JsonEncoder::new(JsonOptions::default())
        .encode(&rows)
        .expect("the columns can be written")
        .remove(0);
    assert_eq!(
        decode(fields, std::str::from_utf8(&line).expect("JSON is UTF-8")).expect("it was written"),
        rows
    );
    let options = JsonOptions {
        bytes: BytesEncoding::Hex,
        timestamps: Timestamps::UnixMillis,
        ..Default::default()
    };
    let line = &encode(&rows, options)[0];
    assert_eq!(
        (&line["b"], &line["at"]),
        (&json!("abcd"), &json!(1_738_324_800_500_i64))
    );
}

#[test]
fn a_json_column_is_written_on_one_line_and_what_is_no_json_as_a_string() {
    let column = Arc::new(StringArray::from(vec![Some("{\n \"a\": 1\n}"), Some("{broken"), None]));
    let rows = batch(json_field("j"), column);
    let lines = JsonEncoder::new(JsonOptions::default())
        .encode(&rows)
        .expect("the column can be written");
    assert!(lines.iter().all(|line| !line.contains(&b'\n')));
    assert_eq!(
        encode(&rows, JsonOptions::default()),
        [json!({"j": {"a": 1}}), json!({"j": "{broken"}), json!({"j": null})]
    );
}

#[test]
fn numbers_that_json_lacks_are_written_as_null() {
    let column = Arc::new(Float32Array::from(vec![f32::NAN, f32::INFINITY, 1.0]));
    let lines = encode(&batch(field("f", DataType::Float32), column), JsonOptions::default());
    assert_eq!(lines, [json!({"f": null}), json!({"f": null}), json!({"f": 1.0})]);
}

#[test]
fn batches_of_a_plan_are_cast_to_what_the_table_declares() {
    let declared = |data_type| Arc::new(Schema::new(vec![field("c", data_type)]));
    let dictionary: DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
    let texts: [ArrayRef; 3] = [
        Arc::new(StringViewArray::from(vec!["a", "b", "a"])),
        Arc::new(LargeStringArray::from(vec!["a", "b", "a"])),
        Arc::new(dictionary),
    ];
    for column in texts {
        let rows = batch(field("c", column.data_type().clone()), column);
        let conformed = conform(&rows, &declared(DataType::Utf8)).expect("the columns match");
        assert_eq!(
            conformed.batch["c"].as_string::<i32>(),
            &StringArray::from(vec!["a", "b", "a"])
        );
    }
    let fixed = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(1.0), Some(2.0)]), None], 2);
    let rows = batch(field("c", fixed.data_type().clone()), Arc::new(fixed));
    let list = DataType::List(Arc::new(field("item", DataType::Float32)));
    let conformed = conform(&rows, &declared(list)).expect("the columns match");
    assert_eq!(
        encode(&conformed.batch, JsonOptions::default()),
        [json!({"c": [1.0, 2.0]}), json!({"c": null})]
    );

    let bytes = batch(
        field("c", DataType::BinaryView),
        Arc::new(BinaryViewArray::from_iter_values([b"ab"])),
    );
    assert_eq!(encode(&bytes, JsonOptions::default()), [json!({"c": "YWI="})]);
}

#[test]
fn a_row_that_does_not_fit_its_column_is_rejected_by_itself() {
    let rows = batch(
        field("c", DataType::Int64),
        Arc::new(Int64Array::from(vec![1, 5_000_000_000, 3])),
    );
    let schema = Arc::new(Schema::new(vec![field("c", DataType::Int32)]));
    let conformed = conform(&rows, &schema).expect("the columns match");
    assert_eq!(conformed.rows, [0, 2]);
    assert_eq!(conformed.batch["c"].as_primitive::<Int32Type>().values(), &[1, 3]);
    assert_eq!(conformed.rejections[0].row, 1);
    assert!(
        conformed.rejections[0].reason.contains("column `c`"),
        "{}",
        conformed.rejections[0].reason
    );

    let rows = batch(
        field("c", DataType::Utf8),
        Arc::new(StringArray::from(vec![None, Some("x")])),
    );
    let required = Arc::new(Schema::new(vec![Field::new("c", DataType::Utf8, false)]));
    let conformed = conform(&rows, &required).expect("the columns match");
    assert_eq!((conformed.rows, conformed.rejections.len()), (vec![1], 1));
}

#[test]
fn timestamps_with_a_time_zone_are_written_with_it() {
    let column = TimestampNanosecondArray::from(vec![0]).with_timezone("+00:00");
    let field = field("t", column.data_type().clone());
    assert_eq!(
        encode(&batch(field, Arc::new(column)), JsonOptions::default()),
        [json!({"t": "1970-01-01T00:00:00Z"})]
    );
}

#[test]
fn dates_and_decimals_are_written_as_the_table_says() {
    let row = |field: Field, column: ArrayRef, options: JsonOptions| encode(&batch(field, column), options).remove(0);
    let date = |options| {
        let column = Arc::new(Date32Array::from(vec![20_119]));
        row(field("d", DataType::Date32), column, options)
    };
    let unix = JsonOptions {
        timestamps: Timestamps::UnixMillis,
        ..Default::default()
    };
    assert_eq!(date(JsonOptions::default()), json!({"d": "2025-01-31"}));
    assert_eq!(date(unix), json!({"d": 1_738_281_600_000_i64}));
    let decimal = |decimals| {
        let column = Decimal128Array::from(vec![-1250]).with_precision_and_scale(10, 2);
        let column = Arc::new(column.expect("it has 4 digits"));
        let options = JsonOptions {
            decimals,
            ..Default::default()
        };
        row(field("d", DataType::Decimal128(10, 2)), column, options)
    };
    assert_eq!(decimal(Decimals::Number), json!({"d": -12.5}));
    assert_eq!(decimal(Decimals::String), json!({"d": "-12.50"}));
    assert_eq!(decimal(Decimals::Bytes), json!({"d": "///////////////////7Hg=="}));
}
