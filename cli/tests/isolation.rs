//! Decoding in processes of its own, by the command.

mod common;

use std::fs;
use std::path::Path;

use common::{code, folder, job, json_lines, output, png, sightstream, stderr, stdout};
use image::RgbImage;
use serde_json::Value;

/// A small file that is 36 MB of pixels.
fn large_png(directory: &Path) {
    let image = RgbImage::from_pixel(4000, 3000, image::Rgb([9, 8, 7]));
    image.save(directory.join("large.png")).expect("a PNG can be written");
}

#[test]
fn an_image_that_takes_too_much_memory_is_a_dead_letter_and_its_neighbours_arrive() {
    let folder = folder();
    png(folder.path(), "small.png", 1);
    large_png(folder.path());
    let media = ["small.png", "large.png", "data:,red", "small.png"];
    let mut limited = job(folder.path(), &media);
    limited.args(["--decode-memory", "24MiB"]);
    let limited = output(limited);
    assert_eq!(code(&limited), 0, "{}", stderr(&limited));
    let ids: Vec<Value> = json_lines(&limited).iter().map(|line| line["id"].clone()).collect();
    assert_eq!(ids, [0, 2, 3]);
    let letters = fs::read_to_string(folder.path().join(".sightstream/job/dead_letters.jsonl"));
    let letters = letters.expect("the dead letters are beside the job's state");
    let letter: Value = serde_json::from_str(letters.trim()).expect("one JSON line");
    assert_eq!(
        (&letter["code"], &letter["offset"]),
        (&"decode_memory".into(), &1.into())
    );
    let reason = letter["reason"].as_str().expect("a sentence");
    assert!(
        reason.ends_with("decoding takes too much memory: the limit is 25165824 bytes"),
        "{reason}"
    );
    assert!(stderr(&limited).contains("decode_memory 1"), "{}", stderr(&limited));

    let unlimited = output(job(folder.path(), &media));
    assert_eq!(
        (code(&unlimited), json_lines(&unlimited).len()),
        (0, 4),
        "{}",
        stderr(&unlimited)
    );
}

#[test]
fn a_decode_worker_that_cannot_be_started_ends_the_command_and_no_row_is_blamed() {
    let folder = folder();
    png(folder.path(), "small.png", 1);
    for worker in ["no-such-file", "/bin/true"] {
        let mut command = job(folder.path(), &["small.png"]);
        command.args(["--decode-worker", worker]);
        let refused = output(command);
        assert_eq!(code(&refused), 1);
        let told = stderr(&refused);
        assert!(told.contains(worker) && told.contains("decode"), "{told}");
        assert!(!folder.path().join(".sightstream/job/dead_letters.jsonl").exists());
    }
}

#[test]
fn decoding_in_process_gives_the_same_vector() {
    let folder = folder();
    png(folder.path(), "small.png", 1);
    large_png(folder.path());
    for medium in ["small.png", "large.png", "data:,red"] {
        let embed = |decoder: &str| {
            let mut command = sightstream(folder.path());
            command.args(["embed", medium, "--decoder", decoder]);
            let embedded = output(command);
            assert_eq!(code(&embedded), 0, "{}", stderr(&embedded));
            stdout(&embedded)
        };
        assert_eq!(embed("isolated"), embed("in-process"), "{medium}");
    }
    let mut command = sightstream(folder.path());
    command.args(["embed", "small.png", "--decoder", "elsewhere"]);
    let refused = output(command);
    assert_eq!(code(&refused), 2);
    assert!(
        stderr(&refused).contains("write isolated or in-process"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn a_worker_started_by_hand_says_what_it_is_for() {
    let folder = folder();
    let mut command = sightstream(folder.path());
    command.arg("decode-worker");
    let refused = output(command);
    assert_eq!(code(&refused), 1);
    assert!(
        stderr(&refused).contains("is started by sightstream itself"),
        "{}",
        stderr(&refused)
    );
}
