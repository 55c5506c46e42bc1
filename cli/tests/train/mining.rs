//! `sightstream train mine-negatives`.

use std::fs;

use serde_json::Value;

use super::common::{code, output, sightstream, stderr};
use super::kit::{MODEL, World, adapter};

#[test]
fn mined_negatives_are_other_rows_targets_and_can_be_trained_with() {
    let world = World::new(&(adapter() + "max_steps: 2\nnum_hard_negatives: 2\n"));
    let mut command = sightstream(world.path());
    command.args([
        "train",
        "mine-negatives",
        "--pairs",
        "pairs.jsonl",
        "--output",
        "hard.jsonl",
    ]);
    command.args(["--top-k", "2", "--model", MODEL]);
    let mined = output(command);
    assert_eq!(code(&mined), 0, "{}", stderr(&mined));
    let text = fs::read_to_string(world.path().join("hard.jsonl")).expect("a file");
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(rows.len(), 16);
    for row in &rows {
        let negatives = row["negatives"].as_array().expect("a list");
        assert_eq!(negatives.len(), 2, "{row}");
        assert!(
            negatives
                .iter()
                .all(|negative| negative["url"] != row["positive"]["url"]),
            "{row}"
        );
    }
    let mut train = world.train();
    train.args(["--set", "datasets.0.path=hard.jsonl"]);
    let trained = output(train);
    assert_eq!(code(&trained), 0, "{}", stderr(&trained));
}

#[test]
fn rows_that_cannot_be_read_are_left_out_up_to_a_share() {
    let world = World::new("");
    fs::remove_file(world.path().join("images/red_top_left.png")).expect("it is there");
    let mine = |share: &str| {
        let mut command = sightstream(world.path());
        command.args([
            "train",
            "mine-negatives",
            "--pairs",
            "pairs.jsonl",
            "--output",
            "hard.jsonl",
        ]);
        command.args(["--skip-top", "1", "--max-bad-share", share, "--model", MODEL]);
        output(command)
    };
    let refused = mine("0.01");
    assert_eq!(code(&refused), 1, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("red_top_left.png"), "{}", stderr(&refused));
    assert!(!world.path().join("hard.jsonl").exists());
    let mined = mine("0.1");
    assert_eq!(code(&mined), 1, "some were left out: {}", stderr(&mined));
    let text = fs::read_to_string(world.path().join("hard.jsonl")).expect("a file");
    assert_eq!(text.lines().count(), 15);
    assert!(!text.contains("red_top_left.png"));
}

#[test]
fn neighbours_can_come_from_a_collection() {
    let world = World::new("");
    let media: String = fs::read_dir(world.path().join("images"))
        .expect("a folder")
        .map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"))
        .enumerate()
        .map(|(id, name)| format!("{{\"id\":{id},\"url\":\"images/{name}\"}}\n"))
        .collect();
    fs::write(world.path().join("media.jsonl"), media).expect("a disk");
    let sql = "CREATE TABLE media (id BIGINT, url TEXT)
                 WITH (connector = 'single_file', path = 'media.jsonl', type = 'source', format = 'json');
               CREATE TABLE vectors (id BIGINT, url TEXT, vector FLOAT[])
                 WITH (connector = 'qdrant', url = 'embedded:qdrant', collection = 'media');
               INSERT INTO vectors SELECT id, url, embed(url) AS vector FROM media;";
    fs::write(world.path().join("index.sql"), sql).expect("a disk");
    let mut index = sightstream(world.path());
    index.args(["run", "index.sql", "--until-caught-up", "--model", MODEL]);
    let indexed = output(index);
    assert_eq!(code(&indexed), 0, "{}", stderr(&indexed));

    let mine = |model: &str| {
        let mut command = sightstream(world.path());
        command.args([
            "train",
            "mine-negatives",
            "--pairs",
            "pairs.jsonl",
            "--output",
            "hard.jsonl",
        ]);
        command.args(["--qdrant", "embedded:qdrant", "--collection", "media", "--top-k", "3"]);
        command.args(["--model", model]);
        output(command)
    };
    let other = mine(concat!(env!("CARGO_MANIFEST_DIR"), "/../model/tests/fixtures/grouped"));
    assert_eq!(code(&other), 1, "{}", stderr(&other));
    assert!(stderr(&other).contains("cannot be compared"), "{}", stderr(&other));
    let mined = mine(MODEL);
    assert_eq!(code(&mined), 0, "{}", stderr(&mined));
    let text = fs::read_to_string(world.path().join("hard.jsonl")).expect("a file");
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).expect("JSON");
        let negatives = row["negatives"].as_array().expect("a list");
        assert_eq!(negatives.len(), 3, "{row}");
        let own = row["positive"]["url"].as_str().expect("a url");
        let urls = negatives
            .iter()
            .map(|negative| negative["url"].as_str().expect("a url"));
        assert!(
            urls.clone().all(|url| url.starts_with("images/") && url != own),
            "{row}"
        );
    }
}
