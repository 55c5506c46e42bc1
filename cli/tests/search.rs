//! `sightstream search`, on a collection that `sightstream run` has filled.

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

use common::{code, folder, json_lines, output, png, sightstream, stderr, stdout};
use serde_json::Value;

/// Fills the collection `media` in `embedded:db` with a text and two images.
fn indexed() -> tempfile::TempDir {
    let folder = folder();
    png(folder.path(), "red.png", 250);
    png(folder.path(), "dark.png", 5);
    let rows = "{\"id\":\"a\",\"url\":\"red.png\",\"kind\":\"image\",\"year\":2024}\n\
                {\"id\":\"b\",\"url\":\"dark.png\",\"kind\":\"image\",\"year\":2025}\n\
                {\"id\":\"c\",\"url\":\"data:,a%20red%20bicycle\",\"kind\":\"text\",\"year\":2024}\n";
    fs::write(folder.path().join("in.jsonl"), rows).expect("a new file");
    let sql = "CREATE TABLE media (id TEXT, url TEXT, kind TEXT, year INT)
          WITH (connector = 'single_file', path = 'in.jsonl', type = 'source', format = 'json');
        CREATE TABLE vectors (id TEXT, url TEXT, kind TEXT, year INT, vector FLOAT[])
          WITH (connector = 'qdrant', url = 'embedded:db', collection = 'media');
        INSERT INTO vectors SELECT id, url, kind, year, embed(url) FROM media;";
    fs::write(folder.path().join("job.sql"), sql).expect("a new file");
    let mut command = sightstream(folder.path());
    command.args(["run", "job.sql", "--dead-letters", "none"]);
    let output = output(command);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    folder
}

fn search(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = sightstream(directory);
    command.arg("search").args(arguments).args(["--qdrant", "embedded:db"]);
    if !arguments.contains(&"--collection") {
        command.args(["--collection", "media"]);
    }
    output(command)
}

fn urls(output: &Output) -> Vec<String> {
    assert_eq!(code(output), 0, "{}", stderr(output));
    json_lines(output)
        .iter()
        .map(|line| line["url"].as_str().expect("each point has a url").to_string())
        .collect()
}

#[test]
fn what_was_indexed_is_found_first_by_text_and_by_image() {
    let folder = indexed();
    let by_text = search(folder.path(), &["a red bicycle", "--json"]);
    assert_eq!(urls(&by_text)[0], "data:,a%20red%20bicycle");
    let first: &Value = &json_lines(&by_text)[0];
    assert!(
        (first["score"].as_f64().expect("a score") - 1.0).abs() < 1e-4,
        "{first}"
    );
    assert_eq!((&first["rank"], &first["payload"]["year"]), (&1.into(), &2024.into()));

    let by_image = search(folder.path(), &["--url", "dark.png", "--json", "--limit", "2"]);
    assert_eq!(urls(&by_image).len(), 2);
    assert_eq!(urls(&by_image)[0], "dark.png");
}

#[test]
fn filters_limit_the_result_and_all_must_hold() {
    let folder = indexed();
    let images = urls(&search(
        folder.path(),
        &["a red bicycle", "--json", "--filter", "kind=image"],
    ));
    assert_eq!(images.len(), 2);
    assert!(images.iter().all(|url| url.ends_with(".png")));
    let filters = [
        "a red bicycle",
        "--json",
        "--filter",
        "kind=image",
        "--filter",
        "year=2024",
    ];
    assert_eq!(urls(&search(folder.path(), &filters)), ["red.png"]);

    let nothing = search(folder.path(), &["a red bicycle", "--filter", "kind=video"]);
    assert_eq!((code(&nothing), stdout(&nothing).as_str()), (0, ""));
    assert!(stderr(&nothing).contains("kind=video"), "{}", stderr(&nothing));
}

