//! What is particular to a server.

use std::time::Duration;

use sightstream_connectors::ConnectorError;
use sightstream_connectors::VectorSpace;
use sightstream_connectors::qdrant::testing::TestServer;
use sightstream_connectors::qdrant::{PointId, Store};
use tonic::Code;

use crate::support::*;

fn rows(count: usize) -> Vec<(String, String, [f32; 4])> {
    (0..count)
        .map(|row| (row.to_string(), format!("title {row}"), [1.0, row as f32, 0.0, 0.0]))
        .collect()
}

fn many(count: usize) -> arrow::array::RecordBatch {
    let rows = rows(count);
    batch(
        &rows
            .iter()
            .map(|(id, title, vector)| (id.as_str(), title.as_str(), *vector))
            .collect::<Vec<_>>(),
    )
}

#[tokio::test]
async fn a_server_that_stumbles_is_asked_again_until_it_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start(folder.path(), None).await.expect("the server starts");
    let sink = open(&media(&server.url()), &of(space("demo", "abc")))
        .await
        .expect("the sink opens");
    for code in [
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::ResourceExhausted,
        Code::Aborted,
    ] {
        server.fail("upsert", code, 1);
    }
    assert_eq!(write(sink.as_ref(), &many(3)).await, []);
    assert!(server.requests("upsert") >= 5, "{} requests", server.requests("upsert"));
    assert_eq!(
        collection(&server.url(), "media")
            .await
            .count(&[])
            .await
            .expect("a count"),
        3
    );
}

#[tokio::test]
async fn a_sink_waits_for_a_server_that_is_not_there_yet() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let opening =
        tokio::spawn(async move { open(&media(&format!("http://{address}")), &of(space("demo", "abc"))).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!opening.is_finished(), "it waits");
    let server = TestServer::start_at(folder.path(), address, None)
        .await
        .expect("the server starts");
    let sink = opening.await.expect("no panic").expect("the sink opens");
    assert_eq!(write(sink.as_ref(), &many(2)).await, []);
    assert_eq!(
        collection(&server.url(), "media")
            .await
            .count(&[])
            .await
            .expect("a count"),
        2
    );
}

