//! Both pipelines over a folder of everything.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{code, folder, json_lines, output, png, sightstream, stderr, stdout};
use crate::kit::{MEDIA, MOMENTS, Pipeline, ffmpeg, pdf, serve, video};

const EVERYTHING: [&str; 5] = ["long.mp4", "short.mkv", "report.pdf", "image.png", "data:,a%20boat"];

/// A folder with what [`EVERYTHING`] names.
fn everything() -> tempfile::TempDir {
    let folder = folder();
    video(folder.path(), "long.mp4", 190);
    video(folder.path(), "short.mkv", 10);
    fs::write(folder.path().join("report.pdf"), pdf(3)).expect("a new file");
    png(folder.path(), "image.png", 200);
    folder
}

fn texts<'a>(points: &'a [Value], field: &str) -> BTreeSet<&'a str> {
    points
        .iter()
        .filter_map(|point| point["payload"][field].as_str())
        .collect()
}

/// The name in the first row of the table that `search --moments` prints.
fn nearest(pipeline: &Pipeline, directory: &Path, url: &str) -> String {
    let table = stdout(&pipeline.search(directory, &["--url", url, "--moments", "--limit", "1"]));
    let row = table.lines().nth(1).expect("something is found");
    assert!(row.contains("  1.0000  "), "{url} itself is there: {table}");
    row.split("  ").last().expect("a row ends with a name").to_string()
}

#[test]
fn each_window_and_page_is_a_point_and_each_is_found_by_itself() {
    let folder = everything();
    MOMENTS.run(folder.path(), &EVERYTHING);
    let points = MOMENTS.points(folder.path());
    assert_eq!(points.len(), 7 + 1 + 3 + 1 + 1);
    assert_eq!(
        texts(&points, "id").len() + points.iter().filter(|point| point["payload"]["id"].is_null()).count(),
        13
    );
    let ids: BTreeSet<String> = points.iter().map(|point| point["id"].to_string()).collect();
    assert_eq!(ids.len(), 13, "an id for each point");
    let urls = texts(&points, "url");
    for url in [
        "long.mp4#t=0,30",
        "long.mp4#t=180,190",
        "short.mkv",
        "report.pdf#page=3",
        "image.png",
    ] {
        assert!(urls.contains(url), "{url}: {urls:?}");
    }
    let window = points
        .iter()
        .find(|point| point["url"] == "long.mp4#t=30,60")
        .expect("it is there");
    assert_eq!(
        (&window["parent"], &window["start"], &window["end"]),
        (&"long.mp4".into(), &30.0.into(), &60.0.into())
    );
    assert_eq!(
        (&window["payload"]["medium"], &window["payload"]["id"]),
        (&"0".into(), &"0#t=30,60".into())
    );
    let page = points
        .iter()
        .find(|point| point["url"] == "report.pdf#page=2")
        .expect("it is there");
    assert_eq!(
        (&page["payload"]["page"], &page["payload"]["start"]),
        (&2.into(), &Value::Null)
    );

    assert_eq!(
        nearest(&MOMENTS, folder.path(), "long.mp4#t=30,60"),
        "long.mp4 0:30-1:00"
    );
    assert_eq!(
        nearest(&MOMENTS, folder.path(), "long.mp4#t=3:00,3:10"),
        "long.mp4 3:00-3:10"
    );
    assert_eq!(
        nearest(&MOMENTS, folder.path(), "report.pdf#page=2"),
        "report.pdf page 2"
    );
    assert_eq!(nearest(&MOMENTS, folder.path(), "short.mkv"), "short.mkv");
}

#[test]
fn each_medium_is_a_point_and_each_is_found_by_itself() {
    let folder = everything();
    MEDIA.run(folder.path(), &EVERYTHING);
    let points = MEDIA.points(folder.path());
    assert_eq!(texts(&points, "url"), EVERYTHING.into());
    for url in EVERYTHING {
        assert_eq!(nearest(&MEDIA, folder.path(), url), url);
    }
}

