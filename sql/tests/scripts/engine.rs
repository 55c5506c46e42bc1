//! What the engine does with a script: rows keep their order and their records, and what cannot work is refused.

use crate::support::{Workbench, message};
use serde_json::json;
use sightstream_connectors::dead_letter::DeadLetterTarget;

const MEDIA: &str = "CREATE TABLE media (id TEXT NOT NULL, url TEXT, n BIGINT)
    WITH (connector = 'single_file', path = '{{ MEDIA }}', type = 'source', format = 'json');";
const OUT: &str = "CREATE TABLE out (id TEXT NOT NULL, n BIGINT)
    WITH (connector = 'single_file', path = '{{ OUT }}', type = 'sink', format = 'json');";
const TOPIC: &str = "CREATE TABLE topic (id TEXT, url TEXT, n BIGINT)
    WITH (connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 't', type = 'source', format = 'json');";

fn bench() -> Workbench {
    let bench = Workbench::new();
    let lines: Vec<String> = (0..10)
        .map(|n| format!(r#"{{"id":"{}","url":"u{n}","n":{n}}}"#, n % 4))
        .collect();
    bench.file("media.jsonl", &lines.iter().map(String::as_str).collect::<Vec<_>>());
    bench
}

async fn numbers(bench: &Workbench, query: &str) -> Vec<i64> {
    bench
        .run(&format!("{MEDIA}\n{OUT}\n{query}"))
        .await
        .expect("the script runs");
    bench
        .rows("out.jsonl")
        .iter()
        .map(|row| row["n"].as_i64().expect("n is a number"))
        .collect()
}

async fn refusal(query: &str) -> String {
    message(bench().run(&format!("{TOPIC}\n{MEDIA}\n{OUT}\n{query}")).await)
}

#[tokio::test]
async fn epochs_computed_together_are_written_in_order() {
    let bench = bench();
    assert_eq!(
        numbers(&bench, "INSERT INTO out SELECT id, n FROM media;").await,
        (0..10).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_join_with_a_bounded_table_keeps_the_order_of_the_stream() {
    let bench = bench();
    bench.file("names.jsonl", &[r#"{"key":"3","add":300}"#, r#"{"key":"1","add":100}"#]);
    let query = "CREATE TABLE names (key TEXT, add BIGINT)
          WITH (connector = 'single_file', path = '{{ NAMES }}', type = 'source', format = 'json');
        INSERT INTO out SELECT m.id, n + add FROM media m JOIN names ON m.id = names.key;";
    assert_eq!(numbers(&bench, query).await, [101, 303, 105, 307, 109]);
}

#[tokio::test]
async fn files_alone_join_in_every_way() {
    for (join, expected) in [
        ("JOIN", vec![(1, "1"), (3, "3")]),
        ("LEFT JOIN", vec![(0, "-"), (1, "1"), (2, "-"), (3, "3")]),
        ("RIGHT JOIN", vec![(-1, "9"), (1, "1"), (3, "3")]),
        ("FULL JOIN", vec![(-1, "9"), (0, "-"), (1, "1"), (2, "-"), (3, "3")]),
    ] {
        let bench = bench();
        bench.file("names.jsonl", &[r#"{"key":"3"}"#, r#"{"key":"1"}"#, r#"{"key":"9"}"#]);
        let query = format!(
            "CREATE TABLE names (key TEXT) WITH (connector = 'single_file', path = '{{{{ NAMES }}}}', type = 'source',
               format = 'json');
             CREATE VIEW first AS SELECT id, n FROM media WHERE n < 4;
             INSERT INTO out SELECT coalesce(names.key, '-'), coalesce(m.n, -1) FROM first m {join} names ON m.id = names.key;"
        );
        bench
            .run(&format!("{MEDIA}\n{OUT}\n{query}"))
            .await
            .expect("the script runs");
        let mut rows: Vec<_> = bench
            .rows("out.jsonl")
            .iter()
            .map(|row| {
                (
                    row["n"].as_i64().expect("a number"),
                    row["id"].as_str().expect("a text").to_string(),
                )
            })
            .collect();
        rows.sort();
        let expected: Vec<_> = expected.into_iter().map(|(n, key)| (n, key.to_string())).collect();
        assert_eq!(rows, expected, "{join}");
    }
}

#[tokio::test]
async fn a_union_of_sources_reads_both() {
    let bench = bench();
    bench.file("more.jsonl", &[r#"{"id":"x","n":77}"#]);
    let query = "CREATE TABLE more (id TEXT, n BIGINT)
          WITH (connector = 'single_file', path = '{{ MORE }}', type = 'source', format = 'json');
        INSERT INTO out SELECT id, n FROM media UNION ALL SELECT id, n FROM more;";
    let mut found = numbers(&bench, query).await;
    found.sort_unstable();
    assert_eq!(found, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 77]);
}

#[tokio::test]
async fn several_statements_share_one_reading_of_a_source() {
    let bench = bench();
    let query = "CREATE TABLE odd (n BIGINT) WITH (connector = 'single_file', path = '{{ ODD }}', type = 'sink', format = 'json');
        INSERT INTO out SELECT id, n FROM media WHERE n % 2 = 0;
        INSERT INTO odd SELECT n FROM media WHERE n % 2 = 1;";
    assert_eq!(numbers(&bench, query).await, [0, 2, 4, 6, 8]);
    assert_eq!(bench.rows("odd.jsonl").len(), 5);
}

#[tokio::test]
async fn files_alone_may_be_aggregated_and_sorted() {
    let bench = bench();
    let query = "INSERT INTO out SELECT id, sum(n) FROM media GROUP BY id ORDER BY id DESC LIMIT 2;";
    assert_eq!(numbers(&bench, query).await, [3 + 7, 2 + 6]);
}

#[tokio::test]
async fn files_alone_keep_the_order_that_the_query_gives_them() {
    let bench = bench();
    assert_eq!(
        numbers(
            &bench,
            "INSERT INTO out SELECT id, n FROM media ORDER BY n DESC LIMIT 3;"
        )
        .await,
        [9, 8, 7]
    );
    let distinct = "INSERT INTO out SELECT DISTINCT ON (id) id, n FROM media ORDER BY id, n DESC;";
    let bench = self::bench();
    assert_eq!(numbers(&bench, distinct).await, [8, 9, 6, 7]);
}

#[tokio::test]
async fn a_query_that_fails_on_no_row_at_all_stops_the_job() {
    let bench = bench();
    let sql = format!("{MEDIA}\n{OUT}\nINSERT INTO out SELECT id, n + CAST('x' AS BIGINT) FROM media;");
    let error = message(bench.run(&sql).await);
    assert!(error.starts_with("test.sql:") && error.contains("'x'"), "{error}");
    assert!(bench.rows("dead.jsonl").is_empty(), "no row is blamed");
}

#[tokio::test]
async fn a_row_on_which_an_expression_fails_fails_alone() {
    let bench = bench();
    assert_eq!(
        numbers(&bench, "INSERT INTO out SELECT id, 12 / (n - 5) FROM media;")
            .await
            .len(),
        9
    );
    let dead = bench.rows("dead.jsonl");
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0]["offset"], json!(5));
    assert!(
        dead[0]["reason"].to_string().to_lowercase().contains("divide by zero"),
        "{}",
        dead[0]
    );
}

#[tokio::test]
async fn a_null_for_a_not_null_column_is_refused_alone() {
    let bench = bench();
    let query = "INSERT INTO out SELECT CASE WHEN n <> 4 THEN id END, n FROM media;";
    assert_eq!(numbers(&bench, query).await, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    let dead = bench.rows("dead.jsonl");
    assert_eq!((dead.len(), &dead[0]["offset"]), (1, &json!(4)));
    assert!(
        dead[0]["reason"].to_string().contains("id of out is NOT NULL"),
        "{}",
        dead[0]
    );
}

#[tokio::test]
async fn without_dead_letters_the_first_bad_row_stops_the_job() {
    let bench = bench();
    let sql = format!("{MEDIA}\n{OUT}\nINSERT INTO out SELECT id, 12 / (n - 5) FROM media;");
    let error = message(bench.run_with(&sql, DeadLetterTarget::None).await);
    assert!(
        error.contains("offset 5") && error.to_lowercase().contains("divide by zero"),
        "{error}"
    );
}

#[tokio::test]
async fn what_needs_state_across_epochs_is_refused_with_a_way_out() {
    for (query, what) in [
        (
            "INSERT INTO out SELECT id, count(*) FROM topic GROUP BY id;",
            "aggregate",
        ),
        ("INSERT INTO out SELECT DISTINCT id, n FROM topic;", "DISTINCT"),
        ("INSERT INTO out SELECT id, n FROM topic LIMIT 5;", "LIMIT"),
        ("INSERT INTO out SELECT id, n FROM topic ORDER BY n;", "ORDER BY"),
        (
            "INSERT INTO out SELECT id, row_number() OVER (PARTITION BY id ORDER BY n) FROM topic;",
            "window",
        ),
        (
            "INSERT INTO out SELECT a.id, b.n FROM topic a JOIN topic b ON a.id = b.id;",
            "join of two streams",
        ),
        (
            "INSERT INTO out SELECT id, n FROM media WHERE id IN (SELECT id FROM topic);",
            "subquery",
        ),
        (
            "INSERT INTO out SELECT m.id, t.n FROM media m LEFT JOIN topic t ON m.id = t.id;",
            "LEFT JOIN",
        ),
        (
            "INSERT INTO out SELECT id, n FROM topic UNION ALL SELECT 'x', 1;",
            "UNION ALL",
        ),
    ] {
        let error = refusal(query).await;
        assert!(error.contains(what), "{query} is refused as {error}");
        assert!(error.starts_with("test.sql:7: "), "{error}");
    }
}

#[tokio::test]
async fn errors_name_the_line_and_what_to_write() {
    for (sql, line, words) in [
        ("SELEKT 1;", 1, vec!["SELEKT"]),
        ("SELECT 1\n\n SELECT 2;", 3, vec!["';'"]),
        ("\nCREATE TABLE t (id TEXT);", 2, vec!["WITH (connector"]),
        (
            "CREATE TABLE t (id MONEYS) WITH (connector = 'stdout');",
            1,
            vec!["BIGINT", "column id"],
        ),
        (
            "CREATE TABLE t (id TEXT) WITH (connector = '{{ X }');",
            1,
            vec!["connector", "does not close"],
        ),
        ("SET model = 'x';\nSELECT 1;", 1, vec!["sightstream."]),
        ("DROP TABLE t;", 1, vec!["DROP TABLE", "CREATE VIEW"]),
        ("-- only a comment", 0, vec!["nothing to run"]),
        ("SELECT 1;\nSELECT\n  nothing;", 3, vec!["nothing"]),
        (
            "SELECT 1;\nINSERT INTO nowhere SELECT 1;",
            2,
            vec!["nowhere", "CREATE TABLE"],
        ),
    ] {
        let error = message(Workbench::new().run(sql).await);
        let place = if line == 0 {
            "test.sql: ".to_string()
        } else {
            format!("test.sql:{line}:")
        };
        assert!(error.starts_with(&place), "{sql:?} gives {error}");
        assert!(words.iter().all(|word| error.contains(word)), "{sql:?} gives {error}");
    }
}

#[tokio::test]
async fn an_insert_that_does_not_fit_says_how() {
    for (query, words) in [
        (
            "INSERT INTO out SELECT id FROM media;",
            "needs 2 columns (id, n), but its query gives 1 (id)",
        ),
        ("INSERT INTO out (id, m) SELECT id, n FROM media;", "no column m"),
        ("INSERT INTO out SELECT embed(url), n FROM media;", "cannot be cast"),
        ("INSERT INTO media SELECT id, url, n FROM media;", "used as a sink"),
    ] {
        let error = refusal(query).await;
        assert!(error.contains(words), "{query} gives {error}");
    }
}

#[tokio::test]
async fn an_insert_by_names_leaves_the_others_null() {
    let bench = bench();
    bench
        .run(&format!(
            "{MEDIA}\n{OUT}\nINSERT INTO out (id) SELECT id FROM media WHERE n = 2;"
        ))
        .await
        .expect("it runs");
    assert_eq!(bench.rows("out.jsonl"), [json!({"id":"2","n":null})]);
}

#[tokio::test]
async fn a_script_may_hold_comments_settings_and_views_of_views() {
    let bench = bench();
    let query = "-- a comment with a ; and an embed( in it
        SET sightstream.epoch_rows = 2; /* another */
        CREATE VIEW big AS SELECT id, n FROM media WHERE n > 5;
        CREATE VIEW bigger (key, number) AS SELECT id, n * 10 FROM big WHERE n > 7;
        INSERT INTO out SELECT key, number FROM bigger;";
    assert_eq!(numbers(&bench, query).await, [80, 90]);
}

#[test]
fn a_script_tells_its_settings_and_whether_it_embeds() {
    let script = sightstream_sql::Script::parse(
        "SET sightstream.model = 'm';\nSET sightstream.max_batch_tokens = 512; SELECT 'embed(x)';",
        "test.sql",
    )
    .expect("the script is well written");
    let settings: Vec<_> = script
        .settings()
        .iter()
        .map(|(name, setting)| (name.as_str(), setting.value.as_str(), setting.line))
        .collect();
    assert_eq!(settings, [("max_batch_tokens", "512", 2), ("model", "m", 1)]);
}

#[tokio::test]
async fn a_plan_tells_whether_it_embeds_and_prints() {
    for (sql, embeds) in [
        ("SELECT 'embed(x)';", false),
        ("SELECT Embed ('data:,x');", true),
        (
            "CREATE VIEW v AS SELECT 1 AS one, embed('data:,x') AS vector; SELECT one FROM v;",
            false,
        ),
    ] {
        let script = sightstream_sql::Script::parse(sql, "test.sql").expect("it is well written");
        let plan = sightstream_sql::Plan::new(script).await.expect("it can be planned");
        assert_eq!((plan.uses_embedding(), plan.prints_rows()), (embeds, true), "{sql}");
    }
}

#[tokio::test]
async fn json_columns_stay_json_however_they_are_made() {
    let bench = Workbench::new();
    bench.file(
        "records.jsonl",
        &[
            r#"{"id":7,"payload":{"a":[1,{"b":null}]}}"#,
            r#"{"id":"x","payload":null}"#,
        ],
    );
    let sql = "CREATE TABLE records (id JSON, payload JSON)
          WITH (connector = 'single_file', path = '{{ RECORDS }}', type = 'source', format = 'json');
        CREATE TABLE out (id JSON, payload JSON, made JSON, text TEXT)
          WITH (connector = 'single_file', path = '{{ OUT }}', type = 'sink', format = 'json');
        INSERT INTO out SELECT id, CASE WHEN id = '7' THEN payload END, concat('[', id, ']'), payload FROM records;";
    bench.run(sql).await.expect("the script runs");
    assert_eq!(
        bench.rows("out.jsonl"),
        [
            json!({"id":7,"payload":{"a":[1,{"b":null}]},"made":[7],"text":"{\"a\":[1,{\"b\":null}]}"}),
            json!({"id":"x","payload":null,"made":["x"],"text":null}),
        ]
    );
}

#[tokio::test]
async fn a_file_in_several_parts_of_a_script_is_read_once() {
    let bench = bench();
    bench.file("names.jsonl", &[r#"{"key":"3"}"#, "not json"]);
    let query = "CREATE TABLE names (key TEXT)
          WITH (connector = 'single_file', path = '{{ NAMES }}', type = 'source', format = 'json');
        INSERT INTO out SELECT max(key), count(*) FROM names;
        INSERT INTO out SELECT min(key), count(*) FROM names;
        INSERT INTO out SELECT m.id, n FROM media m JOIN names ON m.id = names.key WHERE n < 4;";
    assert_eq!(numbers(&bench, query).await, [1, 1, 3]);
    assert_eq!(bench.rows("dead.jsonl").len(), 1, "its bad record is one dead letter");
}
