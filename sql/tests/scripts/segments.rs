//! What `segments` does, and the functions that read the reference of a part.

use crate::support::{Workbench, message};
use serde_json::{Value, json};

const MEDIA: &str = "CREATE TABLE media (id TEXT, url TEXT, n BIGINT)
    WITH (connector = 'single_file', path = '{{ MEDIA }}', type = 'source', format = 'json');
  CREATE VIEW parts AS SELECT id, n, unnest(string_to_array(segments(url), chr(10))) AS part FROM media;";
const MOMENTS: &str =
    "CREATE TABLE moments (id TEXT, parent TEXT, \"start\" DOUBLE, \"end\" DOUBLE, page INT, vector FLOAT[])
    WITH (connector = 'single_file', path = '{{ MOMENTS }}', type = 'sink', format = 'json');
  INSERT INTO moments
    SELECT concat(id, substr(part, length(part_of(part)) + 1)), part_of(part), part_start(part), part_end(part),
           part_page(part), embed(part)
    FROM parts;";

fn bench(lines: &[&str]) -> Workbench {
    let bench = Workbench::new();
    bench.file("media.jsonl", lines);
    bench
}

fn texts<'a>(rows: &'a [Value], column: &str) -> Vec<&'a str> {
    rows.iter().filter_map(|row| row[column].as_str()).collect()
}

#[tokio::test]
async fn every_part_of_a_medium_is_a_row_of_its_own() {
    let bench = bench(&[
        r#"{"id":"a","url":"v.mp4"}"#,
        r#"{"id":"b","url":"d.pdf"}"#,
        r#"{"id":"c","url":"image"}"#,
        r#"{"id":"d","url":null}"#,
    ]);
    bench
        .run(&format!("{MEDIA}\n{MOMENTS}"))
        .await
        .expect("the script runs");
    let row = |id: &str, parent: &str, start: Value, end: Value, page: Value, length: f64| json!({"id": id, "parent": parent, "start": start, "end": end, "page": page, "vector": [length, 0.0]});
    let none = Value::Null;
    assert_eq!(
        bench.rows("moments.jsonl"),
        [
            row("a#t=0,30", "v.mp4", json!(0.0), json!(30.0), none.clone(), 12.0),
            row("a#t=30,60", "v.mp4", json!(30.0), json!(60.0), none.clone(), 13.0),
            row("a#t=60,90", "v.mp4", json!(60.0), json!(90.0), none.clone(), 13.0),
            row("b#page=1", "d.pdf", none.clone(), none.clone(), json!(1), 12.0),
            row("b#page=2", "d.pdf", none.clone(), none.clone(), json!(2), 12.0),
            row("c", "image", none.clone(), none.clone(), none.clone(), 5.0),
            // A NULL url is a part that is NULL, as in Arroyo.
            json!({"id": "d", "parent": none, "start": none, "end": none, "page": none, "vector": none}),
        ]
    );
}

#[tokio::test]
async fn a_medium_whose_parts_cannot_be_told_is_dead_lettered_and_so_is_a_bad_part() {
    let bench = bench(&[
        r#"{"id":"a","url":"unlisted.mp4"}"#,
        r#"{"id":"b","url":"bad.mp4"}"#,
        r#"{"id":"c","url":"c.pdf"}"#,
    ]);
    let summary = bench
        .run(&format!("{MEDIA}\n{MOMENTS}"))
        .await
        .expect("the script runs");
    assert_eq!(texts(&bench.rows("moments.jsonl"), "id"), ["c#page=1", "c#page=2"]);
    assert_eq!(summary.dead_lettered, [("corrupt".to_string(), 2)].into());
    let dead = bench.rows("dead.jsonl");
    let places: Vec<(i64, String)> = dead
        .iter()
        .map(|letter| {
            (
                letter["offset"].as_i64().expect("an offset"),
                letter["reason"].to_string(),
            )
        })
        .collect();
    assert!(
        places[0].0 == 0 && places[0].1.contains("unlisted.mp4 cannot be opened"),
        "{places:?}"
    );
    assert!(
        places[1].0 == 1 && places[1].1.contains("bad.mp4#t=0,30 cannot be read"),
        "{places:?}"
    );
    assert!(
        places[1].1.contains("bad.mp4#t=60,90"),
        "all its parts are named: {places:?}"
    );
}

