//! A dataset of the mixing table.

use std::path::Path;
use std::str::FromStr;

use super::checks;
use super::fields::{Fields, count, path, positive, text};
use super::node::Value;
use crate::data::{DatasetOptions, Mode, ParserKind};
use crate::error::JobError;

/// The dataset whose keys are `fields`: those of [`DatasetOptions`], and the file's name where none is given.
pub(super) fn read(fields: &mut Fields) -> Option<DatasetOptions> {
    let name = fields.read("name", text);
    let parser = fields.read("parser", word::<ParserKind>).unwrap_or(ParserKind::Pairs);
    let file = fields.require("path", "name the file of its rows", path);
    let media_root = fields.read("media_root", text);
    let weight = fields.read("weight", positive).unwrap_or(1.0);
    let rows = fields.read("rows", count);
    let mode = fields.read("mode", word::<Mode>);
    let query_instruction = fields.read("query_instruction", text);
    let target_instruction = fields.read("target_instruction", text);
    let path = file?;
    if !path.to_string_lossy().contains(['*', '?', '[']) {
        checks::exists(fields, "path", &path);
    }
    if let Some(root) = media_root.as_deref().filter(|root| !root.contains("://")) {
        checks::is_folder(fields, "media_root", Path::new(root));
    }
    let of_file = || {
        path.file_stem()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned()
    };
    Some(DatasetOptions {
        name: name.unwrap_or_else(of_file),
        parser,
        media_root,
        path,
        weight,
        rows,
        mode,
        query_instruction,
        target_instruction,
    })
}

/// One of the words that a type is written by.
pub(super) fn word<T: FromStr<Err = JobError>>(value: &Value) -> Result<T, String> {
    let words = text(value)?;
    words
        .parse()
        .map_err(|error: JobError| match error.to_string().split_once("; ") {
            Some((_, wanted)) => wanted.to_string(),
            None => error.to_string(),
        })
}
