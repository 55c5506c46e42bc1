//! Files that are wrong, each with what is told of it beside it: `wrong/NAME.sql` and `wrong/NAME.txt`.
//!
//! `SIGHTSTREAM_WRITE_EXPECTED=1 cargo test --test check` writes the texts anew; read them before committing.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{code, folder, output, sightstream, stderr, stdout};

fn wrong(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/check/wrong")
        .join(name)
}

/// What `check NAME.sql --offline` prints, in a folder of its own, and its exit code.
fn check(name: &str, arguments: &[&str]) -> (String, i32) {
    let folder = folder();
    let file = format!("{name}.sql");
    fs::copy(wrong(&file), folder.path().join(&file)).expect("the file is there");
    let mut command = sightstream(folder.path());
    command.args(["check", &file, "--offline"]).args(arguments);
    let output = output(command);
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
    let names: Vec<_> = fs::read_dir(folder.path())
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").file_name())
        .collect();
    assert_eq!(names, [file.as_str()], "nothing is made by checking");
    (stdout(&output), code(&output))
}

/// `told` without the lists of all options and settings, which grow.
fn without_lists(told: &str) -> String {
    let lists = ["the options here are ", "the settings are "];
    let lines = told.lines().map(|line| {
        let list = lists.iter().find_map(|list| Some((line.split_once(list)?.0, list)));
        list.map_or_else(|| format!("{line}\n"), |(start, list)| format!("{start}{list}…\n"))
    });
    lines.collect()
}

#[test]
fn everything_that_is_wrong_with_a_file_is_told_at_once_with_its_place() {
    let mut names: Vec<String> = fs::read_dir(wrong(""))
        .expect("the folder is there")
        .filter_map(|entry| Some(entry.expect("it can be read").path().file_stem()?.to_str()?.to_string()))
        .collect();
    names.sort();
    names.dedup();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        let (told, code) = check(&name, &[]);
        assert_eq!(code, 1, "{name}: {told}");
        let told = without_lists(&told);
        let expected = wrong(&format!("{name}.txt"));
        if std::env::var_os("SIGHTSTREAM_WRITE_EXPECTED").is_some() {
            fs::write(&expected, &told).expect("the folder can be written to");
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(told, expected, "{name}");
    }
}

#[test]
fn run_tells_the_same_errors_before_it_starts_anything() {
    let folder = folder();
    fs::copy(wrong("queries.sql"), folder.path().join("queries.sql")).expect("the file is there");
    let mut command = sightstream(folder.path());
    command.args(["run", "queries.sql"]);
    let output = output(command);
    assert_eq!(code(&output), 2);
    let (told, _) = check("queries", &["--format", "json"]);
    let errors: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .filter(|finding: &Value| finding["level"] == "error")
        .collect();
    let told_by_run = stderr(&output);
    assert!(errors.len() > 8, "{told}");
    assert_eq!(told_by_run.lines().count(), errors.len(), "{told_by_run}");
    for error in errors {
        let message = error["message"].as_str().expect("a sentence");
        assert!(told_by_run.contains(message), "{message}: {told_by_run}");
    }
}

#[test]
fn the_json_form_ends_with_a_summary() {
    let (told, _) = check("settings", &["--format", "json"]);
    let lines: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    let (summary, findings) = lines.split_last().expect("there are lines");
    assert_eq!(summary["summary"]["can_run"], false, "{told}");
    assert_eq!(summary["summary"]["errors"], 4, "{told}");
    let first = &findings[0];
    assert_eq!(
        (&first["file"], &first["line"]),
        (&"settings.sql".into(), &1.into()),
        "{told}"
    );
}

#[test]
fn a_file_that_cannot_be_read_and_a_wrong_flag_end_with_two() {
    let folder = folder();
    for arguments in [
        ["check", "missing.sql"].as_slice(),
        &["check", "missing.sql", "--timeout", "soon"],
    ] {
        let mut command = sightstream(folder.path());
        command.args(arguments);
        let output = output(command);
        assert_eq!(code(&output), 2, "{}", stderr(&output));
        assert!(stdout(&output).is_empty());
    }
}