#[test]
fn a_type_that_the_url_hides_is_found_by_content() {
    let folder = folder();
    video(folder.path(), "long.mp4", 190);
    let at = |name: &str| folder.path().join(name);
    for name in ["movie", "movie.jpg", "movie.txt"] {
        fs::copy(at("long.mp4"), at(name)).expect("a copy");
    }
    for name in ["report", "report.mp4", "report.txt"] {
        fs::write(at(name), pdf(2)).expect("a new file");
    }
    let movie = serve(fs::read(at("long.mp4")).expect("it was made")).0;
    let report = serve(pdf(2)).0;
    let (movie, report) = (format!("http://{movie}/7"), format!("http://{report}/8.jpg"));
    let media = [
        "movie",
        "movie.jpg",
        "movie.txt",
        &movie,
        "report",
        "report.mp4",
        "report.txt",
        &report,
    ];
    let mut job = MOMENTS.job(folder.path(), &media);
    job.args(["--allow-network", "127.0.0.0/8"]);
    let output = output(job);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let points = MOMENTS.points(folder.path());
    for (index, medium) in media.iter().enumerate() {
        let of_medium = points.iter().filter(|point| point["parent"] == *medium).count();
        let expected = if index < 4 { 7 } else { 2 };
        assert_eq!(of_medium, expected, "{medium}: {}", stderr(&output));
    }
}

#[test]
fn what_cannot_be_taken_apart_is_a_dead_letter_and_the_others_go_on() {
    let folder = folder();
    ffmpeg(folder.path(), &["-f", "lavfi", "-i", "sine=duration=200", "sound.m4a"]);
    fs::write(folder.path().join("report.pdf"), pdf(2)).expect("a new file");
    fs::write(folder.path().join("broken.pdf"), b"%PDF-1.7\n%%EOF\n").expect("a new file");
    MOMENTS.run(folder.path(), &["sound.m4a", "report.pdf", "broken.pdf", "missing.mp4"]);
    assert_eq!(MOMENTS.points(folder.path()).len(), 2);
    let letters = fs::read_to_string(folder.path().join("dead.jsonl")).expect("there are some");
    let letters: Vec<Value> = letters
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let named: Vec<&str> = letters
        .iter()
        .map(|letter| letter["reason"].as_str().expect("a text"))
        .collect();
    for name in ["sound.m4a: ", "broken.pdf: ", "missing.mp4: "] {
        assert_eq!(
            named.iter().filter(|reason| reason.starts_with(name)).count(),
            1,
            "{named:?}"
        );
    }
    assert_eq!(letters.len(), 3);
}

#[test]
fn a_long_animation_has_windows_as_a_video_has() {
    let folder = folder();
    video(folder.path(), "long.mp4", 190);
    ffmpeg(folder.path(), &["-i", "long.mp4", "long.gif"]);
    png(folder.path(), "still.png", 7);
    ffmpeg(folder.path(), &["-i", "still.png", "still.gif"]);
    let mut command = sightstream(folder.path());
    command.args(["embed", "--segments", "long.gif", "still.gif"]);
    let output = output(command);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let lines = json_lines(&output);
    let urls: Vec<&str> = lines.iter().filter_map(|line| line["url"].as_str()).collect();
    assert_eq!((urls.len(), urls[0], urls[7]), (8, "long.gif#t=0,30", "still.gif"));
}

#[test]
fn embed_gives_a_line_for_each_part_where_it_is_asked_to() {
    let folder = folder();
    fs::write(folder.path().join("report.pdf"), pdf(3)).expect("a new file");
    let mut command = sightstream(folder.path());
    command.args([
        "embed",
        "--segments",
        "report.pdf",
        "data:,a%20boat",
        "missing.mp4",
        "report.pdf#page=2",
    ]);
    let output = output(command);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    let lines = json_lines(&output);
    let urls: Vec<&Value> = lines.iter().map(|line| &line["url"]).collect();
    let pages = ["report.pdf#page=1", "report.pdf#page=2", "report.pdf#page=3"];
    assert_eq!(urls[..3], pages);
    assert_eq!(urls[3..], ["data:,a%20boat", "missing.mp4", "report.pdf#page=2"]);
    assert_eq!(lines[1]["vector"], lines[5]["vector"]);
    assert!(
        lines[4]["error"]
            .as_str()
            .is_some_and(|error| error.contains("missing.mp4"))
    );
}
