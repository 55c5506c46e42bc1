//! What comes of training an adapter, and of merging it.

use std::process::Output;

use super::common::{code, cosine, json_lines, output, sightstream, stderr, vector};
use super::kit::{MODEL, World, adapter};

fn embed(world: &World, arguments: &[&str]) -> Vec<Vec<f64>> {
    let mut command = sightstream(world.path());
    command
        .args(["embed", "images/red_top_left.png", "data:,red%20top%20left"])
        .args(arguments);
    let output = output(command);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    json_lines(&output).iter().map(vector).collect()
}

/// What merging the adapter of `run` gives.
fn merge(world: &World, folder: &str, arguments: &[&str]) -> Output {
    let mut merge = sightstream(world.path());
    merge
        .args([
            "train",
            "merge",
            "--model",
            MODEL,
            "--adapter",
            "run",
            "--output",
            folder,
        ])
        .args(arguments);
    output(merge)
}

#[test]
fn an_adapter_embeds_as_the_checkpoint_that_it_is_merged_into() {
    for dora in [false, true] {
        let world = World::new(&(adapter() + &format!("max_steps: 8\nuse_dora: {dora}\n")));
        let trained = output(world.train());
        assert_eq!(code(&trained), 0, "{}", stderr(&trained));
        for file in ["adapter_config.json", "adapter_model.safetensors"] {
            assert!(world.run().join(file).is_file(), "{file}");
        }
        let merged = merge(&world, "merged", &[]);
        assert_eq!(code(&merged), 0, "{}", stderr(&merged));

        let base = embed(&world, &["--model", MODEL]);
        let adapted = embed(&world, &["--model", MODEL, "--adapter", "run"]);
        let merged = embed(&world, &["--model", "merged"]);
        for ((base, adapted), merged) in base.iter().zip(&adapted).zip(&merged) {
            assert!(
                cosine(adapted, merged) > 0.99999,
                "dora {dora}: {}",
                cosine(adapted, merged)
            );
            assert!(
                cosine(base, adapted) < 0.999,
                "dora {dora}: training changed the vector"
            );
        }
    }
}

#[test]
fn a_merged_checkpoint_keeps_the_sizes_of_images() {
    let world = World::new(&(adapter() + "max_steps: 2\nmin_pixels: 12544\n"));
    let trained = output(world.train());
    assert_eq!(code(&trained), 0, "{}", stderr(&trained));
    let merged = merge(&world, "merged", &["--min-pixels", "12544", "--dtype", "f32"]);
    assert_eq!(code(&merged), 0, "{}", stderr(&merged));
    let small = embed(&world, &["--model", MODEL, "--adapter", "run"]);
    let large = embed(&world, &["--model", MODEL, "--adapter", "run", "--min-pixels", "12544"]);
    let merged = embed(&world, &["--model", "merged"]);
    assert!(
        cosine(&large[0], &merged[0]) > 0.99999,
        "{}",
        cosine(&large[0], &merged[0])
    );
    assert!(cosine(&small[0], &large[0]) < 0.9999, "the size makes a difference");

    let refused = merge(&world, "other", &["--min-pixels", "12544", "--max-pixels", "3136"]);
    assert_eq!(code(&refused), 1, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("12544"), "{}", stderr(&refused));
    assert!(!world.path().join("other").exists());
}

#[test]
fn an_adapter_can_be_trained_further() {
    let world = World::new(&(adapter() + "max_steps: 8\n"));
    assert_eq!(code(&output(world.train())), 0);
    let first = world.losses();
    world.configure(&(adapter() + "max_steps: 2\nadapter: first\n").replace("lora_rank: 4\nlora_alpha: 8\n", ""));
    std::fs::rename(world.run(), world.path().join("first")).expect("a disk");
    let output = output(world.train());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let further: f64 = world.losses()[0].1.parse().expect("a number");
    let fresh: f64 = first[0].1.parse().expect("a number");
    assert!(
        further < fresh,
        "it begins where the first run ended: {further} {fresh}"
    );
}

#[test]
fn a_merge_does_not_write_over_a_folder() {
    let world = World::new(&(adapter() + "max_steps: 2\n"));
    assert_eq!(code(&output(world.train())), 0);
    let output = merge(&world, "images", &[]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    assert!(stderr(&output).contains("images"), "{}", stderr(&output));
}
