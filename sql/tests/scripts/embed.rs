//! What `embed` does, whatever stands around it.

use crate::support::Workbench;
use serde_json::json;

const MEDIA: &str = "CREATE TABLE media (id TEXT, url TEXT, kind TEXT, urls TEXT[], n BIGINT)
    WITH (connector = 'single_file', path = '{{ MEDIA }}', type = 'source', format = 'json');";
const VECTORS: &str = "CREATE TABLE vectors (id TEXT, vector FLOAT[])
    WITH (connector = 'single_file', path = '{{ VECTORS }}', type = 'sink', format = 'json');";

fn bench() -> Workbench {
    let bench = Workbench::new();
    bench.file(
        "media.jsonl",
        &[
            r#"{"id":"a","url":"u1","kind":"image","urls":["p1","p22"],"n":1}"#,
            r#"{"id":"b","url":"u22","kind":"text","urls":[],"n":0}"#,
            r#"{"id":"c","url":null,"kind":"image","urls":null,"n":3}"#,
            r#"{"id":"d","url":"u4444","kind":"image","urls":["p4"],"n":4}"#,
        ],
    );
    bench
}

async fn run(bench: &Workbench, query: &str) -> Vec<serde_json::Value> {
    let summary = bench
        .run(&format!("{MEDIA}\n{VECTORS}\n{query}"))
        .await
        .expect("the script runs");
    assert_eq!(
        summary.written as usize,
        bench.rows("vectors.jsonl").len(),
        "what is counted is what is written"
    );
    bench.rows("vectors.jsonl")
}

#[tokio::test]
async fn a_row_gets_its_vector_and_null_stays_null() {
    let bench = bench();
    let rows = run(&bench, "INSERT INTO vectors SELECT id, embed(url, 'abc') FROM media;").await;
    assert_eq!(
        rows,
        [
            json!({"id":"a","vector":[2.0,3.0]}),
            json!({"id":"b","vector":[3.0,3.0]}),
            json!({"id":"c","vector":null}),
            json!({"id":"d","vector":[5.0,3.0]}),
        ]
    );
}

#[tokio::test]
async fn a_null_instruction_and_a_missing_one_are_the_default() {
    let bench = bench();
    let query = "INSERT INTO vectors SELECT id, embed(url, NULL) FROM media WHERE n = 1;
                 INSERT INTO vectors SELECT id, embed(url) FROM media WHERE n = 4;";
    assert_eq!(
        run(&bench, query).await,
        [
            json!({"id":"a","vector":[2.0,0.0]}),
            json!({"id":"d","vector":[5.0,0.0]})
        ]
    );
}

#[tokio::test]
async fn case_embeds_only_the_rows_of_its_branch() {
    let bench = bench();
    let query = "INSERT INTO vectors
        SELECT id, CASE kind WHEN 'image' THEN embed(url) WHEN 'text' THEN embed(concat('t', url)) END FROM media;";
    let rows = run(&bench, query).await;
    assert_eq!(rows[1], json!({"id":"b","vector":[4.0,0.0]}));
    assert_eq!(
        bench.calls(),
        [("tu22".into(), 1), ("u1".into(), 1), ("u4444".into(), 1)].into()
    );
}

#[tokio::test]
async fn a_condition_is_evaluated_only_where_case_would() {
    let bench = bench();
    let query = "INSERT INTO vectors
        SELECT id, CASE WHEN n = 0 THEN NULL WHEN 12 / n > 3 THEN embed(url) ELSE embed('else') END FROM media;";
    let rows = run(&bench, query).await;
    assert_eq!(rows.len(), 4, "no row divides by zero");
    assert_eq!(bench.calls(), [("u1".into(), 1), ("else".into(), 1)].into());
}

#[tokio::test]
async fn a_filter_on_a_view_that_embeds_does_not_embed_twice() {
    let bench = bench();
    let query = "CREATE VIEW embedded AS SELECT id, kind, embed(url) AS vector FROM media;
        INSERT INTO vectors SELECT id, vector FROM embedded
        WHERE kind = 'image' AND cosine_similarity(vector, vector) > 0.5;";
    let rows = run(&bench, query).await;
    assert_eq!(rows.iter().map(|row| &row["id"]).collect::<Vec<_>>(), ["a", "d"]);
    assert_eq!(
        bench.calls(),
        [("u1".into(), 1), ("u4444".into(), 1)].into(),
        "once a row, and not for text"
    );
}

