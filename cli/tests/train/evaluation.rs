//! `sightstream eval`.

use std::fs;

use super::common::{code, output, sightstream, stderr, stdout};
use super::kit::{MODEL, World, adapter};

#[test]
fn before_and_after_stand_side_by_side_and_in_the_csv() {
    let world = World::new(&(adapter() + "max_steps: 60\n"));
    let trained = output(world.train());
    assert_eq!(code(&trained), 0, "{}", stderr(&trained));
    let mut command = sightstream(world.path());
    command.args(["eval", "pairs.jsonl", "--model", MODEL, "--adapter", "run"]);
    command.args(["--baseline", MODEL, "--csv", "scores.csv", "--details", "details.csv"]);
    let output = output(command);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let table = stdout(&output);
    for part in [
        "hit@1", "hit@5", "hit@10", "mrr", "ndcg@5", "ndcg@10", "before", "after",
    ] {
        assert!(table.to_lowercase().contains(part), "{part}: {table}");
    }
    let csv = fs::read_to_string(world.path().join("scores.csv")).expect("a file");
    let mut lines = csv
        .lines()
        .map(|line| line.split(',').map(str::to_string).collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    let column = |name: &str| header.iter().position(|column| column == name).expect("a column");
    let rows: Vec<Vec<String>> = lines.collect();
    let mrr = rows
        .iter()
        .find(|row| row[..2] == ["global", "mrr"])
        .expect("a row of mrr");
    let score = |name: &str| mrr[column(name)].parse::<f64>().expect("a number");
    assert!(score("after") > score("before") + 0.1, "training helped: {csv}");
    let details = fs::read_to_string(world.path().join("details.csv")).expect("a file");
    assert_eq!(details.lines().count(), 17, "a line for each query: {details}");
    assert!(details.contains("red top left,"), "{details}");
}

#[test]
fn rows_that_cannot_be_embedded_are_counted_and_told_by_the_exit_code() {
    let world = World::new(&(adapter() + "max_steps: 1\n"));
    let pairs = world.path().join("pairs.jsonl");
    let mut rows = fs::read_to_string(&pairs).expect("a file");
    rows += "{\"query\": {\"text\": \"a ghost\"}, \"positive\": {\"url\": \"images/ghost.png\"}}\n";
    fs::write(&pairs, rows).expect("a disk");
    let mut command = sightstream(world.path());
    command.args(["eval", "pairs.jsonl", "--model", MODEL]);
    let output = output(command);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stdout(&output).to_lowercase().contains("mrr"));
    assert!(stderr(&output).contains("ghost.png"), "{}", stderr(&output));
}

#[test]
fn scores_that_are_there_stay_until_there_are_new_ones() {
    let world = World::new("");
    let scores = world.path().join("scores.csv");
    fs::write(&scores, "those of last week").expect("a disk");
    let names = || {
        let entries = fs::read_dir(world.path()).expect("a folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let evaluate = |model: &str, csv: &str| {
        let mut command = sightstream(world.path());
        command.args([
            "eval",
            "pairs.jsonl",
            "--model",
            model,
            "--csv",
            csv,
            "--details",
            "details.csv",
        ]);
        output(command)
    };
    let failed = evaluate("no/such/model", "scores.csv");
    assert_ne!(code(&failed), 0);
    assert_eq!(fs::read_to_string(&scores).expect("a file"), "those of last week");
    assert_eq!(names(), before, "nothing is left beside them");
    let refused = evaluate(MODEL, "no/such/folder/scores.csv");
    assert_eq!(code(&refused), 2, "{}", stderr(&refused));
    assert!(
        stderr(&refused).contains("scores.csv cannot be written"),
        "{}",
        stderr(&refused)
    );

    let done = evaluate(MODEL, "scores.csv");
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert!(fs::read_to_string(&scores).expect("a file").contains("mrr"));
    assert_eq!(names().len(), before.len() + 1, "details.csv came to them");
}

#[test]
fn a_medium_is_one_candidate_however_its_address_and_default_instruction_are_written() {
    let world = World::new("");
    let image = world.path().join("images/red_top_left.png");
    let rows = format!(
        r#"{{"query": {{"text": "a"}}, "positive": {{"url": "images/red_top_left.png"}}}}
{{"query": {{"text": "b"}}, "positive": {{"url": "./images/red_top_left.png", "instruction": "Represent the given image."}}}}
{{"query": {{"text": "c"}}, "positive": {{"url": "file://{}"}}}}
"#,
        image.display()
    );
    fs::write(world.path().join("pairs.jsonl"), rows).expect("a disk");
    let mut command = sightstream(world.path());
    command.args(["eval", "pairs.jsonl", "--model", MODEL, "--csv", "scores.csv"]);
    let output = output(command);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        stdout(&output).lines().next().expect("a head").ends_with(" of 1"),
        "{}",
        stdout(&output)
    );
    let scores = fs::read_to_string(world.path().join("scores.csv")).expect("a file");
    assert!(scores.contains("global,mrr,1\n"), "{scores}");
}
