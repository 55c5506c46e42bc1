//! That a checkpoint's small files say the same where they speak of the same: a processor of one model and the weights of
//! another would give vectors without meaning, or fail at the first image.

use std::fmt::Display;

use serde::Deserialize;

use super::CheckpointFiles;
use crate::backbone::Config;
use crate::error::ModelError;
use crate::processor::ProcessorConfig;
use crate::processor::prompt::{IMAGE_PAD, VIDEO_PAD};

/// The part of `tokenizer.json` that holds the tokens for pixels.
#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

/// Compares `preprocessor_config.json` and `tokenizer.json` with `config.json`.
///
/// # Errors
/// [`ModelError::Config`] that names both fields and both values, [`ModelError::Tokenizer`] for what is no tokenizer.
pub fn check_agreement(
    files: &CheckpointFiles,
    config: &Config,
    processor: &ProcessorConfig,
) -> Result<(), ModelError> {
    let vision = &config.vision;
    for (field, size, other, expected) in [
        ("patch_size", processor.patch_size, "patch_size", vision.patch_size),
        (
            "temporal_patch_size",
            processor.temporal_patch_size,
            "temporal_patch_size",
            vision.temporal_patch_size,
        ),
        (
            "merge_size",
            processor.merge_size,
            "spatial_merge_size",
            vision.spatial_merge_size,
        ),
    ] {
        let other = format!("vision_config.{other}");
        compare("preprocessor_config.json", field, size as usize, &other, expected)?;
    }
    let tokenizer = files.read_required("tokenizer.json")?;
    let tokenizer: TokenizerFile =
        serde_json::from_slice(&tokenizer).map_err(|error| ModelError::Tokenizer(error.to_string()))?;
    for token in &tokenizer.added_tokens {
        let (other, expected) = match token.content.as_str() {
            IMAGE_PAD => ("image_token_id", config.image_token_id),
            VIDEO_PAD => ("video_token_id", config.video_token_id),
            _ => continue,
        };
        compare("tokenizer.json", &token.content, token.id, other, expected)?;
    }
    Ok(())
}

fn compare<T: PartialEq + Display>(
    file: &str,
    field: &str,
    value: T,
    other: &str,
    expected: T,
) -> Result<(), ModelError> {
    if value == expected {
        return Ok(());
    }
    Err(ModelError::Config {
        file: file.to_string(),
        message: format!("`{field}` is {value}; config.json's `{other}` is {expected}"),
    })
}