#[tokio::test]
async fn parts_are_listed_once_and_only_where_they_are_needed() {
    let bench = bench(&[r#"{"id":"a","url":"v.mp4","n":1}"#, r#"{"id":"b","url":"w.mp4","n":0}"#]);
    let listing = "CREATE TABLE listings (id TEXT, parts TEXT)
          WITH (connector = 'single_file', path = '{{ LISTINGS }}', type = 'sink', format = 'json');
        INSERT INTO listings SELECT id, segments(url) FROM media WHERE n = 1;
        INSERT INTO listings SELECT id, CASE WHEN n = 1 THEN segments(url) END FROM media;";
    bench
        .run(&format!("{MEDIA}\n{listing}"))
        .await
        .expect("the script runs");
    let windows = "v.mp4#t=0,30\nv.mp4#t=30,60\nv.mp4#t=60,90";
    let mut rows = bench.rows("listings.jsonl");
    rows.sort_by_key(|row| row["id"].to_string());
    assert_eq!(
        rows,
        [
            json!({"id":"a","parts":windows}),
            json!({"id":"a","parts":windows}),
            json!({"id":"b","parts":null})
        ]
    );
    assert_eq!(bench.listed(), [("v.mp4".to_string(), 1)].into());
}

#[tokio::test]
async fn a_part_is_asked_for_once_by_two_statements() {
    let bench = bench(&[r#"{"id":"a","url":"v.mp4","n":1}"#]);
    let second = "INSERT INTO moments (id, vector) SELECT concat('!', part), embed(part) FROM parts;";
    let script = format!("{MEDIA}\n{MOMENTS}\n{second}");
    bench.run(&script).await.expect("the script runs");
    assert_eq!(bench.rows("moments.jsonl").len(), 6);
    assert!(bench.calls().values().all(|calls| *calls == 1), "{:?}", bench.calls());
    assert_eq!(bench.listed(), [("v.mp4".to_string(), 1)].into());
}

#[tokio::test]
async fn what_names_no_part_has_no_fields_of_one() {
    let references = [
        ("v.mp4#t=1:02:30,1:03:00.5", json!([3750.0, 3780.5, null, "v.mp4"])),
        ("v.mp4#t=12", json!([12.0, null, null, "v.mp4"])),
        ("v.mp4#t=,20", json!([0.0, 20.0, null, "v.mp4"])),
        ("take #2.pdf#page=7", json!([null, null, 7, "take #2.pdf"])),
        ("data:,C# in depth", json!([null, null, null, "data:,C# in depth"])),
        ("https://h/a?x=1#top", json!([null, null, null, "https://h/a?x=1#top"])),
        ("v.mp4#t=60,30", json!([null, null, null, "v.mp4#t=60,30"])),
        ("d.pdf#page=0", json!([null, null, null, "d.pdf#page=0"])),
        ("d.pdf#page=4294967295", json!([null, null, null, "d.pdf"])),
        ("d.pdf#Page=1", json!([null, null, null, "d.pdf#Page=1"])),
    ];
    let lines: Vec<String> = references
        .iter()
        .map(|(url, _)| json!({"url": url}).to_string())
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).chain([r#"{"url":null}"#]).collect();
    let bench = bench(&lines);
    let query = "CREATE TABLE fields (\"start\" DOUBLE, \"end\" DOUBLE, page INT, whole TEXT)
          WITH (connector = 'single_file', path = '{{ FIELDS }}', type = 'sink', format = 'json');
        INSERT INTO fields SELECT part_start(url), part_end(url), part_page(url), part_of(url) FROM media;";
    bench.run(&format!("{MEDIA}\n{query}")).await.expect("the script runs");
    let rows = bench.rows("fields.jsonl");
    let expected = references
        .into_iter()
        .map(|(_, fields)| fields)
        .chain([json!([null, null, null, null])]);
    for (row, fields) in rows.iter().zip(expected) {
        assert_eq!(json!([row["start"], row["end"], row["page"], row["whole"]]), fields);
    }
    assert_eq!(rows.len(), lines.len());
}

#[tokio::test]
async fn segments_takes_one_text_and_cannot_stand_in_a_join() {
    let bench = bench(&[r#"{"id":"a","url":"v.mp4"}"#]);
    let sink = "CREATE TABLE out (id TEXT) WITH (connector = 'single_file', path = '{{ OUT }}', type = 'sink', format = 'json');";
    for (query, told) in [
        ("INSERT INTO out SELECT segments(url, 'x') FROM media;", "segments"),
        (
            "INSERT INTO out SELECT a.id FROM media a JOIN media b ON segments(a.url) = segments(b.url);",
            "segments cannot stand in a",
        ),
    ] {
        let told_of = message(bench.run(&format!("{MEDIA}\n{sink}\n{query}")).await);
        assert!(told_of.contains(told), "{told_of}");
    }
}
