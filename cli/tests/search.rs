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
