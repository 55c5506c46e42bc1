//! What has to go together, and what has to be there.

use std::path::Path;

use super::fields::Fields;
use super::{Length, TrainConfig};
use crate::optimiser::ScheduleKind;

/// Tells what of `config` does not go together.
pub(super) fn together(config: &TrainConfig, fields: &mut Fields) {
    let (batch, sub_batch) = (config.batch_size, config.sub_batch_size);
    if fields.are_sound(&["batch_size", "sub_batch_size"]) && batch % sub_batch != 0 {
        let message = format!(
            "{sub_batch} does not divide batch_size {batch}; write one of {}",
            divisors(batch)
        );
        fields.refuse("sub_batch_size", message);
    }
    if fields.are_sound(&["batch_size", "num_hard_negatives"]) && batch == 1 && config.num_hard_negatives == 0 {
        fields.refuse(
            "batch_size",
            "1 leaves a query without negatives; write 2 or more, or num_hard_negatives",
        );
    }
    if let (Length::Steps(steps), Some(warmup)) = (config.length, config.warmup_steps)
        && fields.are_sound(&["max_steps", "lr_decay_steps"])
        && warmup > config.schedule_steps(steps)
    {
        let key = config.lr_decay_steps.map_or("max_steps", |_| "lr_decay_steps");
        let message = format!("{warmup} outlasts {key} {}; write fewer", config.schedule_steps(steps));
        fields.refuse("warmup_steps", message);
    }
    if config.lr_decay_steps.is_some() && config.lr_scheduler == ScheduleKind::Constant {
        fields.refuse(
            "lr_decay_steps",
            "has no effect where lr_scheduler is constant; leave it out",
        );
    }
    if let (Length::Steps(steps), Some(decay)) = (config.length, config.lr_decay_steps)
        && fields.are_sound(&["max_steps"])
        && decay < steps
    {
        let message = format!("{decay} comes before max_steps {steps}; write more, or leave it out");
        fields.refuse("lr_decay_steps", message);
    }
    if let (Some(least), Some(most)) = (config.min_pixels, config.max_pixels)
        && least > most
    {
        fields.refuse("min_pixels", format!("{least} is more than max_pixels {most}"));
    }
    if let Some(adapter) = &config.adapter
        && Path::new(adapter).is_dir()
        && !Path::new(adapter).join("adapter_config.json").is_file()
    {
        let message = format!("{adapter} has no adapter_config.json; name a PEFT directory, or a Hugging Face id");
        fields.refuse("adapter", message);
    }
    if config.output_dir.exists() && !config.output_dir.is_dir() {
        let message = format!("{} is a file; name a folder", config.output_dir.display());
        fields.refuse("output_dir", message);
    }
}

/// The divisors of `number` that a sub-batch may have, the most likely ones.
fn divisors(number: usize) -> String {
    let all: Vec<usize> = (1..=number.min(1024))
        .filter(|size| number.is_multiple_of(*size))
        .collect();
    let last = &all[all.len().saturating_sub(6)..];
    last.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// Tells if there is no file at `path`.
pub(super) fn is_file(fields: &mut Fields, key: &'static str, path: &Path) {
    if !path.is_file() {
        fields.refuse(key, absent(path, "file"));
    }
}

/// Tells if there is nothing at `path`.
pub(super) fn exists(fields: &mut Fields, key: &'static str, path: &Path) {
    if !path.exists() {
        fields.refuse(key, absent(path, "file"));
    }
}

/// Tells if there is no folder at `path`.
pub(super) fn is_folder(fields: &mut Fields, key: &'static str, path: &Path) {
    if !path.is_dir() {
        fields.refuse(key, absent(path, "folder"));
    }
}

fn absent(path: &Path, what: &str) -> String {
    let from = if path.is_relative() {
        "; relative paths start from the current folder"
    } else {
        ""
    };
    format!("names {}, where there is no {what}{from}", path.display())
}
