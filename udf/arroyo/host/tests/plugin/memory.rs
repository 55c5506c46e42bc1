//! A model that nobody asks is given up, and loaded again for the next row.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use sightstream_arroyo_host::repository;

use crate::pipeline::{EMBED, answered, begin, comes_true, end, few_arenas, finished, load, resident, row, worker};

/// How wide the language model's MLP is made: the layers then have 2 x 3 x 256 x 24,576 weights, 144 MiB as `f32`.
const WIDTH: usize = 24_576;
const WEIGHTS: u64 = (2 * 3 * 256 * WIDTH * 4) as u64;

/// What the log says when a model is given up, and when it is loaded after that.
const GIVEN_UP: &str = "the model is given up until the next one";
const LOADED_AGAIN: &str = "the model is loaded again";

/// Writes the demo checkpoint to `folder` with MLPs of that width.
fn write_large_checkpoint(folder: &Path) {
    let demo = repository().join("model/demo");
    for name in ["tokenizer.json", "preprocessor_config.json"] {
        fs::copy(demo.join(name), folder.join(name)).expect("the checkpoint can be copied");
    }
    let read = |name: &str| fs::read(demo.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut config: Value = serde_json::from_slice(&read("config.json")).expect("it is JSON");
    let demo_width = config["text_config"]["intermediate_size"].take();
    let demo_width = demo_width.as_u64().expect("it is a number") as usize;
    config["text_config"]["intermediate_size"] = WIDTH.into();
    fs::write(folder.join("config.json"), config.to_string()).expect("the folder can be written");

    let bytes = read("model.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).expect("they are tensors");
    let is_wide = |name: &str| !name.contains("visual") && name.contains(".mlp.");
    // Small numbers, and not all the same.
    let weights: Vec<u8> = (0..256 * WIDTH).flat_map(|n| [(n % 251) as u8, 0x3a]).collect();
    let large: HashMap<String, TensorView<'_>> = tensors
        .tensors()
        .into_iter()
        .map(|(name, tensor)| {
            if !is_wide(&name) {
                return (name, tensor);
            }
            let wide = |side: &usize| if *side == demo_width { WIDTH } else { *side };
            let shape = tensor.shape().iter().map(wide).collect();
            (
                name,
                TensorView::new(Dtype::BF16, shape, &weights).expect("the shape is that of the weights"),
            )
        })
        .collect();
    safetensors::serialize_to_file(large, None, &folder.join("model.safetensors")).expect("the folder can be written");
}

#[test]
fn an_idle_model_gives_its_memory_back_and_the_next_row_loads_it_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_large_checkpoint(folder.path());
    let settings = [
        ("SIGHTSTREAM_MODEL", folder.path().display().to_string()),
        ("SIGHTSTREAM_IDLE_RELEASE", "2s".to_string()),
        few_arenas(),
    ];
    let mut worker = worker(folder.path(), &settings);
    load(&mut worker, &EMBED);
    begin(&mut worker, &EMBED, 2, None);
    let without_model = resident(&worker);
    let rows = [row(0, "data:,red%20bicycle", None), row(1, "data:,boat", Some("Find:"))];
    let mut given = Vec::new();
    for round in 1..=3 {
        let answers = answered(&mut worker, &rows, 2);
        assert!(
            answers.iter().all(|answer| answer.value().is_some()),
            "{}",
            worker.log()
        );
        given.push(answers);
        // However long the machine takes for anything: it may be given up between two rows as well.
        let given_up = || {
            let log = worker.log();
            let times = log.matches(GIVEN_UP).count();
            times >= round && times == log.matches(LOADED_AGAIN).count() + 1
        };
        assert!(comes_true(given_up), "{}", worker.log());
        let now = || worker.resident_bytes().expect("the worker runs");
        assert!(
            comes_true(|| now() < without_model + WEIGHTS / 4),
            "{without_model} bytes before the first row, {} after round {round}:\n{}",
            now(),
            worker.log()
        );
    }
    let most = worker.most_resident_bytes().expect("the worker runs");
    assert!(most > without_model + WEIGHTS, "{most} bytes with the model");
    assert!(
        given.iter().all(|answers| *answers == given[0]),
        "the same rows have the same vectors"
    );
    end(&mut worker, 2);
    finished(worker);
}
