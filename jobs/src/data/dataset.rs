//! A dataset of the mixing table: its files, and what their rows mean.

use std::path::{Path, PathBuf};

use super::item::{Item, Pair, Root};
use super::parser::{self, Mode, Parser, ParserKind};
use super::table::{Table, TableRow};
use crate::error::JobError;

/// One line of the mixing table.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetOptions {
    /// Its name, which no other has: in reports and messages.
    pub name: String,
    /// The shape of its rows.
    pub parser: ParserKind,
    /// A JSONL or Parquet file, a folder of such files, or a pattern such as `data/train-*.parquet`.
    pub path: PathBuf,
    /// How often it is drawn, beside the others' weights.
    pub weight: f64,
    /// The first so many rows alone.
    pub rows: Option<usize>,
    /// Where relative paths of media start, a folder or an address such as `s3://bucket/images`. Default: the folder of the
    /// files.
    pub media_root: Option<String>,
    /// What is searched with what, for parsers with a choice.
    pub mode: Option<Mode>,
    /// Stands in for the parser's instruction of queries. For `pairs`: of the queries that have none.
    pub query_instruction: Option<String>,
    /// Stands in for the parser's instruction of targets. For `pairs`: of the targets that have none.
    pub target_instruction: Option<String>,
}

impl DatasetOptions {
    /// All rows of these files, with the weight 1 and the parser's defaults.
    pub fn new(name: impl Into<String>, parser: ParserKind, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            parser,
            path: path.into(),
            weight: 1.0,
            rows: None,
            media_root: None,
            mode: None,
            query_instruction: None,
            target_instruction: None,
        }
    }
}

/// A dataset that is open. Its rows stay where they are until they are asked for.
#[derive(Debug)]
pub struct Dataset {
    name: String,
    weight: f64,
    table: Table,
    parser: Parser,
    /// The folder of the files.
    folder: PathBuf,
}

impl Dataset {
    /// Opens the files, and finds their rows.
    ///
    /// # Errors
    /// [`JobError::Config`] for options that cannot be followed, [`JobError::Data`] for files that cannot be read or hold no
    /// row.
    pub fn open(options: &DatasetOptions) -> Result<Self, JobError> {
        let DatasetOptions { name, parser, .. } = options;
        let config = |message: String| JobError::Config(format!("dataset `{name}`: {message}"));
        let refused = |message: String| Err(config(message));
        let data = |message: String| JobError::Data {
            dataset: name.clone(),
            message,
        };
        if !(options.weight.is_finite() && options.weight > 0.0) {
            return refused(format!("weight: {} is no number above 0", options.weight));
        }
        if options.rows == Some(0) {
            return refused("rows: 0 leaves nothing; write a number above 0, or leave it out".into());
        }
        if let Some(mode) = options.mode.filter(|mode| !parser.modes().contains(mode)) {
            let modes: Vec<String> = parser.modes().iter().map(Mode::to_string).collect();
            return refused(match modes.is_empty() {
                true => format!("mode: the parser {parser} has none; leave it out"),
                false => format!(
                    "mode: {mode} is none of the parser {parser}; write {}",
                    modes.join(" or ")
                ),
            });
        }
        if *parser == ParserKind::Mmeb && (options.query_instruction.is_some() || options.target_instruction.is_some())
        {
            return refused(
                "query_instruction, target_instruction: rows of mmeb hold their own; leave them out".into(),
            );
        }
        let table = Table::open(&options.path, parser.columns(), options.rows).map_err(data)?;
        if table.is_empty() {
            return Err(data(format!("{}: there is no row in it", options.path.display())));
        }
        let folder = folder(&options.path).map_err(data)?;
        let root = match &options.media_root {
            Some(root) => Root::new(root).map_err(|error| config(format!("media_root: {error}")))?,
            None => Root::Folder(folder.clone()),
        };
        if let Some(missing) = root.folder().filter(|root| !root.is_dir()) {
            return refused(format!("media_root: {}: there is no such folder", missing.display()));
        }
        Ok(Self {
            name: name.clone(),
            weight: options.weight,
            table,
            parser: Parser {
                kind: *parser,
                mode: options.mode,
                root,
                query_instruction: options.query_instruction.clone(),
                target_instruction: options.target_instruction.clone(),
            },
            folder,
        })
    }

    /// Its name in the mixing table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often it is drawn, beside the others' weights.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.table.len()
    }

    /// Reads a row, by its number from 0. Any number of threads may do so at once.
    ///
    /// # Errors
    /// A sentence that begins with the file and the row's place in it.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn pair(&self, row: usize) -> Result<Pair, String> {
        Ok(self.placed_pair(row)?.1)
    }

    /// A row, with its file and its place in it.
    pub(super) fn placed_pair(&self, row: usize) -> Result<(String, Pair), String> {
        let row = self.table.row(row)?;
        let pair = self.parser.parse(&row)?;
        Ok((row.place, pair))
    }

    /// The folders of this machine below which its media lie, unless its rows say otherwise: what to allow to read from.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        let root = self.parser.root.folder().filter(|root| *root != self.folder);
        [self.folder.as_path()].into_iter().chain(root)
    }
}

/// The items of a file that holds one a row: `url`, `text` and `instruction`, each of which may be absent. Relative paths start at the
/// file's folder. An item is an error that names its place where it cannot be read.
///
/// # Errors
/// [`JobError::Data`], with the path for a name, for a file that cannot be read.
pub fn read_items(path: &Path) -> Result<impl Iterator<Item = Result<Item, String>>, JobError> {
    let data = |message: String| JobError::Data {
        dataset: path.display().to_string(),
        message,
    };
    let table = Table::open(path, &["url", "text", "instruction"], None).map_err(data)?;
    let root = Root::Folder(folder(path).map_err(data)?);
    Ok((0..table.len()).map(move |row| {
        let TableRow { values, place } = table.row(row)?;
        parser::item(&values, &root).map_err(|error| format!("{place}: {error}"))
    }))
}

/// The folder that the files are in, as an absolute path.
fn folder(path: &Path) -> Result<PathBuf, String> {
    let path = std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(match path.is_dir() {
        true => path,
        false => path.parent().map_or_else(|| path.clone(), Path::to_owned),
    })
}
