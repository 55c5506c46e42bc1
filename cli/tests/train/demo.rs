//! The checkpoint that is built in, on scenes of which it has seen none.

use std::fs;

use sightstream_jobs::scenes::write;

use super::common::{code, folder, output, sightstream, stderr};

/// The share of queries whose right candidate is the first of all.
fn hit_at_1(scores: &str) -> f64 {
    let hit = scores.lines().find_map(|line| line.strip_prefix("global,hit@1,"));
    hit.expect("a row of it").parse().expect("a number")
}

#[test]
fn it_finds_what_it_has_not_seen() {
    let folder = folder();
    write::tests(folder.path()).expect("scenes can be drawn");
    for (set, least) in [("images", 0.8), ("clips", 0.7), ("pages", 0.7), ("instructions", 0.8)] {
        let mut command = sightstream(folder.path());
        command.args(["eval", &format!("{set}.jsonl"), "--csv", "scores.csv"]);
        let output = output(command);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let scores = fs::read_to_string(folder.path().join("scores.csv")).expect("a file");
        let hit = hit_at_1(&scores);
        assert!(hit >= least, "{set}: {hit}");
    }
}