#[tokio::test]
async fn a_write_outlives_a_restart_of_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start(folder.path(), None).await.expect("the server starts");
    let (url, address) = (server.url(), server.address());
    let sink = open(&media(&url), &of(space("demo", "abc")))
        .await
        .expect("the sink opens");
    assert_eq!(write(sink.as_ref(), &many(2)).await, []);
    server.stop().await;
    let writing = tokio::spawn(async move { write(sink.as_ref(), &many(5)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!writing.is_finished(), "it waits");
    let server = TestServer::start_at(folder.path(), address, None)
        .await
        .expect("the server starts again");
    assert_eq!(writing.await.expect("no panic"), []);
    assert_eq!(
        collection(&server.url(), "media")
            .await
            .count(&[])
            .await
            .expect("a count"),
        5
    );
}

/// Rows of these ids and payloads for the collection `media`.
fn payloads(rows: &[(&str, &str)]) -> arrow::array::RecordBatch {
    let text = |values: Vec<&str>| std::sync::Arc::new(arrow::array::StringArray::from(values));
    columns(vec![
        ("collection_name", false, text(vec!["media"; rows.len()])),
        ("id", false, text(rows.iter().map(|(id, _)| *id).collect())),
        ("vector", false, lists(&vec![Some(vec![1.0, 0.0]); rows.len()])),
        (
            "payload",
            true,
            text(rows.iter().map(|(_, payload)| *payload).collect()),
        ),
    ])
}

const POISON: &str = r#"{"poison": 1}"#;

#[tokio::test]
async fn of_rows_of_one_id_the_one_before_those_that_are_refused_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start(folder.path(), None).await.expect("the server starts");
    server.refuse_payload_key("poison");
    let batch = payloads(&[
        ("1", r#"{"v": "old"}"#),
        ("1", r#"{"v": "stands"}"#),
        ("2", POISON),
        ("1", POISON),
        ("1", POISON),
        ("3", "{}"),
    ]);
    let sink = open(&table(batch.schema(), &[("url", &server.url())]), &external())
        .await
        .expect("the sink opens");
    let rejections = write(sink.as_ref(), &batch).await;
    let rows: Vec<usize> = rejections.iter().map(|rejection| rejection.row).collect();
    assert_eq!(rows, [2, 3, 4]);
    let media = collection(&server.url(), "media").await;
    let (points, _) = media.scroll(None, 100).await.expect("it can be read");
    let values: Vec<_> = points.iter().map(|point| point.payload.get("v").cloned()).collect();
    assert_eq!(values, [Some("stands".into()), None]);
}

#[tokio::test]
async fn a_few_points_that_are_refused_are_at_fault_and_many_in_a_row_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start(folder.path(), None).await.expect("the server starts");
    let ids: Vec<String> = (0..20).map(|id| id.to_string()).collect();
    let rows: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), POISON)).collect();
    let batch = payloads(&rows);
    let sink = open(&table(batch.schema(), &[("url", &server.url())]), &external())
        .await
        .expect("the sink opens");
    assert_eq!(write(sink.as_ref(), &batch).await, []);
    server.refuse_payload_key("poison");
    assert_eq!(write(sink.as_ref(), &batch.slice(0, 2)).await.len(), 2);
    assert_eq!(write(sink.as_ref(), &payloads(&[("x", "{}")])).await, []);
    assert_eq!(write(sink.as_ref(), &batch.slice(0, 10)).await.len(), 10);
    let error = sink
        .write(&batch.slice(10, 10))
        .await
        .expect_err("it is not the points");
    assert!(error.to_string().contains("refused 20 points in a row"), "{error}");
    assert!(error.to_string().contains("'poison' is refused"), "{error}");
}

#[tokio::test]
async fn of_a_batch_only_the_refused_points_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start(folder.path(), None).await.expect("the server starts");
    server.refuse_payload_key("poison");
    let count = 64_usize;
    let ids: Vec<String> = (0..count).map(|row| row.to_string()).collect();
    let extra: Vec<&str> = (0..count)
        .map(|row| {
            if row == 7 || row == 40 {
                r#"{"poison": 1}"#
            } else {
                "{}"
            }
        })
        .collect();
    let names = vec!["media"; count];
    let batch = columns(vec![
        (
            "collection_name",
            false,
            std::sync::Arc::new(arrow::array::StringArray::from(names)),
        ),
        ("id", false, std::sync::Arc::new(arrow::array::StringArray::from(ids))),
        ("vector", false, lists(&vec![Some(vec![1.0, 0.0]); count])),
        (
            "payload",
            true,
            std::sync::Arc::new(arrow::array::StringArray::from(extra)),
        ),
    ]);
    let sink = open(&table(batch.schema(), &[("url", &server.url())]), &external())
        .await
        .expect("the sink opens");
    let rejections = write(sink.as_ref(), &batch).await;
    assert_eq!(
        rejections.iter().map(|rejection| rejection.row).collect::<Vec<_>>(),
        [7, 40]
    );
    assert!(rejections[0].reason.contains("'poison' is refused"), "{rejections:?}");
    assert_eq!(
        collection(&server.url(), "media")
            .await
            .count(&[])
            .await
            .expect("a count"),
        count as u64 - 2
    );
}

