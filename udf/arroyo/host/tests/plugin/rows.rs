//! Rows of every modality, with failures among them.

use std::fs;
use std::path::{Path, PathBuf};

use sightstream_arroyo_host::protocol::Row;

use crate::pipeline::examples;

/// What is to come of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A vector.
    Vector,
    /// NULL, for its url is NULL.
    Null,
    /// NULL, and a dead letter.
    Failure,
}

/// A row, and what is to come of it.
pub struct Expected {
    pub row: Row,
    pub outcome: Outcome,
}

const INSTRUCTIONS: [Option<&str>; 3] = [None, Some("Represent the given image."), Some("Find what shows this:")];

/// `count` rows; of each hundred 72 are texts, 18 images, 4 films, pages and windows, and 6 fail or are NULL. Files that
/// they need are put into `folder`.
pub fn rows(count: u64, folder: &Path) -> Vec<Expected> {
    let images = images();
    let cut = folder.join("cut.jpg");
    let whole = fs::read(examples().join("media/boat.jpg")).expect("the sample is there");
    fs::write(&cut, &whole[..whole.len() / 3]).expect("the folder can be written");
    let row = |n: u64| {
        let (url, outcome) = reference(n, &images, folder);
        let instruction = INSTRUCTIONS[n as usize % INSTRUCTIONS.len()];
        let row = Row {
            id: n,
            arguments: vec![url, instruction.map(str::to_string)],
        };
        Expected { row, outcome }
    };
    (0..count).map(row).collect()
}

/// The sample images that are whole.
fn images() -> Vec<PathBuf> {
    let files = fs::read_dir(examples().join("media")).expect("the samples are there");
    let paths = files.map(|entry| entry.expect("it can be read").path());
    let mut images: Vec<PathBuf> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|kind| ["jpg", "png", "webp"].iter().any(|known| kind == *known))
        })
        .filter(|path| !path.ends_with("boat_at_dusk.jpg"))
        .collect();
    images.sort();
    images
}

fn reference(n: u64, images: &[PathBuf], folder: &Path) -> (Option<String>, Outcome) {
    let sample = |name: &str| examples().join(name).display().to_string();
    let (hundred, place) = (n / 100, n % 100);
    let vector = |url: String| (Some(url), Outcome::Vector);
    let failure = |url: String| (Some(url), Outcome::Failure);
    match place {
        0..70 => vector(format!("data:,row%20{n}%20of%20many")),
        70..72 => vector(format!(
            "data:text/plain;charset=utf-8,a%20row%20like%20{}%20others",
            n % 7
        )),
        72..90 => {
            let image = &images[(hundred * 18 + place) as usize % images.len()];
            vector(image.display().to_string())
        }
        90 if hundred.is_multiple_of(2) => vector(sample("media/jumping_ball.webm")),
        90 => vector(format!(
            "{}#t={},{}",
            sample("media/jumping_ball.webm"),
            hundred % 4,
            hundred % 4 + 1
        )),
        91 => vector(sample("queries/snow_again.mp4")),
        92 => vector(format!(
            "{}#page={}",
            sample("media/harbour_report.pdf"),
            hundred % 5 + 1
        )),
        93 if hundred.is_multiple_of(10) => vector(sample("media/seven_places.mp4")),
        93 if hundred % 10 == 5 => vector(sample("media/harbour_report.pdf")),
        93 => {
            let window = hundred % 7 * 30;
            vector(format!(
                "{}#t={window},{}",
                sample("media/seven_places.mp4"),
                window + 30
            ))
        }
        94 => failure(folder.join(format!("missing_{n}.jpg")).display().to_string()),
        95 => failure(folder.join("cut.jpg").display().to_string()),
        96 => failure(format!("{}#page={n}", sample("media/harbour_report.pdf"))),
        97 => failure(format!("http://127.0.0.1:9/{n}.jpg")),
        98 => (None, Outcome::Null),
        _ => failure(match hundred % 3 {
            0 => format!("ftp://host/{n}"),
            1 => format!("{}#page=2", sample("media/boat.jpg")),
            _ => format!("{}#t=100,101", sample("media/jumping_ball.webm")),
        }),
    }
}
