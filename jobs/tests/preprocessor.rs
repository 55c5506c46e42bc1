//! A checkpoint tells how large the images are that it was trained with.

use std::fs;
use std::path::Path;

use serde_json::Value;
use sightstream_jobs::adapter::{CheckpointOptions, merge};
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::processor::{Processor, ProcessorOverrides};

fn files(directory: &Path) -> CheckpointFiles {
    CheckpointFiles::locate(directory.to_str()).expect("a checkpoint")
}

#[test]
fn the_size_of_images_is_told_where_it_is_not_the_checkpoints() {
    let grouped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/grouped");
    let (base, folder) = (files(&grouped), tempfile::tempdir().expect("a folder"));
    let written = |name: &str, pixels: ProcessorOverrides, base: &CheckpointFiles| {
        let options = CheckpointOptions {
            pixels,
            ..CheckpointOptions::default()
        };
        let to = folder.path().join(name);
        merge(&to, base, &options).expect("written");
        files(&to)
    };
    let limits = |files: &CheckpointFiles| {
        let read = Processor::load(files, &ProcessorOverrides::default()).expect("a processor");
        let config = read.config();
        (config.min_pixels, config.max_pixels, config.patch_size)
    };
    assert_eq!(limits(&base), (3136, 18_816, 14));
    let smaller = ProcessorOverrides {
        min_pixels: None,
        max_pixels: Some(7840),
    };
    let small = written("small", smaller, &base);
    assert_eq!(limits(&small), (3136, 7840, 14));
    let both = ProcessorOverrides {
        min_pixels: Some(784),
        max_pixels: Some(4000),
    };
    assert_eq!(limits(&written("both", both, &small)), (784, 4000, 14));

    // Newer files have them under other names too, which stay equal.
    let path = folder.path().join("small/preprocessor_config.json");
    let sizes = r#"{"size": {"shortest_edge": 3136, "longest_edge": 9000}, "image_processor_type": "x"}"#;
    fs::write(&path, sizes).expect("written");
    let newer = written("newer", smaller, &files(&folder.path().join("small")));
    assert_eq!(limits(&newer), (3136, 7840, 14));
    let text = fs::read(folder.path().join("newer/preprocessor_config.json")).expect("there");
    let json: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(
        json,
        serde_json::json!({
            "size": {"shortest_edge": 3136, "longest_edge": 7840}, "max_pixels": 7840, "image_processor_type": "x",
        })
    );
}
