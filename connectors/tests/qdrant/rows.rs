//! What becomes of a row.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Float32Type, Int32Type, Int64Type};
use serde_json::{Value, json};
use sightstream_connectors::Rejection;
use sightstream_connectors::qdrant::{PointId, Vectors};

use crate::support::*;

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn unit(rows: usize) -> ArrayRef {
    lists(&vec![Some(vec![1.0, 0.0]); rows])
}

async fn payload_of(batch: &RecordBatch) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let (points, rejections) = written(folder.path(), batch).await;
    assert_eq!(rejections, []);
    let (records, _) = points.scroll(None, 1).await.expect("the points");
    Value::Object(records[0].payload.clone())
}

async fn rejections_of(batch: &RecordBatch) -> Vec<Rejection> {
    let folder = tempfile::tempdir().expect("a folder");
    written(folder.path(), batch).await.1
}

#[tokio::test]
async fn sql_types_are_kept_in_the_payload() {
    let timestamp = TimestampMicrosecondArray::from(vec![1_714_564_800_250_000]);
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None, Some(3)])]);
    let inner = StructArray::from(vec![
        (
            Arc::new(Field::new("wide", DataType::Int32, true)),
            Arc::new(Int32Array::from(vec![640])) as ArrayRef,
        ),
        (Arc::new(Field::new("name", DataType::Utf8, true)), texts(&["png"])),
    ]);
    let batch = columns(vec![
        ("id", false, texts(&["7"])),
        ("vector", false, unit(1)),
        ("big", false, Arc::new(Int64Array::from(vec![i64::MIN]))),
        ("small", false, Arc::new(Int8Array::from(vec![-1]))),
        ("score", false, Arc::new(Float32Array::from(vec![0.1]))),
        ("double", false, Arc::new(Float64Array::from(vec![1e300]))),
        ("odd", false, Arc::new(Float64Array::from(vec![f64::NAN]))),
        ("seen", false, Arc::new(BooleanArray::from(vec![true]))),
        ("at", false, Arc::new(timestamp.clone())),
        ("zoned", false, Arc::new(timestamp.with_timezone("+02:00"))),
        ("day", false, Arc::new(Date32Array::from(vec![19_844]))),
        ("tags", false, Arc::new(list)),
        ("shape", false, Arc::new(inner)),
        ("bytes", false, Arc::new(BinaryArray::from_vec(vec![b"\x00\xff"]))),
        ("view", false, Arc::new(StringViewArray::from(vec!["seen through"]))),
        ("large", false, Arc::new(LargeStringArray::from(vec!["large"]))),
        ("extra", true, texts(&[r#"{"a": [1, {"b": null}]}"#])),
        ("nothing", false, Arc::new(StringArray::from(vec![None::<&str>]))),
    ]);
    assert_eq!(
        payload_of(&batch).await,
        json!({
            "big": i64::MIN, "small": -1, "score": 0.1, "double": 1e300, "odd": "NaN", "seen": true,
            "at": "2024-05-01T12:00:00.250Z", "zoned": "2024-05-01T12:00:00.250Z", "day": "2024-05-01",
            "tags": [1, null, 3], "shape": {"wide": 640, "name": "png"}, "bytes": "AP8=",
            "view": "seen through", "large": "large", "extra": {"a": [1, {"b": null}]}, "nothing": null,
        })
    );
}

#[tokio::test]
async fn a_text_id_stays_in_the_payload_unless_it_is_the_points_own() {
    let uuid = "936da01f-9abd-4d9d-80c7-02af85c822a8";
    let ids = ["12", uuid, "sku/12", "012"];
    let batch = columns(vec![("id", false, texts(&ids)), ("vector", false, unit(4))]);
    let folder = tempfile::tempdir().expect("a folder");
    let (points, _) = written(folder.path(), &batch).await;
    let kept = |id: &'static str| {
        let points = points.clone();
        async move {
            let records = points.get(&[PointId::from_text(id)]).await.expect("the points");
            assert_eq!(records.len(), 1, "{id}");
            records[0].payload.get("id").cloned()
        }
    };
    assert_eq!(kept("12").await, None);
    assert_eq!(kept("936da01f-9abd-4d9d-80c7-02af85c822a8").await, None);
    assert_eq!(kept("sku/12").await, Some(json!("sku/12")));
    assert_eq!(kept("012").await, Some(json!("012")));
    assert_eq!(points.get(&[PointId::Number(12)]).await.expect("the point").len(), 1);
}

#[tokio::test]
async fn a_negative_number_is_an_id_too() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![-3, 3]));
    let folder = tempfile::tempdir().expect("a folder");
    let (points, rejections) = written(
        folder.path(),
        &columns(vec![("id", false, ids), ("vector", false, unit(2))]),
    )
    .await;
    assert_eq!(rejections, []);
    let records = points
        .get(&[PointId::from_text("-3"), PointId::Number(3)])
        .await
        .expect("the points");
    assert_eq!(records[0].payload.get("id"), Some(&json!("-3")));
    assert_eq!(records[1].payload.get("id"), None);
}

