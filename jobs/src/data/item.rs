//! What a row of a dataset is: a query, what it should find, and what it should not.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sightstream_model::processor::Words;
use sightstream_model::processor::prompt::{
    DEFAULT_IMAGE_INSTRUCTION, DEFAULT_PAGE_INSTRUCTION, DEFAULT_VIDEO_INSTRUCTION,
};
use sightstream_model::reference::{Fragment, Location, MediaReference, part_address, split_part};
use url::Url;

/// How the names of video files end.
pub(super) const VIDEO_EXTENSIONS: [&str; 6] = ["mp4", "webm", "mkv", "mov", "avi", "m4v"];

/// How the names of files end that are images and nothing else.
const IMAGE_EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "bmp", "tif", "tiff"];

/// One side of a pair: a medium, words, or both.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The pixels, or a text that lies elsewhere.
    pub medium: Option<Medium>,
    /// The words.
    pub words: ItemWords,
}

/// Where an item's medium is.
#[derive(Debug, Clone, PartialEq)]
pub enum Medium {
    /// At an address, as [`Root::resolve`] gives it.
    Url(String),
    /// In the row itself.
    Bytes {
        /// The encoded image or video.
        bytes: Arc<[u8]>,
        /// What it is called, for errors.
        name: String,
    },
    /// A folder with the frames of a video as images. Their order is that of their names, with numbers in them by value.
    Frames(PathBuf),
}

/// The words of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemWords {
    /// As the project writes prompts: pixels, instruction, text.
    Given {
        /// `None` is the medium's default; a text alone has none.
        instruction: Option<String>,
        /// The text.
        text: Option<String>,
    },
    /// As the dataset writes them, with the medium in between.
    Around {
        /// What stands before the medium.
        before: String,
        /// What stands after it.
        after: String,
    },
}

/// What tells two items apart where one is searched for: the medium and the text, whatever the instruction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    medium: String,
    text: String,
}

/// A row: all that training, mining and evaluation read of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// What is searched with.
    pub query: Item,
    /// What should be found. At least one.
    pub positives: Vec<Item>,
    /// What should not be, the hardest first.
    pub negatives: Vec<Item>,
    /// Among which to rank, where evaluation is not to rank among all. Without the positives.
    pub candidates: Vec<Item>,
}

/// An item as it stands in a file of pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ItemRow {
    /// The medium's address. Relative paths start at the folder of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The instruction; without one, pixels have that of their kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
}

/// A row as it stands in a file of pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PairRow {
    /// What is searched with.
    pub query: ItemRow,
    /// What should be found.
    pub positive: Vec<ItemRow>,
    /// What should not be, the hardest first.
    pub negatives: Vec<ItemRow>,
    /// Among which evaluation ranks.
    pub candidates: Vec<ItemRow>,
}

impl Item {
    /// Text under an instruction.
    pub fn text(text: impl Into<String>, instruction: Option<&str>) -> Self {
        Self {
            medium: None,
            words: ItemWords::Given {
                instruction: instruction.map(str::to_owned),
                text: Some(text.into()),
            },
        }
    }

    /// A medium under an instruction.
    pub fn medium(medium: Medium, instruction: Option<&str>) -> Self {
        Self {
            medium: Some(medium),
            words: ItemWords::Given {
                instruction: instruction.map(str::to_owned),
                text: None,
            },
        }
    }