#[test]
fn the_table_holds_rank_score_and_url() {
    let folder = indexed();
    let output = search(folder.path(), &["a red bicycle"]);
    let table = stdout(&output);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["rank", "score", "url"]
    );
    assert_eq!(
        lines[1].split_whitespace().collect::<Vec<_>>(),
        ["1", "1.0000", "data:,a%20red%20bicycle"]
    );
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_collection_of_another_model_is_not_searched() {
    let folder = indexed();
    let output = search(folder.path(), &["a red bicycle", "--max-pixels", "3136"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("fingerprint"), "{}", stderr(&output));
}

#[test]
fn a_collection_that_is_not_there_and_a_query_of_two_kinds_are_refused() {
    let folder = indexed();
    let missing = search(folder.path(), &["a red bicycle", "--collection", "videos"]);
    assert_eq!(code(&missing), 1);
    assert!(stderr(&missing).contains("'videos'"), "{}", stderr(&missing));
    for arguments in [&["text", "--url", "red.png"][..], &[], &["  "]] {
        assert_eq!(code(&search(folder.path(), arguments)), 2, "{arguments:?}");
    }
}

/// Fills the collection `moments` with points as `index_moments.sql` makes them; texts stand for what the parts show.
fn indexed_moments() -> tempfile::TempDir {
    let folder = folder();
    let rows = [
        ("7", "video.mp4#t=750,780", "a boat leaves the harbour"),
        ("7", "video.mp4#t=3750,3780.5", "a red bicycle"),
        ("8", "report.pdf#page=3", "sales of three years"),
        ("9", "cat.png", "a cat"),
    ];
    let lines =
        rows.map(|(id, part, shows)| format!("{{\"id\":\"{id}\",\"part\":\"{part}\",\"shows\":\"data:,{shows}\"}}\n"));
    fs::write(folder.path().join("in.jsonl"), lines.concat()).expect("a new file");
    let sql = "CREATE TABLE parts (id TEXT, part TEXT, shows TEXT)
          WITH (connector = 'single_file', path = 'in.jsonl', type = 'source', format = 'json');
        CREATE TABLE moments (id TEXT, url TEXT, parent TEXT, \"start\" DOUBLE, \"end\" DOUBLE, page INT, vector FLOAT[])
          WITH (connector = 'qdrant', url = 'embedded:db', collection = 'moments');
        INSERT INTO moments
          SELECT concat(id, substr(part, length(part_of(part)) + 1)), part, part_of(part), part_start(part), part_end(part),
                 part_page(part), embed(shows)
          FROM parts;";
    fs::write(folder.path().join("job.sql"), sql).expect("a new file");
    let mut command = sightstream(folder.path());
    command.args(["run", "job.sql", "--dead-letters", "none"]);
    let output = output(command);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    folder
}

#[test]
fn moments_are_printed_with_their_place_in_the_medium() {
    let folder = indexed_moments();
    let nearest = |text: &str| {
        let output = search(
            folder.path(),
            &[text, "--moments", "--limit", "1", "--collection", "moments"],
        );
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let table = stdout(&output);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].ends_with("  moment"), "{table}");
        lines[1]
            .split("  ")
            .last()
            .expect("a row ends with its name")
            .to_string()
    };
    assert_eq!(nearest("a boat leaves the harbour"), "video.mp4 12:30-13:00");
    assert_eq!(nearest("a red bicycle"), "video.mp4 1:02:30-1:03:00.5");
    assert_eq!(nearest("sales of three years"), "report.pdf page 3");
    assert_eq!(nearest("a cat"), "cat.png");

    let lines = [
        "a red bicycle",
        "--moments",
        "--json",
        "--limit",
        "1",
        "--collection",
        "moments",
    ];
    let found = json_lines(&search(folder.path(), &lines)).remove(0);
    assert_eq!(found["url"], "video.mp4#t=3750,3780.5");
    assert_eq!(found["parent"], "video.mp4");
    assert_eq!(
        (found["start"].as_f64(), found["end"].as_f64()),
        (Some(3750.0), Some(3780.5))
    );
    assert_eq!(
        (&found["page"], &found["payload"]["id"]),
        (&Value::Null, &"7#t=3750,3780.5".into())
    );
}
