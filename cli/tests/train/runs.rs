//! Runs from the start to their end.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::common::{code, json_lines, output, sightstream, stderr, vector};
use super::kit::{World, adapter, from_scratch, mean};

#[test]
fn a_run_from_scratch_learns_and_leaves_a_checkpoint_that_loads() {
    let world = World::new(&(from_scratch() + "max_steps: 60\nsave_steps: 20\nsave_total_limit: 1\n"));
    let output = output(world.train());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let losses = world.losses();
    assert_eq!(
        losses.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
        (1..=60).collect::<Vec<_>>()
    );
    let (first, last) = (mean(&losses[..5]), mean(&losses[55..]));
    assert!(last < 0.6 * first, "{first} {last}");

    let run = world.run();
    for file in [
        "training.yaml",
        "loss.png",
        "config.json",
        "tokenizer.json",
        "preprocessor_config.json",
        "model.safetensors",
        "checkpoint-60/model.safetensors",
        "checkpoint-60/trainer_state.json",
    ] {
        assert!(run.join(file).is_file(), "{file}");
    }
    assert!(!run.join("checkpoint-40").exists(), "one checkpoint is kept");
    let events = fs::read_dir(run.join("runs")).expect("a folder").count();
    assert_eq!(events, 1);
    let told = stderr(&output);
    for part in ["steps", "60", "samples per second", "peak memory"] {
        assert!(told.contains(part), "{part}: {told}");
    }

    let mut command = sightstream(world.path());
    command.args(["embed", "images/red_top_left.png", "--model", "run"]);
    let embedded = super::common::output(command);
    assert_eq!(code(&embedded), 0, "{}", stderr(&embedded));
    assert_eq!(vector(&json_lines(&embedded)[0]).len(), 84);
}

#[test]
fn a_checkpoint_has_the_image_sizes_that_it_was_trained_with() {
    let world = World::new(&(from_scratch() + "max_steps: 3\nmin_pixels: 784\nmax_pixels: 1568\n"));
    let output = output(world.train());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    for folder in ["", "checkpoint-3"] {
        let file = world.run().join(folder).join("preprocessor_config.json");
        let config: Value = serde_json::from_slice(&fs::read(file).expect("a file")).expect("JSON");
        assert_eq!(
            (&config["min_pixels"], &config["max_pixels"]),
            (&784.into(), &1568.into())
        );
    }
    let flags: [&[&str]; 3] = [&[], &["--max-pixels", "1568"], &["--max-pixels", "3136"]];
    let vectors = flags.map(|flags| {
        let mut command = sightstream(world.path());
        command.args(["embed", "images/red_top_left.png", "--model", "run"]);
        command.args(flags);
        vector(&json_lines(&super::common::output(command))[0])
    });
    assert_eq!(vectors[0], vectors[1]);
    assert_ne!(vectors[0], vectors[2]);
}

