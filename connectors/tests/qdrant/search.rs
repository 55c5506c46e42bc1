//! Reading: the same by gRPC and embedded.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray};
use arrow::datatypes::Int64Type;
use sightstream_connectors::ConnectorError;
use sightstream_connectors::qdrant::testing::TestServer;
use sightstream_connectors::qdrant::{Collection, Filter, PointId, Store};

use crate::support::*;

async fn fill(url: &str) -> Collection {
    let column = |array: Arc<dyn Array>| -> ArrayRef { array };
    let numbers =
        ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), Some(2)]), Some(vec![Some(3)]), None]);
    let batch = columns(vec![
        ("id", false, column(Arc::new(StringArray::from(vec!["a", "7", "c"])))),
        (
            "vector",
            false,
            lists(&[Some(vec![1.0, 0.0]), Some(vec![0.6, 0.8]), Some(vec![0.0, 1.0])]),
        ),
        (
            "kind",
            false,
            column(Arc::new(StringArray::from(vec!["image", "image", "text"]))),
        ),
        (
            "year",
            false,
            column(Arc::new(Int64Array::from(vec![2001, 2002, 2002]))),
        ),
        ("rank", false, column(Arc::new(Float64Array::from(vec![0.5, 2.0, 2.5])))),
        (
            "seen",
            false,
            column(Arc::new(BooleanArray::from(vec![true, false, true]))),
        ),
        ("numbers", false, column(Arc::new(numbers))),
        (
            "shape",
            true,
            column(Arc::new(StringArray::from(vec![
                r#"{"wide": 1}"#,
                r#"{"wide": 2}"#,
                "{}",
            ]))),
        ),
    ]);
    let table = table(batch.schema(), &[("url", url), ("collection", "media")]);
    let sink = open(&table, &external()).await.expect("the sink opens");
    assert_eq!(write(sink.as_ref(), &batch).await, []);
    collection(url, "media").await
}

async fn check(media: &Collection) {
    let search = |filters: &'static [&'static str], limit: usize| async move {
        let filters: Vec<Filter> = filters.iter().map(|filter| filter.parse().expect("a filter")).collect();
        let hits = media.search(vec![1.0, 0.0], &filters, limit).await.expect("hits");
        assert_eq!(
            media.count(&filters).await.expect("a count").min(limit as u64),
            hits.len() as u64,
            "{filters:?}"
        );
        hits.iter()
            .map(|hit| hit.payload["year"].to_string() + &hit.payload["kind"].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        search(&[], 10).await,
        [r#"2001"image""#, r#"2002"image""#, r#"2002"text""#],
        "the best first"
    );
    assert_eq!(search(&[], 1).await, [r#"2001"image""#]);
    assert_eq!(search(&["kind=text"], 10).await, [r#"2002"text""#]);
    assert_eq!(search(&["year=2002", "kind=image"], 10).await, [r#"2002"image""#]);
    assert_eq!(search(&["seen=true"], 10).await, [r#"2001"image""#, r#"2002"text""#]);
    assert_eq!(search(&["rank=2.5"], 10).await, [r#"2002"text""#]);
    assert_eq!(
        search(&["rank=2"], 10).await,
        [r#"2002"image""#],
        "an integer finds the equal float"
    );
    assert_eq!(
        search(&["numbers=2"], 10).await,
        [r#"2001"image""#],
        "an item of a list"
    );
    assert_eq!(
        search(&["shape.wide=2"], 10).await,
        [r#"2002"image""#],
        "a nested field"
    );
    assert_eq!(search(&["id=a"], 10).await, [r#"2001"image""#], "a text id");
    assert_eq!(search(&["id=7"], 10).await, [r#"2002"image""#], "a number as id");
    assert_eq!(search(&["kind=sound"], 10).await, [""; 0]);

    let hits = media.search(vec![1.0, 0.0], &[], 3).await.expect("hits");
    let scores: Vec<f32> = hits.iter().map(|hit| hit.score).collect();
    for (score, cosine) in scores.iter().zip([1.0, 0.6, 0.0]) {
        assert!((score - cosine).abs() < 1e-6, "{scores:?}");
    }
    assert_eq!(
        (hits[0].id.clone(), hits[1].id.as_str()),
        (PointId::from_text("a").to_string(), "7")
    );

    let error = media
        .search(vec![1.0], &[], 3)
        .await
        .expect_err("another dimension")
        .to_string();
    assert!(
        error.contains("vectors of 2 numbers") && error.contains("has 1"),
        "{error}"
    );

    let mut found = Vec::new();
    let mut from = None;
    loop {
        let (records, next) = media.scroll(from, 2).await.expect("a page");
        found.extend(records.into_iter().map(|record| record.id));
        match next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    assert_eq!(found.len(), 3);
    assert!(found.is_sorted(), "{found:?}");
}

#[tokio::test]
async fn an_embedded_store_answers_searches_with_filters() {
    let folder = tempfile::tempdir().expect("a folder");
    check(&fill(&embedded(folder.path())).await).await;
}

#[tokio::test]
async fn a_server_answers_searches_with_filters() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start(folder.path(), None).await.expect("the server starts");
    check(&fill(&server.url()).await).await;
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let absent = Store::open(&embedded(&folder.path().join("none")), None)
        .await
        .err()
        .expect("no store");
    assert!(absent.to_string().contains("there is no store"), "{absent}");
    fill(&embedded(folder.path())).await;
    let store = Store::open(&embedded(folder.path()), None)
        .await
        .expect("the store opens");
    let absent = store.collection("movies").await.err().expect("no collection");
    assert!(absent.to_string().contains("'movies'"), "{absent}");
    let absent = Store::open("localhost:6334", None).await.err().expect("no URL");
    assert!(absent.to_string().contains("http(s)://HOST:6334"), "{absent}");
}

#[tokio::test]
async fn a_search_does_not_wait_for_a_server_that_is_away() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let store = Store::open(&format!("http://{address}"), None)
        .await
        .expect("nothing is asked yet");
    let error = store.collection("media").await.err().expect("nobody answers");
    assert!(matches!(error, ConnectorError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