#[tokio::test]
async fn a_vector_that_nobody_reads_is_not_computed() {
    let bench = bench();
    let query = "CREATE VIEW embedded AS SELECT id, embed(url) AS vector FROM media;
        INSERT INTO vectors (id) SELECT id FROM embedded;";
    assert_eq!(run(&bench, query).await.len(), 4);
    assert!(bench.calls().is_empty());
}

#[tokio::test]
async fn equal_calls_in_a_row_are_made_once() {
    let bench = bench();
    let query =
        "INSERT INTO vectors SELECT id, CASE WHEN cosine_similarity(embed(url), embed(url)) > 0 THEN embed(url) END
        FROM media WHERE n = 1;";
    assert_eq!(run(&bench, query).await, [json!({"id":"a","vector":[2.0,0.0]})]);
    assert!(
        bench.calls()["u1"] <= 2,
        "the condition's calls are one, the guarded one another: {:?}",
        bench.calls()
    );
}

#[tokio::test]
async fn every_part_of_an_unnested_list_is_embedded() {
    let bench = bench();
    let query = "CREATE VIEW parts AS SELECT id, unnest(urls) AS part FROM media;
        INSERT INTO vectors SELECT concat(id, '/', part), embed(part) FROM parts;";
    assert_eq!(
        run(&bench, query).await,
        [
            json!({"id":"a/p1","vector":[2.0,0.0]}),
            json!({"id":"a/p22","vector":[3.0,0.0]}),
            // A NULL list is a row of its own, as in Arroyo.
            json!({"id":"c/","vector":null}),
            json!({"id":"d/p4","vector":[2.0,0.0]}),
        ]
    );
}

#[tokio::test]
async fn a_vector_unnests_into_its_numbers() {
    let bench = bench();
    let query = "CREATE TABLE numbers (id TEXT, x FLOAT)
          WITH (connector = 'single_file', path = '{{ NUMBERS }}', type = 'sink', format = 'json');
        INSERT INTO numbers SELECT id, unnest(embed(url)) FROM media WHERE n = 4;";
    bench.run(&format!("{MEDIA}\n{query}")).await.expect("the script runs");
    assert_eq!(
        bench.rows("numbers.jsonl"),
        [json!({"id":"d","x":5.0}), json!({"id":"d","x":0.0})]
    );
}

#[tokio::test]
async fn embed_of_embed_works_through_its_conditions() {
    let bench = bench();
    let query = "INSERT INTO vectors SELECT id, embed(CASE WHEN cosine_similarity(embed(url), embed('x')) > 0 THEN 'near' ELSE 'far' END)
        FROM media WHERE n = 1;";
    assert_eq!(run(&bench, query).await, [json!({"id":"a","vector":[4.0,0.0]})]);
}

#[tokio::test]
async fn a_vector_goes_into_a_bytea_column_as_little_endian_floats() {
    let bench = bench();
    let query = "CREATE TABLE bytes (id TEXT, vector BYTEA)
          WITH (connector = 'single_file', path = '{{ BYTES }}', type = 'sink', format = 'json');
        INSERT INTO bytes SELECT id, embed(url) FROM media WHERE n = 1;";
    bench.run(&format!("{MEDIA}\n{query}")).await.expect("the script runs");
    assert_eq!(bench.rows("bytes.jsonl"), [json!({"id":"a","vector":"AAAAQAAAAAA="})]);
}