#[tokio::test]
async fn of_one_id_in_a_batch_the_last_row_wins() {
    let rows = [
        ("a", "first", [1.0, 0.0, 0.0, 0.0]),
        ("b", "b", [1.0; 4]),
        ("a", "last", [0.0, 1.0, 0.0, 0.0]),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let (points, rejections) = written(folder.path(), &batch(&rows)).await;
    assert_eq!(rejections, []);
    assert_eq!(points.count(&[]).await.expect("a count"), 2);
    let records = points.get(&[PointId::from_text("a")]).await.expect("the point");
    assert_eq!(records[0].payload["title"], "last");
    assert_eq!(records[0].vectors, Vectors::Unnamed(vec![0.0, 1.0, 0.0, 0.0]));
}

#[tokio::test]
async fn rows_that_can_be_no_point_come_back_with_the_reason() {
    let vectors = lists(&[
        Some(vec![1.0, 0.0]),
        None,
        Some(vec![]),
        Some(vec![1.0, f32::NAN]),
        Some(vec![1.0, 2.0, 3.0]),
        Some(vec![0.0, 1.0]),
        Some(vec![0.0, 1.0]),
    ]);
    let ids = StringArray::from(vec![
        Some("a"),
        Some("b"),
        Some("c"),
        Some("d"),
        Some("e"),
        None,
        Some("g"),
    ]);
    let extra = texts(&["{}", "{}", "{}", "{}", "{}", "{}", "{"]);
    let batch = columns(vec![
        ("id", false, Arc::new(ids)),
        ("vector", false, vectors),
        ("extra", true, extra),
    ]);
    let reasons = [
        (1, "the vector is NULL"),
        (2, "the vector is empty"),
        (3, "holds NaN at position 1"),
        (4, "3 numbers where the collection has 2"),
        (5, "the id is NULL"),
        (6, "column `extra`: not valid JSON"),
    ];
    let rejections = rejections_of(&batch).await;
    assert_eq!(rejections.len(), reasons.len(), "{rejections:?}");
    for (rejection, (row, reason)) in rejections.iter().zip(reasons) {
        assert_eq!(rejection.row, row);
        assert!(rejection.reason.contains(reason), "{rejection:?}");
    }
}

#[tokio::test]
async fn every_form_of_a_vector_is_read() {
    let single = ListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(0.5), Some(-2.0)])]);
    let double = ListArray::from_iter_primitive::<arrow::datatypes::Float64Type, _, _>([Some([Some(0.5), Some(-2.0)])]);
    let large = LargeListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(0.5), Some(-2.0)])]);
    let fixed = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(0.5), Some(-2.0)])], 2);
    let bytes: Vec<u8> = [0.5_f32, -2.0].iter().flat_map(|number| number.to_le_bytes()).collect();
    let forms: Vec<(ArrayRef, bool)> = vec![
        (Arc::new(single), false),
        (Arc::new(double), false),
        (Arc::new(large), false),
        (Arc::new(fixed), false),
        (Arc::new(BinaryArray::from_vec(vec![&bytes])), false),
        (Arc::new(LargeBinaryArray::from_vec(vec![&bytes])), false),
        (Arc::new(BinaryViewArray::from_iter_values([&bytes])), false),
        (texts(&["[0.5, -2]"]), true),
    ];
    for (vector, json) in forms {
        let kind = vector.data_type().clone();
        let folder = tempfile::tempdir().expect("a folder");
        let batch = columns(vec![("id", false, texts(&["1"])), ("vector", json, vector)]);
        let options = [
            ("url", &*embedded(folder.path())),
            ("collection", "points"),
            ("distance", "dot"),
        ];
        let sink = open(&table(batch.schema(), &options), &external())
            .await
            .expect("the sink opens");
        assert_eq!(write(sink.as_ref(), &batch).await, [], "{kind}");
        let points = collection(&embedded(folder.path()), "points").await;
        let records = points.get(&[PointId::Number(1)]).await.expect("the point");
        assert_eq!(records[0].vectors, Vectors::Unnamed(vec![0.5, -2.0]), "{kind}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_floats_are_refused() {
    let batch = columns(vec![
        ("id", false, texts(&["1", "2"])),
        ("vector", false, Arc::new(BinaryArray::from_vec(vec![&[0; 8], &[0; 7]]))),
    ]);
    let rejections = rejections_of(&batch).await;
    assert_eq!(rejections.len(), 1);
    assert!(rejections[0].reason.contains("7 bytes"), "{rejections:?}");
}

#[tokio::test]
async fn named_vectors_are_written_by_name() {
    let batch = columns(vec![
        ("id", false, texts(&["1", "2", "3"])),
        (
            "vector",
            true,
            texts(&[
                r#"{"image": [1, 0], "text": [0, 1, 0]}"#,
                r#"{"sound": [1]}"#,
                r#"{"image": {"indices": [1], "values": [1]}}"#,
            ]),
        ),
    ]);
    let folder = tempfile::tempdir().expect("a folder");
    let (points, rejections) = written(folder.path(), &batch).await;
    let records = points.get(&[PointId::Number(1)]).await.expect("the point");
    let expected = [
        ("image".to_string(), vec![1.0, 0.0]),
        ("text".to_string(), vec![0.0, 1.0, 0.0]),
    ];
    assert_eq!(records[0].vectors, Vectors::Named(expected.into()));
    assert!(rejections[0].reason.contains("no vector `sound`"), "{rejections:?}");
    assert!(rejections[1].reason.contains("sparse"), "{rejections:?}");
    assert_eq!(
        points
            .search(vec![1.0, 0.0], &[], 5)
            .await
            .expect("hits by the first name")
            .len(),
        1
    );
}

fn record_batch() -> RecordBatch {
    let names = StringArray::from(vec![Some("shoes"), Some("hats"), Some("../up"), None, Some("shoes")]);
    columns(vec![
        ("collection_name", false, Arc::new(names)),
        ("id", true, texts(&["1", r#""sku/2""#, "3", "4", "5"])),
        (
            "vector",
            true,
            texts(&["[1, 0]", "[1, 0, 0]", "[1, 0]", "[1, 0]", "[0, 1]"]),
        ),
        (
            "payload",
            true,
            texts(&[r#"{"name": "boot", "size": 42}"#, "null", "{}", "{}", "[]"]),
        ),
    ])
}

#[tokio::test]
async fn records_of_the_kafka_connect_sink_go_where_they_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = embedded(folder.path());
    let batch = record_batch();
    let sink = open(&table(batch.schema(), &[("url", &url)]), &external())
        .await
        .expect("the sink opens");
    let rejections = write(sink.as_ref(), &batch).await;
    let shoes = collection(&url, "shoes").await;
    let records = shoes.get(&[PointId::Number(1)]).await.expect("the point");
    assert_eq!(
        Value::Object(records[0].payload.clone()),
        json!({"name": "boot", "size": 42})
    );
    let hats = collection(&url, "hats").await;
    assert_eq!((hats.info().dimension, hats.info().points), (3, 1));
    let hat = hats.get(&[PointId::from_text("sku/2")]).await.expect("the point");
    assert_eq!(hat[0].payload.get("id"), Some(&json!("sku/2")));
    let rows: Vec<usize> = rejections.iter().map(|rejection| rejection.row).collect();
    assert_eq!(rows, [2, 3, 4]);
    assert!(rejections[0].reason.contains("does not allow"), "{rejections:?}");
    assert!(
        rejections[1].reason.contains("collection_name is NULL"),
        "{rejections:?}"
    );
    assert!(rejections[2].reason.contains("an object is needed"), "{rejections:?}");
}

#[tokio::test]
async fn the_tables_collection_goes_before_the_records() {
    let folder = tempfile::tempdir().expect("a folder");
    let (points, rejections) = written(folder.path(), &record_batch().slice(0, 1)).await;
    assert_eq!(rejections, []);
    assert_eq!(points.count(&[]).await.expect("a count"), 1);
}

#[tokio::test]
async fn a_null_struct_is_null() {
    let fields = vec![Field::new("n", DataType::Int64, true)];
    let values: Vec<ArrayRef> = vec![Arc::new(PrimitiveArray::<Int64Type>::from(vec![1]))];
    let shape = StructArray::new(fields.into(), values, Some(NullBuffer::from(vec![false])));
    let batch = columns(vec![
        ("id", false, texts(&["1"])),
        ("vector", false, unit(1)),
        ("shape", false, Arc::new(shape)),
    ]);
    assert_eq!(payload_of(&batch).await, json!({"shape": null}));
}

#[tokio::test]
async fn columns_that_cannot_be_used_are_named_before_the_first_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = embedded(folder.path());
    let cases = [
        (columns(vec![("vector", false, unit(1))]), "a column `id`"),
        (columns(vec![("id", false, texts(&["a"]))]), "a column `vector`"),
        (
            columns(vec![("id", false, unit(1)), ("vector", false, unit(1))]),
            "the column `id` is",
        ),
        (
            columns(vec![
                ("id", false, texts(&["a"])),
                ("vector", false, Arc::new(BooleanArray::from(vec![true]))),
            ]),
            "the column `vector` is",
        ),
    ];
    for (batch, problem) in cases {
        let opened = open(
            &table(batch.schema(), &[("url", &url), ("collection", "points")]),
            &external(),
        )
        .await;
        let error = opened.err().expect("the columns cannot be used").to_string();
        assert!(error.contains(problem), "{error}");
    }
}
