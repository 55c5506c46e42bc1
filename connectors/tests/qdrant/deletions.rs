//! Deletions between rows, on both backends.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use sightstream_connectors::qdrant::testing::TestServer;
use sightstream_connectors::{Deletion, Rejections, Sink, TableDefinition, deleting};
use tempfile::TempDir;

use super::support::*;

fn deletion(key: &str, before: usize) -> Deletion {
    Deletion {
        key: Some(key.as_bytes().to_vec()),
        before,
    }
}

async fn change(sink: &dyn Sink, batch: &RecordBatch, deletions: &[Deletion]) -> Rejections {
    let rejections = sink.write_and_delete(batch, deletions).await.expect("it is written");
    sink.flush().await.expect("it is durable");
    rejections
}

/// The titles in the collection `media`, sorted.
async fn titles(url: &str) -> Vec<String> {
    let (points, _) = collection(url, "media")
        .await
        .scroll(None, 100)
        .await
        .expect("it can be read");
    let title = |payload: &serde_json::Map<String, serde_json::Value>| payload["title"].as_str().map(str::to_string);
    let mut titles: Vec<String> = points.iter().filter_map(|point| title(&point.payload)).collect();
    titles.sort();
    titles
}

const V: [f32; 4] = [1.0, 0.0, 0.0, 0.0];