#[tokio::test]
async fn a_row_that_cannot_be_embedded_is_left_out_and_dead_lettered() {
    let bench = Workbench::new();
    bench.file(
        "media.jsonl",
        &[
            r#"{"id":"a","url":"u1","urls":["p1","bad1"]}"#,
            r#"{"id":"b","url":"bad2","urls":["p2"]}"#,
            r#"not json"#,
            r#"{"id":"c","url":"u3","urls":["p3"]}"#,
        ],
    );
    let query = "INSERT INTO vectors SELECT id, embed(url) FROM media;
        INSERT INTO vectors SELECT concat(id, '/', part), embed(part) FROM (SELECT id, unnest(urls) AS part FROM media);";
    let summary = bench
        .run(&format!("{MEDIA}\n{VECTORS}\n{query}"))
        .await
        .expect("the script runs");
    let mut ids: Vec<String> = bench
        .rows("vectors.jsonl")
        .iter()
        .map(|row| row["id"].as_str().expect("ids are text").to_string())
        .collect();
    ids.sort();
    assert_eq!(ids, ["a", "a/p1", "b/p2", "c", "c/p3"]);
    let dead = bench.rows("dead.jsonl");
    let mut places: Vec<(i64, String)> = dead
        .iter()
        .map(|letter| {
            (
                letter["offset"].as_i64().expect("an offset"),
                letter["reason"].to_string(),
            )
        })
        .collect();
    places.sort();
    assert_eq!(places.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(
        places[0].1.contains("bad1 cannot be read") && places[1].1.contains("bad2 cannot be read"),
        "{places:?}"
    );
    assert_eq!(
        summary.dead_lettered,
        [("corrupt".to_string(), 2), ("bad_record".to_string(), 1)].into()
    );
}

#[tokio::test]
async fn rows_beside_one_that_fails_are_still_embedded_once() {
    let bench = bench();
    let query = "INSERT INTO vectors SELECT concat(id, 12 / n), embed(url) FROM media;";
    assert_eq!(
        run(&bench, query).await.len(),
        3,
        "the row that divides by zero is left out"
    );
    assert!(bench.calls().values().all(|calls| *calls == 1), "{:?}", bench.calls());
}

#[tokio::test]
async fn a_plain_null_fits_a_vector_column() {
    let bench = bench();
    assert_eq!(
        run(&bench, "INSERT INTO vectors SELECT id, NULL FROM media WHERE n = 1;").await,
        [json!({"id":"a","vector":null})]
    );
}

#[tokio::test]
async fn a_filter_may_embed() {
    let bench = bench();
    let query = "INSERT INTO vectors SELECT id, NULL FROM media
        WHERE n > 0 AND cosine_similarity(embed(url, 'abcd'), embed('xxxx', 'abcd')) > 0.99;";
    assert_eq!(run(&bench, query).await, [json!({"id":"d","vector":null})]);
    assert!(
        !bench.calls().contains_key("u22"),
        "n > 0 decides for that row: {:?}",
        bench.calls()
    );
}

#[tokio::test]
async fn both_sides_of_a_union_and_the_rows_of_a_join_may_embed() {
    let bench = bench();
    bench.file(
        "words.jsonl",
        &[
            r#"{"kind":"image","word":"an image"}"#,
            r#"{"kind":"text","word":"text"}"#,
        ],
    );
    let query = "CREATE TABLE words (kind TEXT, word TEXT)
          WITH (connector = 'single_file', path = '{{ WORDS }}', type = 'source', format = 'json');
        INSERT INTO vectors
          SELECT id, embed(url, word) FROM media JOIN words ON media.kind = words.kind WHERE n < 2
          UNION ALL
          SELECT concat(id, '!'), embed(concat(url, '!')) FROM media WHERE n = 4;";
    assert_eq!(
        run(&bench, query).await,
        [
            json!({"id":"a","vector":[2.0,8.0]}),
            json!({"id":"b","vector":[3.0,4.0]}),
            json!({"id":"d!","vector":[6.0,0.0]}),
        ]
    );
}

#[tokio::test]
async fn an_aggregate_over_files_may_embed() {
    let bench = bench();
    let query = "CREATE TABLE best (kind TEXT, similarity DOUBLE)
          WITH (connector = 'single_file', path = '{{ BEST }}', type = 'sink', format = 'json');
        INSERT INTO best SELECT kind, max(cosine_similarity(embed(url), embed('x'))) FROM media GROUP BY kind ORDER BY kind;";
    bench.run(&format!("{MEDIA}\n{query}")).await.expect("the script runs");
    assert_eq!(
        bench.rows("best.jsonl"),
        [
            json!({"kind":"image","similarity":1.0}),
            json!({"kind":"text","similarity":1.0})
        ]
    );
}

#[tokio::test]
async fn statements_over_one_source_embed_a_row_once() {
    let bench = bench();
    let query = "INSERT INTO vectors SELECT id, embed(url) FROM media WHERE n > 0;
        INSERT INTO vectors SELECT concat(id, '!'), embed(url) FROM media;";
    assert_eq!(run(&bench, query).await.len(), 7);
    assert!(bench.calls().values().all(|calls| *calls == 1), "{:?}", bench.calls());
}
