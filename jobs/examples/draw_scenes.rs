//! Draws the scenes that the demo checkpoint is trained and tested on.

use std::path::Path;
use std::process::ExitCode;

use sightstream_jobs::JobError;
use sightstream_jobs::scenes::{tokenizer, training, world, write};

const HELP: &str = "\
Draws the scenes that the demo checkpoint is trained and tested on.

Usage: draw_scenes train FOLDER      the training sets: pairs files (JSON lines) and their media
       draw_scenes test FOLDER       the held-out test sets, as pairs files for `sightstream eval`
       draw_scenes freeze FOLDER     the test sets' scenes and the hashes of everything (jobs/scenes)
       draw_scenes tokenizer WORDS FILE
                                     trains the tokenizer on the captions and on a file of other texts";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["train", folder] => write::training(Path::new(folder)),
        ["test", folder] => write::tests(Path::new(folder)),
        ["freeze", folder] => write::frozen(Path::new(folder)),
        ["tokenizer", words, file] => train_tokenizer(Path::new(words), Path::new(file)),
        ["-h" | "--help"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Every text of the training sets, and every line of the other texts ten times: they are few.
fn train_tokenizer(words: &Path, file: &Path) -> Result<(), JobError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| JobError::Io { path, source }
    };
    let words = std::fs::read_to_string(words).map_err(io(words))?;
    let mut lines: Vec<String> = Vec::new();
    for family in world::Family::ALL {
        let scenes = training::scenes(family);
        for set in training::TRAINING_SETS.iter().filter(|set| set.family == family) {
            for row in set.rows(&scenes) {
                let items = [row.query, row.positive].into_iter();
                lines.extend(
                    items
                        .flat_map(|item| [item.text, item.instruction.map(str::to_owned)])
                        .flatten(),
                );
            }
        }
    }
    let other = std::iter::repeat_n(words.lines(), 10).flatten();
    let trained = tokenizer::train(lines.iter().map(String::as_str).chain(other));
    let trained = trained.map_err(|error| JobError::Config(format!("the tokenizer cannot be trained: {error}")))?;
    std::fs::write(file, trained).map_err(io(file))
}