/// Rows and deletions in every order, twice: a replay leaves the same.
async fn every_order(url: &str) {
    let table = media(url);
    let sink = open(&table, &of(space("m", "f"))).await.expect("the sink opens");
    let sink = sink.as_ref();
    assert_eq!(
        write(sink, &batch(&[("old", "old", V), ("other", "other", V)])).await,
        []
    );
    for _ in 0..2 {
        let rows = batch(&[
            ("first-row", "gone", V),
            ("first-deletion", "stays", V),
            ("twice", "gone too", V),
            ("twice", "stays too", V),
            ("7", "a number, gone", V),
        ]);
        let deletions = [
            deletion("first-deletion", 0),
            deletion("old", 0),
            deletion("not there", 0),
            deletion("first-row", 1),
            deletion("twice", 3),
            deletion("7", 5),
        ];
        assert_eq!(change(sink, &rows, &deletions).await, Rejections::default());
        assert_eq!(titles(url).await, ["other", "stays", "stays too"]);
    }
    // Across batches, and without any row.
    assert_eq!(
        change(sink, &batch(&[]), &[deletion("twice", 0)]).await,
        Rejections::default()
    );
    assert_eq!(titles(url).await, ["other", "stays"]);
    assert_eq!(
        change(sink, &batch(&[("twice", "back", V)]), &[]).await,
        Rejections::default()
    );
    sink.close().await.expect("it closes");
    assert_eq!(titles(url).await, ["back", "other", "stays"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_its_last_deletion_is_there_and_nothing_else() {
    let folder = TempDir::new().expect("a folder");
    every_order(&embedded(&folder.path().join("embedded"))).await;
    let server = TestServer::start(&folder.path().join("server"), None)
        .await
        .expect("a server starts");
    every_order(&server.url()).await;
    assert!(server.requests("delete") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_refused_does_not_bring_back_what_was_deleted() {
    let folder = TempDir::new().expect("a folder");
    let server = TestServer::start(folder.path(), None).await.expect("a server starts");
    let table = media(&server.url());
    let sink = open(&table, &of(space("m", "f"))).await.expect("the sink opens");
    write(sink.as_ref(), &batch(&[("a", "old", V), ("b", "other", V)])).await;
    server.refuse_payload_key("title");
    let rejections = change(sink.as_ref(), &batch(&[("a", "new", V)]), &[deletion("a", 0)]).await;
    assert_eq!((rejections.rows.len(), rejections.deletions.len()), (1, 0));
    assert_eq!(titles(&server.url()).await, ["other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_is_asked_again() {
    let folder = TempDir::new().expect("a folder");
    let server = TestServer::start(folder.path(), None).await.expect("a server starts");
    let sink = open(&media(&server.url()), &of(space("m", "f")))
        .await
        .expect("the sink opens");
    write(sink.as_ref(), &batch(&[("a", "old", V)])).await;
    server.fail("delete", tonic::Code::Unavailable, 2);
    change(sink.as_ref(), &batch(&[]), &[deletion("a", 0)]).await;
    assert_eq!(titles(&server.url()).await, [""; 0]);
    assert_eq!(server.requests("delete"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_before_there_is_a_collection_delete_nothing() {
    let folder = TempDir::new().expect("a folder");
    let url = embedded(folder.path());
    let sink = open(&media(&url), &external()).await.expect("the sink opens");
    assert_eq!(
        change(sink.as_ref(), &batch(&[]), &[deletion("a", 0)]).await,
        Rejections::default()
    );
    write(sink.as_ref(), &batch(&[("a", "new", V)])).await;
    assert_eq!(titles(&url).await, ["new"]);
}

/// What a table with ids of `column`'s type makes of the deletions of `keys`: which ids are left, and the refused keys.
async fn numbers(column: ArrayRef, keys: &[Option<&[u8]>]) -> (Vec<String>, Vec<usize>) {
    let folder = TempDir::new().expect("a folder");
    let url = embedded(folder.path());
    let rows = column.len();
    let vectors = lists(&vec![Some(V.to_vec()); rows]);
    let batch = columns(vec![("id", false, column), ("vector", false, vectors)]);
    let table = table(batch.schema(), &[("url", &url), ("collection", "media")]);
    let sink = open(&table, &external()).await.expect("the sink opens");
    let deletions: Vec<Deletion> = keys
        .iter()
        .map(|key| Deletion {
            key: key.map(<[u8]>::to_vec),
            before: rows,
        })
        .collect();
    write(sink.as_ref(), &batch).await;
    let refused = change(sink.as_ref(), &batch, &deletions).await.deletions;
    for rejection in &refused {
        assert!(rejection.reason.starts_with("the tombstone"), "{}", rejection.reason);
    }
    let (points, _) = collection(&url, "media")
        .await
        .scroll(None, 100)
        .await
        .expect("it can be read");
    let left = points.iter().map(|point| point.id.to_string()).collect();
    (left, refused.iter().map(|rejection| rejection.row).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_read_as_the_ids_of_the_table_are() {
    let keys: [Option<&[u8]>; 6] = [Some(b"1"), Some(b"-2"), Some(b"one"), Some(b""), Some(&[255]), None];
    let signed: ArrayRef = Arc::new(Int64Array::from(vec![1, -2, 3]));
    assert_eq!(numbers(signed, &keys).await, (vec!["3".to_string()], vec![2, 3, 4, 5]));
    let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![1, 2, u64::MAX]));
    let left = vec!["2".to_string(), u64::MAX.to_string()];
    assert_eq!(numbers(unsigned, &keys).await, (left, vec![1, 2, 3, 4, 5]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1", "one", "-2", "5"]));
    assert_eq!(numbers(text, &keys).await, (vec!["5".to_string()], vec![4, 5]));
}

#[test]
fn only_tables_whose_rows_have_keys_can_delete() {
    let key = |table: &TableDefinition| {
        deleting(table)
            .map(|deleting| deleting.key)
            .map_err(|error| error.to_string())
    };
    assert_eq!(key(&media("embedded:x")), Ok(0));
    let record = Schema::new(vec![
        Field::new("collection_name", DataType::Utf8, true),
        Field::new("id", DataType::Utf8, true),
        schema().field(2).clone(),
        Field::new(
            "payload",
            DataType::Struct(vec![Field::new("a", DataType::Utf8, true)].into()),
            true,
        ),
    ]);
    let anywhere = table(Arc::new(record.clone()), &[("url", "embedded:x")]);
    assert!(key(&anywhere).is_err_and(|error| error.contains("in which collection")));
    let somewhere = table(Arc::new(record), &[("url", "embedded:x"), ("collection", "media")]);
    assert_eq!(key(&somewhere), Ok(1));
    for connector in ["stdout", "single_file", "filesystem"] {
        let mut table = media("embedded:x");
        table.options.insert("connector".into(), connector.into());
        assert!(
            key(&table).is_err_and(|error| error.contains("cannot delete any")),
            "{connector}"
        );
    }
}
