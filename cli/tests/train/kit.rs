//! A tiny model, a few drawn images with captions, and what a run leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use tempfile::TempDir;

use super::common;

/// The checkpoint that runs start from: two layers short of nothing, 84 numbers a vector.
pub const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/tests/fixtures/single_kv");

const COLOURS: [(&str, [u8; 3]); 4] = [
    ("red", [220, 30, 30]),
    ("green", [30, 180, 60]),
    ("blue", [40, 60, 220]),
    ("yellow", [230, 210, 40]),
];

const PLACES: [(&str, u32, u32); 4] = [
    ("top left", 0, 0),
    ("top right", 1, 0),
    ("bottom left", 0, 1),
    ("bottom right", 1, 1),
];

/// A folder with sixteen images, `pairs.jsonl` of captions and images, and `train.yaml`.
pub struct World {
    folder: TempDir,
}

impl World {
    /// A world whose `train.yaml` has the lines `config`; the model, the data and the output folder are said already.
    pub fn new(config: &str) -> Self {
        let folder = common::folder();
        fs::create_dir(folder.path().join("images")).expect("a disk");
        let mut pairs = String::new();
        for (colour, rgb) in COLOURS {
            for (place, right, down) in PLACES {
                let name = format!("images/{colour}_{}.png", place.replace(' ', "_"));
                let inside = |x: u32, y: u32| x / 28 == right && y / 28 == down;
                let image = RgbImage::from_fn(56, 56, |x, y| Rgb(if inside(x, y) { rgb } else { [240, 240, 240] }));
                image.save(folder.path().join(&name)).expect("a PNG can be written");
                pairs += &format!(
                    "{{\"query\": {{\"text\": \"{colour} {place}\"}}, \"positive\": {{\"url\": \"{name}\"}}}}\n"
                );
            }
        }
        fs::write(folder.path().join("pairs.jsonl"), pairs).expect("a disk");
        let world = Self { folder };
        world.configure(config);
        world
    }

    /// Writes `train.yaml` anew.
    pub fn configure(&self, config: &str) {
        let common = "output_dir: run\ndevice: cpu\nworkers: 2\ndatasets:\n  - {name: pairs, path: pairs.jsonl}\n";
        fs::write(self.path().join("train.yaml"), format!("{config}{common}")).expect("a disk");
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn run(&self) -> PathBuf {
        self.path().join("run")
    }

    /// `sightstream train train.yaml`.
    pub fn train(&self) -> Command {
        let mut command = common::sightstream(self.path());
        command.args(["train", "train.yaml"]);
        command
    }

    /// The columns `step` and `loss` of `log.csv`, as they are written.
    pub fn losses(&self) -> Vec<(u64, String)> {
        losses(&self.run())
    }

    /// Waits until the log has a line for `step`.
    pub fn wait_for_step(&self, step: u64) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.losses().last().is_none_or(|(last, _)| *last < step) {
            assert!(
                Instant::now() < deadline,
                "step {step} does not come: {:?}",
                self.losses()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The columns `step` and `loss` of the `log.csv` in `run`; none where there is no log yet.
pub fn losses(run: &Path) -> Vec<(u64, String)> {
    let text = fs::read_to_string(run.join("log.csv")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().skip(1).map(|line| {
        let mut cells = line.split(',');
        let step = cells.next().and_then(|step| step.parse().ok());
        (step.expect("a step"), cells.next().expect("a loss").to_string())
    });
    lines.collect()
}

/// The mean of the numbers that are written in `losses`.
pub fn mean(losses: &[(u64, String)]) -> f64 {
    let sum: f64 = losses
        .iter()
        .map(|(_, loss)| loss.parse::<f64>().expect("a number"))
        .sum();
    sum / losses.len() as f64
}

/// The lines of a run from scratch that learns the sixteen images, and does so fast.
pub fn from_scratch() -> String {
    format!(
        "from_scratch:
  config: {MODEL}/config.json
  tokenizer: {MODEL}/tokenizer.json
  preprocessor: {MODEL}/preprocessor_config.json
batch_size: 8
sub_batch_size: 8
learning_rate: 2e-3
warmup_steps: 2
gc_q_chunk_size: 4
gc_p_chunk_size: 4
"
    )
}

/// The lines of a run that trains an adapter.
pub fn adapter() -> String {
    format!(
        "model_name: {MODEL}
lora_rank: 4
lora_alpha: 8
batch_size: 8
sub_batch_size: 8
learning_rate: 1e-2
warmup_steps: 2
"
    )
}
