//! Datasets of images and texts, some of whose rows are bad.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{Rgb, RgbImage};
use sightstream_jobs::data::{
    DatasetOptions, Loaded, Loader, LoaderOptions, Medium, ParserKind, Position, PrepareOptions, Preparer,
};
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::media::Media;
use sightstream_model::processor::{ModelInput, Processor, ProcessorOverrides, VisionKind};
use tempfile::TempDir;

pub fn processor() -> Arc<Processor> {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/grouped");
    let files = CheckpointFiles::locate(kit.to_str()).expect("the kit");
    Arc::new(Processor::load(&files, &ProcessorOverrides::default()).expect("its processor"))
}

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// An image of its own for each number.
pub fn drawn(number: u8) -> RgbImage {
    RgbImage::from_fn(56, 56, |x, y| {
        Rgb([number.wrapping_mul(37), (x * 4) as u8, (y * 4) as u8 ^ number])
    })
}

pub fn draw(path: &Path, number: u8) {
    drawn(number).save(path).expect("saved");
}

/// A dataset of so many rows: the text `NAME number` finds an image; every tenth image from the fourth on is missing.
pub fn images(folder: &TempDir, name: &str, rows: usize) -> DatasetOptions {
    let mut lines = String::new();
    for row in 0..rows {
        if row % 10 != 3 {
            draw(&folder.path().join(format!("{name}{row}.png")), row as u8);
        }
        lines += &format!(
            "{{\"query\": {{\"text\": \"{name} {row}\"}}, \"positive\": {{\"url\": \"{name}{row}.png\"}}, \"negatives\": [{{\"text\": \"not {name} {row}\"}}]}}\n"
        );
    }
    let path = folder.path().join(format!("{name}.jsonl"));
    fs::write(&path, lines).expect("written");
    DatasetOptions::new(name, ParserKind::Pairs, path)
}

/// A dataset of texts alone; row 5 is no JSON.
pub fn texts(folder: &TempDir, name: &str, rows: usize) -> DatasetOptions {
    let line = |row: usize| match row {
        5 => "{broken".to_owned(),
        row => {
            format!("{{\"query\": {{\"text\": \"{name} {row}\"}}, \"positive\": {{\"text\": \"of {name} {row}\"}}}}")
        }
    };
    let lines: Vec<String> = (0..rows).map(line).collect();
    let path = folder.path().join(format!("{name}.jsonl"));
    fs::write(&path, lines.join("\n")).expect("written");
    DatasetOptions::new(name, ParserKind::Pairs, path)
}

pub fn options(datasets: Vec<DatasetOptions>) -> LoaderOptions {
    LoaderOptions {
        seed: 3,
        sub_batch_size: 4,
        workers: 2,
        max_bad_share: 0.5,
        ..LoaderOptions::new(datasets, 8)
    }
}

pub fn load(options: LoaderOptions, from: Option<&Position>) -> Vec<Loaded> {
    let loader = Loader::new(options, processor(), from).expect("a loader");
    loader.collect::<Result<_, _>>().expect("no error")
}

pub fn fails(options: LoaderOptions) -> String {
    let mut loader = match Loader::new(options, processor(), None) {
        Ok(loader) => loader,
        Err(error) => return error.to_string(),
    };
    let error = loader.find_map(Result::err).expect("an error").to_string();
    assert!(loader.next().is_none(), "nothing comes after an error");
    error
}

pub fn text(processor: &Processor, words: &str) -> ModelInput {
    processor
        .process(&Media::Text(words.into()), None, "text")
        .expect("text")
}

pub fn media(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/media")
        .join(name)
}

pub fn preparer(folder: &TempDir) -> Preparer {
    let mut options = PrepareOptions::default();
    options.fetch.allow_directories = vec![folder.path().to_owned(), media("")];
    Preparer::new(&options, processor()).expect("a preparer")
}

pub fn url(path: &Path) -> Medium {
    Medium::Url(path.to_str().expect("UTF-8").to_owned())
}

pub fn part(path: &Path, fragment: &str) -> Medium {
    Medium::Url(format!("{}#{fragment}", path.display()))
}

pub fn grid(input: &ModelInput) -> (VisionKind, u32) {
    let vision = input.vision.as_ref().expect("pixels");
    (vision.kind, vision.grid_thw[0])
}
