//! `--help` is the reference.

mod common;

use common::{code, folder, output, sightstream, stdout};

fn help(arguments: &[&str]) -> String {
    let folder = folder();
    let mut command = sightstream(folder.path());
    command.args(arguments);
    let output = output(command);
    assert_eq!(code(&output), 0, "{arguments:?}");
    stdout(&output)
}

#[test]
fn every_command_has_examples_and_names_its_environment_variables() {
    for command in [
        "embed",
        "search",
        "run",
        "check",
        "quickstart",
        "eval",
        "train mine-negatives",
    ] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let text = help(&words);
        assert!(
            text.contains("Examples:") && text.contains(&format!("sightstream {command}")),
            "{text}"
        );
        assert!(
            text.contains("SIGHTSTREAM_MODEL") && text.contains("--max-batch-tokens"),
            "{text}"
        );
    }
}

#[test]
fn the_commands_of_training_have_examples() {
    for (command, flag) in [("train", "--resume"), ("train merge", "--adapter")] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let text = help(&words);
        for part in ["Examples:", &format!("sightstream {command}"), "SIGHTSTREAM_", flag] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[test]
fn the_short_help_names_the_commands_and_the_exit_codes() {
    let text = help(&["-h"]);
    for part in [
        "embed",
        "search",
        "run",
        "check",
        "deploy",
        "train",
        "eval",
        "quickstart",
        "Exit codes",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