#[tokio::test]
async fn a_wrong_key_is_an_error_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start(folder.path(), Some("secret"))
        .await
        .expect("the server starts");
    let with_key = |key: &'static str| {
        let options = [
            ("url", server.url()),
            ("collection", "media".to_string()),
            ("api_key", key.to_string()),
        ];
        table(
            schema(),
            &options
                .iter()
                .map(|(key, value)| (*key, value.as_str()))
                .collect::<Vec<_>>(),
        )
    };
    let error = open(&with_key("guess"), &of(space("demo", "abc")))
        .await
        .err()
        .expect("access is denied");
    assert!(matches!(error, ConnectorError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("api key"), "{error}");
    let sink = open(&with_key("secret"), &of(space("demo", "abc")))
        .await
        .expect("the sink opens");
    assert_eq!(write(sink.as_ref(), &many(1)).await, []);
    let store = Store::open(&server.url(), Some("secret"))
        .await
        .expect("the store opens");
    assert_eq!(
        store.collection("media").await.expect("the collection").info().points,
        1
    );
    let denied = Store::open(&server.url(), None)
        .await
        .expect("nothing is asked yet")
        .collection("media")
        .await;
    assert!(denied.err().expect("access is denied").to_string().contains("api key"));
}

#[tokio::test]
async fn a_batch_goes_in_requests_of_the_size_that_was_set() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start(folder.path(), None).await.expect("the server starts");
    let table = table(
        schema(),
        &[("url", &server.url()), ("collection", "media"), ("batch_points", "10")],
    );
    let sink = open(&table, &of(space("demo", "abc"))).await.expect("the sink opens");
    write(sink.as_ref(), &many(25)).await;
    assert_eq!(server.requests("upsert"), 3);
}

#[tokio::test]
async fn a_later_batch_overwrites_an_earlier_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start(folder.path(), None).await.expect("the server starts");
    let sink = open(&media(&server.url()), &of(space("demo", "abc")))
        .await
        .expect("the sink opens");
    for title in ["first", "second", "third"] {
        write(sink.as_ref(), &batch(&[("a", title, [1.0, 0.0, 0.0, 0.0])])).await;
    }
    let found = collection(&server.url(), "media")
        .await
        .get(&[PointId::from_text("a")])
        .await
        .expect("the point");
    assert_eq!(found[0].payload["title"], "third");
}

#[tokio::test]
async fn a_collection_that_vanished_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start(folder.path(), None).await.expect("the server starts");
    let sink = open(&media(&server.url()), &of(space("demo", "abc")))
        .await
        .expect("the sink opens");
    server.fail("upsert", Code::NotFound, 1);
    let error = sink.write(&many(1)).await.expect_err("the collection is gone");
    assert!(!error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_collection_that_was_made_anew_with_other_vectors_is_an_error_and_no_rows_fault() {
    let (before, after) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let server = TestServer::start(after.path(), None).await.expect("the server starts");
    let narrow = VectorSpace {
        dimension: 2,
        ..space("demo", "abc")
    };
    drop(open(&media(&server.url()), &of(narrow)).await.expect("the sink opens"));
    server.stop().await;

    let server = TestServer::start(before.path(), None).await.expect("the server starts");
    let address = server.address();
    let sink = open(&media(&server.url()), &of(space("demo", "abc")))
        .await
        .expect("the sink opens");
    write(sink.as_ref(), &many(1)).await;
    server.stop().await;
    let _server = TestServer::start_at(after.path(), address, None)
        .await
        .expect("the server starts again");
    let error = sink.write(&many(2)).await.expect_err("no point fits any more");
    assert!(!error.is_transient(), "{error}");
    assert!(error.to_string().contains("has other vectors"), "{error}");
}

#[tokio::test]
async fn two_sinks_that_start_together_share_one_collection() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start(folder.path(), None).await.expect("the server starts");
    let table = media(&server.url());
    let context = of(space("demo", "abc"));
    let (first, second) = tokio::join!(open(&table, &context), open(&table, &context));
    let (first, second) = (first.expect("the first opens"), second.expect("the second opens"));
    write(first.as_ref(), &batch(&[("a", "", [1.0; 4])])).await;
    write(second.as_ref(), &batch(&[("b", "", [1.0; 4])])).await;
    assert_eq!(
        collection(&server.url(), "media")
            .await
            .count(&[])
            .await
            .expect("a count"),
        2
    );
}
