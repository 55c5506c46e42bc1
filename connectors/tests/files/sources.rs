//! Reading lines and Parquet files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float32Array, Int64Array, ListArray, StringArray};
use arrow::datatypes::{DataType, Field, Float32Type, Int32Type, Int64Type, Schema};
use serde_json::{Value, json};
use sightstream_connectors::{EpochLimits, MetadataColumn, Role, SourceContext, open_source, validate};
use tempfile::TempDir;

use crate::kit::{epochs, ids, open, parquet, table};

#[tokio::test]
async fn lines_are_read_whatever_their_ends_and_bad_ones_are_rejected_with_their_number() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("in.jsonl");
    fs::write(
        &path,
        "{\"id\": \"a\"}\r\n\n{broken\n   \n{\"id\": \"b\", \"n\": 2}\n{\"id\": 3}\n{\"id\": \"last\"}",
    )
    .expect("the file can be written");
    let epochs = epochs(&table("single_file", "source", &path, "json"), 256).await;
    assert_eq!(epochs.len(), 1);
    assert_eq!(ids(&epochs), ["a", "b", "last"]);
    assert_eq!(epochs[0].batch["n"].as_primitive::<Int64Type>().value(1), 2);
    let origins: Vec<_> = epochs[0].records.iter().map(|record| record.origin.offset).collect();
    assert_eq!(origins, [0, 4, 6], "the line, counted from 0");
    let rejected = &epochs[0].rejected;
    assert_eq!(rejected.len(), 2);
    assert!(
        rejected[0].reason.contains("in.jsonl, line 3: the value is not JSON"),
        "{}",
        rejected[0].reason
    );
    assert!(
        rejected[1].reason.contains("line 6: column `id`"),
        "{}",
        rejected[1].reason
    );
    assert_eq!(rejected[0].record.value.as_deref(), Some(&b"{broken"[..]));
}

#[tokio::test]
async fn epochs_keep_to_their_limits_and_go_on_across_files_in_the_order_of_their_names() {
    let directory = TempDir::new().expect("a directory");
    for (name, text) in [
        ("b.jsonl", "{\"id\": \"3\"}\n"),
        ("a.jsonl", "{\"id\": \"1\"}\n{\"id\": \"2\"}\n"),
        (".hidden.jsonl", "{\"id\": \"no\"}\n"),
        ("_SUCCESS", ""),
        ("README", "not a record\n"),
    ] {
        fs::write(directory.path().join(name), text).expect("the file can be written");
    }
    fs::create_dir(directory.path().join("c")).expect("a directory");
    fs::write(directory.path().join("c/d.json"), "{\"id\": \"4\"}").expect("the file can be written");
    let table = table("filesystem", "source", directory.path(), "json");
    let two = epochs(&table, 2).await;
    assert_eq!(
        two.iter().map(|epoch| epoch.batch.num_rows()).collect::<Vec<_>>(),
        [2, 2]
    );
    assert_eq!(ids(&two), ["1", "2", "3", "4"]);
    assert_eq!(ids(&epochs(&table, 3).await), ["1", "2", "3", "4"]);

    let mut by_url = table.clone();
    let url = url::Url::from_directory_path(directory.path())
        .expect("an absolute path")
        .to_string();
    by_url.options.insert("path".into(), url);
    assert_eq!(ids(&epochs(&by_url, 256).await).len(), 4);
}

#[tokio::test]
async fn parquet_columns_are_found_by_name_and_cast() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("in.parquet");
    let vectors = ListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(1.0), Some(2.0)]), None, None]);
    parquet(
        &path,
        vec![
            ("extra", Arc::new(Int64Array::from(vec![0, 0, 0]))),
            (
                "small",
                Arc::new(Int64Array::from(vec![Some(1), None, Some(5_000_000_000)])),
            ),
            ("id", Arc::new(StringArray::from(vec!["a", "b", "c"]))),
            ("v", Arc::new(vectors)),
        ],
    );
    let mut table = table("single_file", "source", &path, "parquet");
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    table.schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("small", DataType::Int32, true),
        Field::new("absent", DataType::Utf8, true),
        Field::new("v", DataType::List(item), true),
        Field::new("row", DataType::Int64, true),
    ]));
    table.metadata_columns = vec![MetadataColumn {
        column: "row".into(),
        key: "offset_id".into(),
    }];
    let epochs = epochs(&table, 256).await;
    let batch = &epochs[0].batch;
    assert_eq!(ids(&epochs), ["a", "b"]);
    assert_eq!(
        batch["small"].as_primitive::<Int32Type>().iter().collect::<Vec<_>>(),
        [Some(1), None]
    );
    assert_eq!(batch["absent"].null_count(), 2);
    let vector = batch["v"].as_list::<i32>().value(0);
    assert_eq!(
        vector.as_primitive::<Float32Type>(),
        &Float32Array::from(vec![1.0, 2.0])
    );
    assert_eq!(batch["row"].as_primitive::<Int64Type>().values(), &[0, 1]);
    let value: Value = serde_json::from_slice(epochs[0].records[0].value.as_deref().expect("a value")).expect("JSON");
    assert_eq!(value, json!({"small": 1, "id": "a", "v": [1.0, 2.0]}));
    assert_eq!(epochs[0].rejected.len(), 1);
    assert!(
        epochs[0].rejected[0]
            .reason
            .contains("in.parquet, row 3: column `small`")
    );
}

