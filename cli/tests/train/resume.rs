//! A run that is killed and goes on is the run that was never stopped.

use std::fs;
use std::process::{Child, Stdio};

use super::common::{code, output, stderr};
use super::kit::{World, adapter, from_scratch};

/// A run of `config` that goes through.
fn whole(config: &str) -> World {
    let world = World::new(config);
    let output = output(world.train());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    world
}

fn start(world: &World) -> Child {
    let mut command = world.train();
    command.arg("--resume").stderr(Stdio::null());
    command.spawn().expect("the command can be started")
}

#[test]
fn a_killed_run_goes_on_with_the_same_losses_to_the_last_bit() {
    let cases = [
        // Dropout draws from the same seeds again.
        adapter() + "max_steps: 24\nsave_steps: 4\nlora_dropout: 0.2\nuse_dora: true\n",
        from_scratch() + "max_steps: 24\nsave_steps: 4\nweight_decay: 0.01\n",
    ];
    for config in cases {
        let expected = whole(&config);
        let world = World::new(&config);
        // Once before the first checkpoint, once within the run, once at a checkpoint's place.
        for step in [2, 9, 16] {
            let mut child = start(&world);
            world.wait_for_step(step);
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
        let mut command = world.train();
        command.arg("--resume");
        let output = output(command);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert_eq!(world.losses(), expected.losses());
        let weights = |world: &World| {
            let run = world.run();
            fs::read(run.join("adapter_model.safetensors")).or_else(|_| fs::read(run.join("model.safetensors")))
        };
        assert!(
            weights(&world).expect("weights") == weights(&expected).expect("weights"),
            "the weights are not those of the whole run"
        );
    }
}

#[test]
fn a_run_can_go_on_after_an_earlier_checkpoint_that_is_named() {
    let config = adapter() + "max_steps: 8\nsave_steps: 2\n";
    let world = whole(&config);
    let losses = world.losses();
    let mut command = world.train();
    command.arg("--resume=run/checkpoint-4");
    let output = output(command);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(world.losses(), losses);
}

#[test]
fn a_run_does_not_go_on_with_another_configuration() {
    let world = whole(&(adapter() + "max_steps: 4\nsave_steps: 2\n"));
    let log = fs::read(world.run().join("log.csv")).expect("a log");
    world.configure(&(adapter() + "max_steps: 4\nsave_steps: 2\ntemperature: 0.1\n"));
    let mut command = world.train();
    command.arg("--resume=run/checkpoint-2");
    let output = output(command);
    let told = stderr(&output);
    assert_eq!(code(&output), 2, "{told}");
    assert!(told.contains("`temperature` was 0.02 and is 0.1"), "{told}");
    assert_eq!(
        fs::read(world.run().join("log.csv")).expect("a log"),
        log,
        "nothing was started"
    );
}