    /// The words, as the processor takes them.
    pub fn words(&self) -> Words<'_> {
        match &self.words {
            ItemWords::Given { instruction, text } => Words::Given {
                instruction: instruction.as_deref(),
                text: text.as_deref(),
            },
            ItemWords::Around { before, after } => Words::Around { before, after },
        }
    }

    /// What it is where it is searched for.
    pub fn identity(&self) -> Identity {
        let medium = self.medium.as_ref().map(Medium::identity).unwrap_or_default();
        let text = match &self.words {
            ItemWords::Given { text, .. } => text.clone().unwrap_or_default(),
            ItemWords::Around { before, after } => format!("{before}\u{0}{after}"),
        };
        Identity { medium, text }
    }

    /// The instruction, unless the encoder is given the same without it: beside a text an empty one, and for a medium alone the
    /// default of its kind, as far as its address tells the kind.
    pub fn own_instruction(&self) -> Option<&str> {
        let ItemWords::Given { instruction, text } = &self.words else {
            return None;
        };
        let implied = match &self.medium {
            Some(medium) if text.as_deref().unwrap_or_default().is_empty() => medium.default_instruction(),
            _ => Some(""),
        };
        instruction
            .as_deref()
            .filter(|instruction| Some(*instruction) != implied)
    }

    /// The item as a row of pairs has it. `None` where such a row cannot say it: pixels in the row itself or in a folder of
    /// frames, and words around a medium.
    pub fn to_row(&self) -> Option<ItemRow> {
        let url = match &self.medium {
            None => None,
            Some(Medium::Url(url)) => Some(url.clone()),
            Some(Medium::Bytes { .. } | Medium::Frames(_)) => return None,
        };
        match &self.words {
            ItemWords::Given { instruction, text } => Some(ItemRow {
                url,
                text: text.clone(),
                instruction: instruction.clone(),
            }),
            ItemWords::Around { .. } => None,
        }
    }
}

impl Pair {
    /// The pair as a row of a file in this folder. `None` where such a row cannot say it ([`Item::to_row`]).
    pub fn to_row(&self, folder: &Path) -> Option<PairRow> {
        let row = |item: &Item| item.to_row().map(|row| row.relative_to(folder));
        let rows = |items: &[Item]| items.iter().map(row).collect::<Option<Vec<ItemRow>>>();
        Some(PairRow {
            query: row(&self.query)?,
            positive: rows(&self.positives)?,
            negatives: rows(&self.negatives)?,
            candidates: rows(&self.candidates)?,
        })
    }
}

impl Medium {
    /// What two media share only if they are the same: an address, or a digest.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Url(url) => url.clone(),
            Self::Bytes { bytes, .. } => {
                let digest = <sha2::Sha256 as sha2::Digest>::digest(bytes);
                digest.iter().map(|byte| format!("{byte:02x}")).collect()
            }
            Self::Frames(folder) => folder.to_string_lossy().into_owned(),
        }
    }

    /// The instruction that it has where none is given, as far as its address tells what it is: a GIF or a name without an ending
    /// may be an image or a video.
    fn default_instruction(&self) -> Option<&'static str> {
        let url = match self {
            Self::Url(url) => url,
            Self::Bytes { .. } => return None,
            Self::Frames(_) => return Some(DEFAULT_VIDEO_INSTRUCTION),
        };
        let (address, part) = split_part(url);
        let name = address.split('?').next().unwrap_or_default();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let is_one_of = |extensions: &[&str]| extensions.iter().any(|known| extension.eq_ignore_ascii_case(known));
        match part {
            Some(Fragment::Time { .. }) => Some(DEFAULT_VIDEO_INSTRUCTION),
            Some(Fragment::Page(_)) => Some(DEFAULT_PAGE_INSTRUCTION),
            None if is_one_of(&["pdf"]) => Some(DEFAULT_PAGE_INSTRUCTION),
            None if is_one_of(&VIDEO_EXTENSIONS) => Some(DEFAULT_VIDEO_INSTRUCTION),
            None if is_one_of(&IMAGE_EXTENSIONS) => Some(DEFAULT_IMAGE_INSTRUCTION),
            None => None,
        }
    }

    /// What tells it from others, however its path is written.
    fn identity(&self) -> String {
        let key = self.key();
        let path = Path::new(&key);
        match path.is_absolute() {
            true => lexical(path).to_string_lossy().into_owned(),
            false => key,
        }
    }
}

/// A path without `.`, `..` and repeated slashes. `..` leads back over the name before it, which is where it leads on the disk
/// unless that name is a link: good enough to compare paths, and not to read what they name.
fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            // Above the root is the root.
            Component::ParentDir => _ = clean.pop(),
            Component::CurDir => {}
            name => clean.push(name),
        }
    }
    clean
}

