//! A dataset of the mixing table.

use std::path::{Path, PathBuf};

use super::checks;
use super::fields::{Fields, count, path, positive, text};
use super::node::Value;

/// One entry of `datasets`.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetConfig {
    /// `name`: as logs and errors call it. Default: the file's name without its ending.
    pub name: String,
    /// `parser`: the shape of its rows. Default: `pairs`.
    pub parser: ParserName,
    /// `path`: a file of JSON lines or Parquet, a folder of such files, or a pattern such as `train-*.parquet`. Has to be there.
    pub path: PathBuf,
    /// `media_root`: where relative paths of media start, a folder or an address such as `s3://bucket/images`. Default: the folder
    /// of the files.
    pub media_root: Option<String>,
    /// `weight`: the share of sub-batches that are of this dataset, relative to the weights of the others. Default: 1.
    pub weight: f64,
    /// `rows`: only the first so many rows. Default: all.
    pub rows: Option<usize>,
    /// `mode`: what is searched with what, for parsers with a choice. Default: the parser's.
    pub mode: Option<String>,
    /// `query_instruction`: in place of the parser's instruction of queries; for `pairs`, of those that have none.
    pub query_instruction: Option<String>,
    /// `target_instruction`: the same for targets.
    pub target_instruction: Option<String>,
}

/// The shapes of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParserName {
    /// This project's own: a query, a positive, negatives.
    Pairs,
    /// MMEB-train's columns.
    Mmeb,
    /// LLaVA-Hound's captions of videos.
    LlavahoundCaption,
    /// LLaVA-Hound's questions about videos.
    LlavahoundQa,
    /// ViDoRe's queries and pages.
    Vidore,
    /// VisRAG's queries and pages.
    Visrag,
}

impl ParserName {
    const ALL: [(&'static str, Self); 6] = [
        ("pairs", Self::Pairs),
        ("mmeb", Self::Mmeb),
        ("llavahound_caption", Self::LlavahoundCaption),
        ("llavahound_qa", Self::LlavahoundQa),
        ("vidore", Self::Vidore),
        ("visrag", Self::Visrag),
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find_map(|(name, parser)| (*parser == self).then_some(*name))
            .expect("the table above has every parser")
    }
}

/// The dataset whose keys are `fields`.
pub(super) fn read(fields: &mut Fields) -> Option<DatasetConfig> {
    let name = fields.read("name", text);
    let parser = fields.read("parser", parser).unwrap_or(ParserName::Pairs);
    let file = fields.require("path", "name the file of its rows", path);
    let media_root = fields.read("media_root", text);
    let weight = fields.read("weight", positive).unwrap_or(1.0);
    let rows = fields.read("rows", count);
    let mode = fields.read("mode", text);
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
    Some(DatasetConfig {
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

fn parser(value: &Value) -> Result<ParserName, String> {
    let named = |name: &str| ParserName::ALL.iter().find(|(known, _)| *known == name);
    match value {
        Value::Text(text) => named(text).map(|(_, parser)| *parser),
        _ => None,
    }
    .ok_or_else(|| {
        let names: Vec<&str> = ParserName::ALL.iter().map(|(name, _)| *name).collect();
        format!("the parsers are {}", names.join(", "))
    })
}
