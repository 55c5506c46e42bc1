//! Running the command, and media to run it on.
#![allow(dead_code, reason = "each test binary uses some of it")]

pub mod pdf;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use image::{Rgb, RgbImage};
use serde_json::Value;

/// The command, in the folder `directory`, with nothing set by the environment of whoever runs the tests.
pub fn sightstream(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sightstream"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SIGHTSTREAM_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command.current_dir(directory).stdin(Stdio::null());
    command
}

/// A new folder.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Writes a PNG with a gradient that `seed` decides, and gives its path.
pub fn png(directory: &Path, name: &str, seed: u8) -> PathBuf {
    let path = directory.join(name);
    let image = RgbImage::from_fn(56, 84, |x, y| Rgb([(x * 4) as u8, (y * 3) as u8, seed]));
    image.save(&path).expect("a PNG can be written");
    path
}

/// Runs `command` to its end.
pub fn output(mut command: Command) -> Output {
    command.output().expect("the command can be started")
}

/// The exit code; a signal that ended the process fails the test.
pub fn code(output: &Output) -> i32 {
    output
        .status
        .code()
        .unwrap_or_else(|| panic!("ended by a signal; {}", stderr(output)))
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("standard output is UTF-8")
}

/// Standard output as JSON lines; a line that is none fails the test.
pub fn json_lines(output: &Output) -> Vec<Value> {
    let text = stdout(output);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

/// The vector in an output line of `embed`.
pub fn vector(line: &Value) -> Vec<f64> {
    let numbers = line["vector"]
        .as_array()
        .unwrap_or_else(|| panic!("no vector in {line}"));
    numbers
        .iter()
        .map(|number| number.as_f64().expect("a vector holds numbers"))
        .collect()
}

/// The cosine of two unit vectors.
pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A job over these media, with the ids 0, 1 …
pub fn job<M: std::fmt::Display>(directory: &Path, media: &[M]) -> Command {
    let rows = media
        .iter()
        .enumerate()
        .map(|(id, url)| format!("{{\"id\":{id},\"url\":\"{url}\"}}\n"));
    fs::write(directory.join("in.jsonl"), rows.collect::<String>()).expect("a new file");
    let sql = "CREATE TABLE media (id BIGINT, url TEXT)
                 WITH (connector = 'single_file', path = 'in.jsonl', type = 'source', format = 'json');
               SELECT id, embed(url) AS vector FROM media;";
    fs::write(directory.join("job.sql"), sql).expect("a new file");
    let mut command = sightstream(directory);
    command.args(["run", "job.sql"]);
    command
}
