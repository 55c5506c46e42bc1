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
        command.args([
            "--max-score-ratio",
            "2",
            "--skip-top",
            "1",
            "--max-bad-share",
            share,
            "--model",
            MODEL,
        ]);
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
