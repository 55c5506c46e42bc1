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

/// The row of rank 1 of the search whose title begins so.
fn best<'a>(text: &'a str, title: &str) -> &'a str {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(title));
    lines
        .nth(2)
        .unwrap_or_else(|| panic!("no search {title} in {text}"))
        .trim_end()
}

#[test]
fn the_searches_of_the_sample_find_a_moment_and_a_page() {
    let data = folder();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = sightstream(&repository);
    command
        .arg("quickstart")
        .arg("--data-dir")
        .arg(data.path().join("data"));
    let quickstart = output(command);
    let text = stdout(&quickstart);
    assert_eq!(code(&quickstart), 0, "{text}{}", stderr(&quickstart));
    assert!(
        text.contains("50 images, 2 videos, 1 document and 16 texts in"),
        "{text}"
    );
    let film = best(&text, "By another film");
    assert!(film.ends_with("seven_places.mp4 1:30-2:00"), "{text}");
    let photograph = best(&text, "By a photo of a page");
    assert!(photograph.ends_with("harbour_report.pdf page 5"), "{text}");
}