#[tokio::test]
async fn large_parquet_rows_are_split_into_epochs_by_their_bytes() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("in.parquet");
    let texts: Vec<String> = (0..10).map(|n| format!("{n}{}", "x".repeat(1000))).collect();
    parquet(&path, vec![("id", Arc::new(StringArray::from(texts.clone())))]);
    let table = table("single_file", "source", &path, "parquet");
    let limits = EpochLimits {
        records: 256,
        bytes: 3500,
        ..EpochLimits::default()
    };
    let context = SourceContext {
        limits,
        until_caught_up: false,
        member: "test".into(),
        waits: Default::default(),
    };
    let source = open_source(&table, &context).await.expect("the file opens");
    let mut sizes = Vec::new();
    while let Some(epoch) = source.next_epoch().await.expect("the file can be read") {
        assert_eq!(epoch.batch.num_rows(), epoch.records.len());
        sizes.push(epoch.records.len());
    }
    assert_eq!(sizes, [3, 3, 3, 1]);
}

#[tokio::test]
async fn a_stopped_source_ends() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("in.jsonl");
    fs::write(&path, "{\"id\": \"a\"}\n{\"id\": \"b\"}\n").expect("the file can be written");
    let source = open(&table("single_file", "source", &path, "json"), 1).await;
    assert!(source.next_epoch().await.expect("the file can be read").is_some());
    source.stop();
    assert!(source.next_epoch().await.expect("stopping is no error").is_none());
}

#[tokio::test]
async fn bad_data_can_stop_the_source() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("in.jsonl");
    fs::write(&path, "{broken\n").expect("the file can be written");
    let mut table = table("single_file", "source", &path, "json");
    table.options.insert("bad_data".into(), "fail".into());
    let error = open(&table, 8)
        .await
        .next_epoch()
        .await
        .expect_err("the line is bad")
        .to_string();
    assert!(error.contains("line 1"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_opened_is_named() {
    let directory = TempDir::new().expect("a directory");
    let context = SourceContext {
        limits: EpochLimits::default(),
        until_caught_up: false,
        member: "test".into(),
        waits: Default::default(),
    };
    let absent = directory.path().join("absent.jsonl");
    let error = open_source(&table("single_file", "source", &absent, "json"), &context)
        .await
        .err();
    assert!(error.is_some_and(|error| error.to_string().contains("absent.jsonl")));

    let error = open_source(&table("single_file", "source", directory.path(), "json"), &context)
        .await
        .err();
    assert!(error.is_some_and(|error| error.to_string().contains("connector = 'filesystem'")));

    fs::write(directory.path().join("notes.txt"), "x").expect("the file can be written");
    let error = open_source(&table("filesystem", "source", directory.path(), "parquet"), &context)
        .await
        .err();
    assert!(error.is_some_and(|error| error.to_string().contains("no file ending in .parquet")));

    let broken = directory.path().join("broken.parquet");
    fs::write(&broken, "not Parquet").expect("the file can be written");
    let source = open(&table("single_file", "source", &broken, "parquet"), 8).await;
    let error = source.next_epoch().await.expect_err("it is not Parquet").to_string();
    assert!(error.contains("broken.parquet: cannot be read as Parquet"), "{error}");
}

#[test]
fn options_that_cannot_be_used_are_named() {
    let path = Path::new("/nowhere");
    for (table, role, expected) in [
        (
            table("single_file", "sink", path, "parquet"),
            Role::Sink,
            "connector = 'filesystem'",
        ),
        (
            table("single_file", "source", path, "csv"),
            Role::Source,
            "it can be 'json' or 'parquet'",
        ),
        (
            table("filesystem", "source", Path::new("s3://bucket/x"), "json"),
            Role::Source,
            "a local path or a file: URL",
        ),
        (
            table("filesystem", "sink", path, "json"),
            Role::Source,
            "write type = 'source'",
        ),
    ] {
        let error = validate(&table, role).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
    validate(&table("filesystem", "sink", path, "parquet"), Role::Sink).expect("nothing is touched");
}