impl ItemRow {
    /// The row with the path of its medium taken from a folder, if it lies in it.
    pub fn relative_to(mut self, folder: &Path) -> Self {
        let within = self
            .url
            .as_deref()
            .and_then(|url| Path::new(url).strip_prefix(folder).ok());
        if let Some(within) = within.and_then(Path::to_str).filter(|within| !within.is_empty()) {
            self.url = Some(within.to_owned());
        }
        self
    }

    /// The item, with relative paths taken from `root`. `Err` says what is wrong with it.
    ///
    /// # Errors
    /// One that has neither an address nor a text, or an address that cannot be read.
    pub fn to_item(&self, root: &Root) -> Result<Item, String> {
        let url = self.url.as_deref().filter(|url| !url.is_empty());
        let text = self.text.clone().filter(|text| !text.is_empty());
        if url.is_none() && text.is_none() {
            return Err("it has neither `url` nor `text`".into());
        }
        Ok(Item {
            medium: url.map(|url| root.resolve(url)).transpose()?.map(Medium::Url),
            words: ItemWords::Given {
                instruction: self.instruction.clone(),
                text,
            },
        })
    }
}

/// Where relative addresses start: a folder, or the address of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// A folder of this machine, by an absolute path.
    Folder(PathBuf),
    /// Such as `s3://bucket/images`.
    Remote(String),
}

impl Root {
    /// A folder's path, or an address with a scheme.
    ///
    /// # Errors
    /// An address that cannot be read, or a path where there is no current folder to start from.
    pub fn new(root: &str) -> Result<Self, String> {
        let parsed = MediaReference::parse(root).map_err(|error| error.to_string())?;
        match parsed.location() {
            Location::File(path) => std::path::absolute(path)
                .map(Self::Folder)
                .map_err(|error| format!("{root}: {error}")),
            Location::Http(_) | Location::Object(_) => Ok(Self::Remote(root.trim_end_matches('/').to_owned())),
            Location::Data { .. } => Err(format!("{root}: a data: URL is no folder")),
        }
    }

    /// The folder, if it is one of this machine.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Remote(_) => None,
        }
    }

    /// An address that does not depend on where it was found. A file's does not depend on how it was written either: it is its
    /// absolute path, even if a `file:` URL names it, and a part of a medium (`#t=30,60`) stands behind it in one way.
    ///
    /// # Errors
    /// One that cannot be read.
    pub fn resolve(&self, url: &str) -> Result<String, String> {
        let parsed = MediaReference::parse(url).map_err(|error| error.to_string())?;
        let Location::File(path) = parsed.location() else {
            return Ok(url.to_owned());
        };
        let address = match self {
            _ if path.is_absolute() => file_address(path)?,
            Self::Folder(folder) => file_address(&folder.join(path))?,
            Self::Remote(root) => {
                let path = path.to_str().expect("a relative path is cut out of the text of `url`");
                let names: Vec<&str> = path.split('/').filter(|name| *name != ".").collect();
                format!("{root}/{}", names.join("/"))
            }
        };
        Ok(match parsed.fragment() {
            Some(part) => part_address(&address, part),
            None => address,
        })
    }
}

/// The address of a file: its absolute path, or where that would be read as something else, a `file:` URL. `..` stays, as what it
/// means behind a link is known to the disk alone.
pub(super) fn file_address(path: &Path) -> Result<String, String> {
    let absolute = std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let is_read_as_it_is = |path: &&str| {
        // An address is one line, and `#t=1` at the end of a name is no part of the file.
        !path.contains(['\n', '\r']) && MediaReference::parse(path).is_ok_and(|read| read.fragment().is_none())
    };
    match absolute.to_str().filter(is_read_as_it_is) {
        Some(path) => Ok(path.to_owned()),
        None => Url::from_file_path(&absolute)
            .map(String::from)
            .map_err(|()| format!("{}: no file has such a path", absolute.display())),
    }
}
