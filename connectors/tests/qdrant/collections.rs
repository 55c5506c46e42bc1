//! How a table's collection is found, checked and made: the same by gRPC and embedded.

use sightstream_connectors::ConnectorError;
use sightstream_connectors::qdrant::Distance;
use sightstream_connectors::qdrant::testing::TestServer;

use crate::support::*;

/// Runs a claim against an embedded store and against a server.
macro_rules! for_both_kinds {
    ($claim:ident, $check:ident) => {
        mod $claim {
            use super::*;

            #[tokio::test]
            async fn embedded_in_this_process() {
                let folder = tempfile::tempdir().expect("a folder");
                super::$check(&embedded(folder.path())).await;
            }

            #[tokio::test]
            async fn by_grpc() {
                let folder = tempfile::tempdir().expect("a folder");
                let server = TestServer::start(folder.path(), None)
                    .await
                    .expect("the server starts");
                super::$check(&server.url()).await;
            }
        }
    };
}

async fn refusal(url: &str, model: &str, fingerprint: &str, dimension: usize, options: &[(&str, &str)]) -> String {
    let mut all = vec![("url", url), ("collection", "media")];
    all.extend_from_slice(options);
    let mut space = space(model, fingerprint);
    space.dimension = dimension;
    match open(&table(schema(), &all), &of(space)).await {
        Err(ConnectorError::Refused { message, .. }) => message,
        Err(other) => panic!("not refused, but: {other}"),
        Ok(_) => panic!("not refused"),
    }
}

for_both_kinds!(the_first_run_makes_the_collection_with_its_alias, first_run);
async fn first_run(url: &str) {
    let sink = open(&media(url), &of(space("demo", "abc123")))
        .await
        .expect("the sink opens");
    assert_eq!(
        write(sink.as_ref(), &batch(&[("a", "red", [1.0, 0.0, 0.0, 0.0])])).await,
        []
    );
    let found = collection(url, "media").await;
    let info = found.info();
    assert_eq!(info.name, "media__abc123");
    assert_eq!((info.dimension, info.distance, info.points), (4, Distance::Cosine, 1));
    assert_eq!(
        (info.model.as_deref(), info.fingerprint.as_deref()),
        (Some("demo"), Some("abc123"))
    );
    assert_eq!(collection(url, "media__abc123").await.info(), info);
}

for_both_kinds!(a_later_run_of_the_same_model_goes_on, later_run);
async fn later_run(url: &str) {
    let rows = [("a", "red", [1.0, 0.0, 0.0, 0.0]), ("b", "blue", [0.0, 1.0, 0.0, 0.0])];
    for row in rows {
        let sink = open(&media(url), &of(space("demo", "abc123")))
            .await
            .expect("the sink opens");
        write(sink.as_ref(), &batch(&[row])).await;
        sink.close().await.expect("the sink closes");
    }
    assert_eq!(collection(url, "media").await.count(&[]).await.expect("a count"), 2);
}

for_both_kinds!(another_space_is_refused_before_the_first_row, other_space);
async fn other_space(url: &str) {
    open(&media(url), &of(space("demo", "abc123")))
        .await
        .expect("the sink opens");
    let message = refusal(url, "other", "def456", 4, &[]).await;
    assert!(
        message.contains("demo") && message.contains("abc123"),
        "what is there: {message}"
    );
    assert!(
        message.contains("other") && message.contains("def456"),
        "what is asked: {message}"
    );
    assert!(message.contains("another collection"), "what to do: {message}");
    let message = refusal(url, "demo", "abc123", 8, &[]).await;
    assert!(
        message.contains("vectors of 4 numbers") && message.contains("gives 8"),
        "{message}"
    );
    let message = refusal(url, "demo", "abc123", 4, &[("distance", "dot")]).await;
    assert!(
        message.contains("distance cosine") && message.contains("asks for dot"),
        "{message}"
    );
}

for_both_kinds!(a_distance_is_kept, distance);
async fn distance(url: &str) {
    let table = table(
        schema(),
        &[("url", url), ("collection", "media"), ("distance", "euclid")],
    );
    let sink = open(&table, &of(space("demo", "abc123")))
        .await
        .expect("the sink opens");
    write(
        sink.as_ref(),
        &batch(&[("a", "", [3.0, 4.0, 0.0, 0.0]), ("b", "", [9.0, 9.0, 9.0, 9.0])]),
    )
    .await;
    let found = collection(url, "media").await;
    assert_eq!(found.info().distance, Distance::Euclid);
    let hits = found.search(vec![0.0; 4], &[], 2).await.expect("hits");
    assert_eq!(
        hits.iter().map(|hit| hit.score).collect::<Vec<_>>(),
        [5.0, 18.0],
        "the nearest first"
    );
}

for_both_kinds!(
    vectors_from_elsewhere_decide_the_collection_with_the_first_row,
    from_elsewhere
);
async fn from_elsewhere(url: &str) {
    let sink = open(&media(url), &external()).await.expect("the sink opens");
    write(sink.as_ref(), &batch(&[("a", "", [1.0, 0.0, 0.0, 0.0])])).await;
    let found = collection(url, "media").await;
    assert_eq!(
        (found.info().name.as_str(), found.info().dimension),
        ("media__external", 4)
    );
    assert_eq!(found.info().fingerprint, None);
}

for_both_kinds!(
    vectors_from_elsewhere_go_into_a_models_collection,
    into_a_models_collection
);
async fn into_a_models_collection(url: &str) {
    open(&media(url), &of(space("demo", "abc123")))
        .await
        .expect("the sink opens");
    let sink = open(&media(url), &external()).await.expect("the sink opens");
    write(sink.as_ref(), &batch(&[("a", "", [1.0, 0.0, 0.0, 0.0])])).await;
    let found = collection(url, "media").await;
    assert_eq!((found.info().name.as_str(), found.info().points), ("media__abc123", 1));
}

for_both_kinds!(a_collection_without_an_alias_is_used_as_it_is, plain_collection);
async fn plain_collection(url: &str) {
    open(&media(url), &of(space("demo", "abc123")))
        .await
        .expect("the sink opens");
    let named = table(schema(), &[("url", url), ("collection", "media__abc123")]);
    let sink = open(&named, &of(space("demo", "abc123")))
        .await
        .expect("the sink opens");
    write(sink.as_ref(), &batch(&[("a", "", [1.0, 0.0, 0.0, 0.0])])).await;
    assert_eq!(collection(url, "media").await.count(&[]).await.expect("a count"), 1);
}

for_both_kinds!(options_that_cannot_be_used_are_named, options);
async fn options(url: &str) {
    for (key, value) in [
        ("distance", "far"),
        ("batch_points", "0"),
        ("timeout_seconds", "-1"),
        ("colection", "x"),
    ] {
        let table = table(schema(), &[("url", url), ("collection", "media"), (key, value)]);
        let error = sightstream_connectors::validate(&table, sightstream_connectors::Role::Sink);
        let message = error.expect_err("the option cannot be used").to_string();
        assert!(message.contains(key), "{message}");
    }
    let error = open(&table(schema(), &[("url", url)]), &external())
        .await
        .err()
        .expect("no collection");
    assert!(error.to_string().contains("'collection' is missing"), "{error}");
}
