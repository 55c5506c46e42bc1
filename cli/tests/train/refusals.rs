//! Configurations and folders that cannot be used: nothing is started.

use std::fs;

use super::common::{code, output, stderr};
use super::kit::{World, adapter};

#[test]
fn all_that_is_wrong_is_told_with_its_line_and_nothing_is_made() {
    let world = World::new(&(adapter() + "max_steps: 4\nlearning_rte: 1\nlora_r: 4\n"));
    let output = output(world.train());
    let told = stderr(&output);
    assert_eq!(code(&output), 2, "{told}");
    for part in [
        "train.yaml:9: unknown key learning_rte; did you mean learning_rate?",
        "train.yaml:10: unknown key lora_r; write lora_rank",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!world.run().exists());
}

#[test]
fn what_only_the_files_tell_is_refused_before_the_first_step() {
    let world = World::new(&(adapter() + "max_steps: 4\n"));
    for (set, said) in [
        ("lora_target_modules=[x_proj]", "x_proj"),
        ("datasets=[{path: empty.jsonl}]", "there is no row in it"),
        ("sub_batch_size=32", "fewer than a sub-batch of 32"),
        ("model_name=no/such/model", "no/such/model"),
    ] {
        fs::write(world.path().join("empty.jsonl"), "").expect("a disk");
        let mut command = world.train();
        command.args(["--set", "batch_size=32", "--set", set]);
        let output = output(command);
        let told = stderr(&output);
        assert!([1, 2].contains(&code(&output)), "{set}: {told}");
        assert!(told.contains(said), "{set}: {told}");
        assert!(!world.run().join("log.csv").exists(), "{set}");
    }
}

#[test]
fn a_folder_that_holds_a_run_is_not_written_over() {
    let world = World::new(&(adapter() + "max_steps: 2\n"));
    assert_eq!(code(&output(world.train())), 0);
    let log = fs::read(world.run().join("log.csv")).expect("a log");
    let output = output(world.train());
    let told = stderr(&output);
    assert_eq!(code(&output), 2, "{told}");
    assert!(told.contains("--resume") && told.contains("output_dir"), "{told}");
    assert_eq!(fs::read(world.run().join("log.csv")).expect("a log"), log);
}

#[test]
fn media_outside_the_allowed_folders_are_not_read() {
    // Every row is drawn once or more.
    let world = World::new(&(adapter() + "max_steps: 3\nmax_bad_share: 0.5\n"));
    let elsewhere = super::common::folder();
    let image = super::common::png(elsewhere.path(), "secret.png", 1);
    let pairs = world.path().join("pairs.jsonl");
    let mut rows = fs::read_to_string(&pairs).expect("a file");
    rows += &format!(
        "{{\"query\": {{\"text\": \"x\"}}, \"positive\": {{\"url\": \"{}\"}}}}\n",
        image.display()
    );
    fs::write(&pairs, rows).expect("a disk");
    let refused = output(world.train());
    assert_eq!(code(&refused), 0, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("not_allowed"), "{}", stderr(&refused));

    let mut command = world.train();
    command.args(["--set", "output_dir=allowed", "--allow-directory"]);
    command.arg(elsewhere.path());
    let allowed = output(command);
    assert_eq!(code(&allowed), 0, "{}", stderr(&allowed));
    assert!(!stderr(&allowed).contains("skipped"), "{}", stderr(&allowed));
}

#[test]
fn rows_that_are_too_few_when_bad_ones_are_left_out_are_told_with_their_reasons() {
    let world = World::new(&(adapter() + "max_steps: 2\nmax_bad_share: 0.5\n"));
    fs::remove_file(world.path().join("images/red_top_left.png")).expect("it is there");
    let mut command = world.train();
    command.args(["--set", "batch_size=16", "--set", "sub_batch_size=16"]);
    let output = output(command);
    let told = stderr(&output);
    assert_eq!(code(&output), 1, "{told}");
    for part in ["only 15 of its 16 rows can be read", "red_top_left.png"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
