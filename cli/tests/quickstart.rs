//! `sightstream quickstart`: broker, pipeline, collection and searches in one process.

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

use common::{code, folder, output, png, sightstream, stderr, stdout};

fn quickstart(directory: &Path) -> Output {
    let mut command = sightstream(directory);
    command.args(["quickstart", "--media", "mine", "--data-dir", "data"]);
    output(command)
}

/// The number after `label` in the report.
fn count(report: &str, label: &str) -> f64 {
    let line = report
        .lines()
        .find(|line| line.starts_with(label))
        .unwrap_or_else(|| panic!("no {label} in {report}"));
    let number = line[label.len()..]
        .split_whitespace()
        .next()
        .expect("a label is followed by a number");
    number.replace(',', "").parse().expect("it is a number")
}

#[test]
fn a_folder_of_ones_own_is_indexed_and_searched_and_again_the_next_time() {
    let folder = folder();
    let mine = folder.path().join("mine");
    fs::create_dir_all(mine.join("trip")).expect("a new folder");
    png(&mine, "one.png", 20);
    png(&mine.join("trip"), "two.png", 220);
    fs::write(mine.join("notes.txt"), "a red bicycle near water").expect("a new file");
    fs::write(mine.join("broken.jpg"), "no image at all").expect("a new file");

    let first = quickstart(folder.path());
    assert_eq!(code(&first), 0, "{}{}", stdout(&first), stderr(&first));
    let text = stdout(&first);
    assert_eq!(
        (count(&text, "rows read"), count(&text, "indexed")),
        (4.0, 3.0),
        "{text}"
    );
    assert_eq!(count(&text, "dead-lettered"), 1.0, "{text}");
    assert!(count(&text, "rows per second") > 0.0, "{text}");
    let searches: Vec<&str> = text
        .lines()
        .filter(|line| line.trim_start().starts_with("rank"))
        .collect();
    assert_eq!(searches.len(), 3, "{text}");
    assert!(text.contains("kind=image"), "{text}");
    let letters = fs::read_to_string(folder.path().join("data/dead_letters.jsonl")).expect("there is a dead letter");
    assert!(letters.contains("broken.jpg"), "{letters}");

    fs::remove_file(mine.join("trip/two.png")).expect("the file was there");
    let second = quickstart(folder.path());
    assert_eq!(code(&second), 0, "{}{}", stdout(&second), stderr(&second));
    let text = stdout(&second);
    assert_eq!(count(&text, "indexed"), 2.0, "{text}");
    assert!(
        !text.contains("two.png"),
        "the next run starts with an empty collection: {text}"
    );
}

#[test]
fn without_the_sample_media_the_way_out_is_named() {
    let folder = folder();
    let mut command = sightstream(folder.path());
    command.arg("quickstart");
    let output = output(command);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("--media"), "{}", stderr(&output));
}