#[test]
fn the_log_tells_how_it_goes_and_json_logs_are_json_throughout() {
    let world = World::new(&(adapter() + "max_steps: 6\nlogging_steps: 2\n"));
    let mut command = world.train();
    command.args(["--log-format", "json"]);
    let output = output(command);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let told = stderr(&output);
    let lines: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    let steps: Vec<u64> = lines
        .iter()
        .filter(|line| line["message"] == "training")
        .filter_map(|line| line["step"].as_u64())
        .collect();
    assert_eq!(steps, [1, 2, 4, 6]);
    let last = lines
        .iter()
        .rfind(|line| line["message"] == "training")
        .expect("a line");
    for field in ["loss", "accuracy", "learning_rate", "samples_per_second", "left"] {
        assert!(!last[field].is_null(), "{field}: {last}");
    }
    let end = lines
        .iter()
        .find(|line| line["message"] == "the run has ended")
        .expect("a line");
    assert_eq!(end["steps"], 6);
    assert!(
        end["peak_memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20),
        "{end}"
    );
}

#[test]
fn epochs_are_counted_in_steps_and_the_command_line_wins_over_the_file() {
    let world = World::new(&(adapter() + "num_epochs: 3\n"));
    let mut command = world.train();
    command.args(["--set", "batch_size=4", "--set", "sub_batch_size=4", "--set", "seed=7"]);
    let output = output(command);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    // Sixteen rows, three times, by four.
    assert_eq!(world.losses().len(), 12);
    let kept = fs::read_to_string(world.run().join("training.yaml")).expect("a file");
    assert!(
        kept.contains("\"batch_size\": 4") && kept.contains("\"seed\": 7"),
        "{kept}"
    );
}

#[test]
fn bad_rows_are_counted_and_skipped_and_too_many_end_the_run() {
    let world = World::new(&(adapter() + "max_steps: 4\nmax_bad_share: 0.2\n"));
    let pairs = world.path().join("pairs.jsonl");
    let good = fs::read_to_string(&pairs).expect("a file");
    let bad = "{\"query\": {\"text\": \"a ghost\"}, \"positive\": {\"url\": \"images/ghost.png\"}}\nno JSON at all\n";
    fs::write(&pairs, format!("{good}{bad}")).expect("a disk");
    let output = output(world.train());
    let told = stderr(&output);
    assert_eq!(code(&output), 0, "{told}");
    assert!(told.contains("rows skipped") && told.contains("not_found"), "{told}");

    let world = World::new(
        &(adapter() + "max_steps: 40\nmax_bad_share: 0.1\nsub_batch_size: 4\n").replace("sub_batch_size: 8\n", ""),
    );
    let pairs = world.path().join("pairs.jsonl");
    fs::write(&pairs, good + &bad.repeat(8)).expect("a disk");
    let output = super::common::output(world.train());
    let told = stderr(&output);
    assert_eq!(code(&output), 1, "{told}");
    assert!(
        told.contains("more than max_bad_share (0.1) allows") && told.contains("ghost.png"),
        "{told}"
    );
}

#[test]
fn sigterm_ends_a_run_that_waits_for_media() {
    // Takes connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/ship.png", silent.local_addr().expect("its address"));
    let world = World::new(&(adapter() + "max_steps: 100000\n"));
    let row = format!("{{\"query\": {{\"text\": \"a ship\"}}, \"positive\": {{\"url\": \"{url}\"}}}}\n");
    fs::write(world.path().join("pairs.jsonl"), row.repeat(16)).expect("a disk");
    let mut command = world.train();
    let mut child = command
        .args(["--allow-network", "127.0.0.0/8"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command can be started");
    silent.set_nonblocking(true).expect("a socket");
    let connection = loop {
        match silent.accept() {
            Ok(connection) => break connection,
            Err(_) => assert!(
                child.try_wait().expect("a child").is_none(),
                "it ended before it connected"
            ),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    terminate(&child);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let told = stderr(&output);
    assert!(told.contains("it was stopped before the first step"), "{told}");
    assert!(!world.run().join("adapter_model.safetensors").exists());
    drop(connection);
}

/// Sends SIGTERM.
fn terminate(child: &Child) {
    let mut kill = Command::new("kill");
    kill.args(["-TERM", &child.id().to_string()]);
    assert!(kill.status().expect("kill is there").success());
}

#[test]
fn sigterm_saves_and_ends_well() {
    let world = World::new(&(adapter() + "max_steps: 100000\nsave_steps: 0\n"));
    let mut command = world.train();
    let child = command
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command can be started");
    world.wait_for_step(2);
    terminate(&child);
    let output = child.wait_with_output().expect("it ends");
    let told = stderr(&output);
    assert_eq!(code(&output), 0, "{told}");
    let last = world.losses().last().expect("steps").0;
    let saved = world.run().join(format!("checkpoint-{last}"));
    assert!(saved.join("adapter_model.safetensors").is_file(), "{last}: {told}");
    assert!(world.run().join("loss.png").is_file());
    assert!(told.contains("--resume"), "{told}");
}
