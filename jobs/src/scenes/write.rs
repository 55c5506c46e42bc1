//! Files: the training sets and the test sets with their media, in a folder.

use std::fs;
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::encode::{encode, extension};
use super::split::{Case, TestSet};
use super::training::{IMAGE, PAGE, TRAINING_SETS, VIDEO, file, scenes};
use super::world::Family;
use crate::error::JobError;
use crate::whole::failure;

/// Draws all training sets: a pairs file each, and the media in a folder for each family.
///
/// # Errors
/// [`JobError::Io`] if the folder cannot be written.
pub fn training(folder: &Path) -> Result<(), JobError> {
    for family in Family::ALL {
        let scenes = scenes(family);
        make_folder(&folder.join(family.name()))?;
        scenes
            .par_iter()
            .try_for_each(|scene| write(&folder.join(file(scene)), &encode(scene)))?;
        for set in TRAINING_SETS.iter().filter(|set| set.family == family) {
            write_lines(&folder.join(format!("{}.jsonl", set.name)), &set.rows(&scenes))?;
        }
    }
    Ok(())
}

/// Draws all test sets: a pairs file each, and the media in a folder beside it.
///
/// # Errors
/// [`JobError::Io`] if the folder cannot be written.
pub fn tests(folder: &Path) -> Result<(), JobError> {
    for set in TestSet::ALL {
        let cases = set.cases();
        make_folder(&folder.join(set.name()))?;
        let url = |case: &Case| {
            let ending = extension(case.scene.combination.family());
            format!("{}/{:03}.{ending}", set.name(), case.scene.variant)
        };
        cases
            .par_iter()
            .try_for_each(|case| write(&folder.join(url(case)), &encode(&case.scene)))?;
        let rows: Vec<_> = cases.iter().map(|case| pair(set, case, &url(case))).collect();
        write_lines(&folder.join(format!("{}.jsonl", set.name())), &rows)?;
    }
    Ok(())
}

fn pair(set: TestSet, case: &Case, url: &str) -> serde_json::Value {
    let instruction = match set {
        TestSet::Clips => VIDEO,
        TestSet::Pages => PAGE,
        TestSet::Images | TestSet::Instructions => IMAGE,
    };
    match &case.instruction {
        Some(asked) => json!({"query": {"url": url, "instruction": asked}, "positive": {"text": case.text}}),
        None => json!({"query": {"text": case.text}, "positive": {"url": url, "instruction": instruction}}),
    }
}

/// Writes what is frozen: the test sets' rows, and the training sets' sizes and hashes.
///
/// # Errors
/// [`JobError::Io`] if the folder cannot be written.
pub fn frozen(folder: &Path) -> Result<(), JobError> {
    make_folder(folder)?;
    for set in TestSet::ALL {
        write_lines(&folder.join(format!("{}.jsonl", set.name())), &set.cases())?;
    }
    write(&folder.join("hashes.json"), &hashes())
}

/// The hashes of all that is drawn, as `hashes.json` has them: of every row of the training sets, of every medium of the test
/// sets, and of the first media of the training sets.
pub fn hashes() -> Vec<u8> {
    let mut training = serde_json::Map::new();
    let mut media = serde_json::Map::new();
    for family in Family::ALL {
        let scenes = scenes(family);
        for set in TRAINING_SETS.iter().filter(|set| set.family == family) {
            let rows = set.rows(&scenes);
            training.insert(
                set.name.into(),
                json!({"rows": rows.len(), "sha256": hex(&lines(&rows))}),
            );
        }
        let files: Vec<Vec<u8>> = scenes.par_iter().take(64).map(encode).collect();
        media.insert(format!("training/{}", family.name()), hex(&files.concat()).into());
    }
    for set in TestSet::ALL {
        let files: Vec<Vec<u8>> = set.cases().par_iter().map(|case| encode(&case.scene)).collect();
        media.insert(format!("test/{}", set.name()), hex(&files.concat()).into());
    }
    let hashes = json!({"training": training, "media": media});
    let mut file = serde_json::to_vec_pretty(&hashes).expect("a map of strings is written to memory");
    file.push(b'\n');
    file
}

/// JSON lines.
pub fn lines(rows: &[impl Serialize]) -> Vec<u8> {
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, row).expect("rows hold strings and numbers, and memory takes them");
        lines.push(b'\n');
    }
    lines
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn make_folder(folder: &Path) -> Result<(), JobError> {
    fs::create_dir_all(folder).map_err(failure(folder))
}

fn write_lines(path: &Path, rows: &[impl Serialize]) -> Result<(), JobError> {
    write(path, &lines(rows))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), JobError> {
    fs::write(path, bytes).map_err(failure(path))
}
