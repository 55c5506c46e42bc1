//! The media that a quickstart indexes: what lies in a folder.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use crate::commands::search::text_url;

/// The extensions of what the encoder reads.
const IMAGES: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];
const VIDEOS: [&str; 9] = ["mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "m2ts"];

/// What the sample folder holds, as JSON lines `{"id", "path" or "text", "title", "kind"}`.
const MANIFEST: &str = "manifest.jsonl";

/// What a medium is, as its name has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Image,
    Video,
    Document,
    Text,
}

impl Sort {
    /// All of them, with what one and many are called.
    const NAMED: [(Self, &str, &str); 4] = [
        (Self::Image, "image", "images"),
        (Self::Video, "video", "videos"),
        (Self::Document, "document", "documents"),
        (Self::Text, "text", "texts"),
    ];

    /// Of a file that is read here.
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_lowercase().as_str() {
            "txt" => Some(Self::Text),
            "pdf" => Some(Self::Document),
            extension if IMAGES.contains(&extension) => Some(Self::Image),
            extension if VIDEOS.contains(&extension) => Some(Self::Video),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        let named = Self::NAMED.into_iter().find(|(sort, ..)| *sort == self);
        named.map_or("", |(_, name, _)| name)
    }
}

/// A record of the topic `media`: the columns of the table `media` in `index_media.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Medium {
    /// The path below the folder, or the id of a text.
    pub id: String,
    /// The media reference: an absolute path, or `data:` with the text.
    pub url: String,
    /// For people.
    pub title: String,
    /// `image`, `video`, `document` or `text`; in the sample folder `scene`, `chart`, `document`, `text`, ….
    pub kind: String,
    /// The folder below the given one; empty for what lies directly in it.
    pub folder: String,
    /// What it is, whatever its kind.
    #[serde(skip)]
    pub sort: Sort,
    /// What one could search for to find it: the text, or the title.
    #[serde(skip)]
    pub words: String,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Folder {
    /// The media, by path.
    pub media: Vec<Medium>,
    /// What could not be taken in, each a sentence.
    pub problems: Vec<String>,
    /// Files of other kinds.
    pub others: u64,
    /// Symbolic links, which are not followed: they may lead out of the folder, or in a circle.
    pub links: u64,
}

/// A line of the manifest.
#[derive(Debug, Deserialize)]
struct ManifestLine {
    id: String,
    title: String,
    kind: String,
    #[serde(flatten)]
    content: Content,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Content {
    /// A file's path below the folder.
    Path(PathBuf),
    /// A text, which needs no file.
    Text(String),
}

impl Folder {
    /// Looks through `root` at any depth. Hidden files and folders (`.git`) are passed over.
    ///
    /// # Errors
    /// If `root` is no folder that can be read, or holds no media. What is wrong with a single file is in
    /// [`Folder::problems`].
    pub fn scan(root: &Path) -> anyhow::Result<Self> {
        let shown = root.display();
        let root = root
            .canonicalize()
            .with_context(|| format!("cannot open the media folder {shown}"))?;
        if !root.is_dir() {
            bail!("{shown} is not a folder; --media takes a folder of images, videos, PDF documents and .txt files");
        }
        let mut folder = Self::default();
        let visible = |entry: &walkdir::DirEntry| entry.depth() == 0 || !is_hidden(entry.file_name());
        for entry in WalkDir::new(&root)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(visible)
        {
            match entry {
                Ok(entry) if entry.file_type().is_symlink() => folder.links += 1,
                Ok(entry) if entry.file_type().is_file() => folder.add(&root, entry.into_path()),
                Ok(_) => {}
                Err(error) => folder.problems.push(error.to_string()),
            }
        }
        if folder.media.is_empty() {
            let problems = if folder.problems.is_empty() {
                ""
            } else {
                " that can be read"
            };
            bail!(
                "{shown} holds no images (JPEG, PNG, WebP, GIF, BMP, TIFF), no videos, no PDF documents and no .txt \
                 files{problems}"
            );
        }
        Ok(folder)
    }

    /// The sample media in `root`, as their manifest lists them.
    ///
    /// # Errors
    /// If the manifest cannot be read.
    pub fn sample(root: &Path) -> anyhow::Result<Self> {
        let shown = root.join(MANIFEST).display().to_string();
        let manifest = fs::read_to_string(root.join(MANIFEST)).with_context(|| format!("cannot read {shown}"))?;
        let root = root
            .canonicalize()
            .with_context(|| format!("cannot open {}", root.display()))?;
        let mut folder = Self::default();
        for (index, line) in manifest.lines().enumerate() {
            let line: ManifestLine =
                serde_json::from_str(line).with_context(|| format!("{shown}:{} cannot be read", index + 1))?;
            folder.media.push(line.medium(&root));
        }
        Ok(folder)
    }

    /// How many there are of each sort: `50 images, 2 videos, 1 document and 16 texts`.
    pub fn counts(&self) -> String {
        let counts = Sort::NAMED.map(|(sort, one, many)| {
            let count = self.media.iter().filter(|medium| medium.sort == sort).count();
            (count, if count == 1 { one } else { many })
        });
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let mut counts: Vec<String> = counts.map(|(count, name)| format!("{count} {name}")).collect();
        match (counts.pop(), counts.join(", ")) {
            (Some(last), others) if !others.is_empty() => format!("{others} and {last}"),
            (last, _) => last.unwrap_or_default(),
        }
    }

    fn add(&mut self, root: &Path, path: PathBuf) {
        let Some(sort) = Sort::of(&path) else {
            self.others += 1;
            return;
        };
        let below = path.strip_prefix(root).unwrap_or(&path);
        let (Some(url), Some(id)) = (path.to_str(), below.to_str()) else {
            self.problems.push(format!("{}: the name is not UTF-8", path.display()));
            return;
        };
        if let Err(error) = fs::File::open(&path) {
            self.problems.push(format!("{}: {error}", path.display()));
            return;
        }
        let title = title(&path);
        self.media.push(Medium {
            id: id.to_string(),
            url: url.to_string(),
            words: title.clone(),
            title,
            kind: sort.name().to_string(),
            folder: parent(below),
            sort,
        });
    }
}

impl ManifestLine {
    /// The medium, where paths start at `root`.
    fn medium(self, root: &Path) -> Medium {
        let Self {
            id,
            title,
            kind,
            content,
        } = self;
        let (url, folder, sort, words) = match content {
            Content::Path(path) => (
                root.join(&path).display().to_string(),
                parent(&path),
                Sort::of(&path).unwrap_or(Sort::Image),
                title.clone(),
            ),
            Content::Text(text) => (text_url(&text), String::new(), Sort::Text, text),
        };
        Medium {
            id,
            url,
            title,
            kind,
            folder,
            sort,
            words,
        }
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().first() == Some(&b'.')
}

/// The name of a file as a title: `red_bicycle-2.jpg` is `red bicycle 2`.
fn title(path: &Path) -> String {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().replace(['_', '-'], " "))
        .unwrap_or_default()
}

fn parent(below: &Path) -> String {
    below
        .parent()
        .map(|folder| folder.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_of(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("it is below the folder")).expect("a new folder");
            fs::write(path, content).expect("a new file");
        }
        folder
    }

    #[test]
    fn media_are_found_at_any_depth_and_named_by_their_path() {
        let files = [
            ("a.PNG", ""),
            ("trip/red_canal.jpg", ""),
            ("trip/boat.MP4", ""),
            ("report.pdf", ""),
            ("notes.txt", ""),
            ("data.csv", ""),
            (".git/x.png", ""),
        ];
        let folder = folder_of(&files);
        let found = Folder::scan(folder.path()).expect("there are media");
        let media: Vec<(&str, &str, &str, &str)> = found
            .media
            .iter()
            .map(|medium| {
                (
                    medium.id.as_str(),
                    medium.title.as_str(),
                    medium.kind.as_str(),
                    medium.folder.as_str(),
                )
            })
            .collect();
        let expected = [
            ("a.PNG", "a", "image", ""),
            ("notes.txt", "notes", "text", ""),
            ("report.pdf", "report", "document", ""),
            ("trip/boat.MP4", "boat", "video", "trip"),
            ("trip/red_canal.jpg", "red canal", "image", "trip"),
        ];
        assert_eq!(media, expected);
        assert!(found.media.iter().all(|medium| Path::new(&medium.url).is_absolute()));
        assert_eq!((found.others, found.problems.len()), (1, 0));
        assert_eq!(found.counts(), "2 images, 1 video, 1 document and 1 text");
    }

    #[test]
    fn links_are_not_followed() {
        let outside = folder_of(&[("secret.png", "")]);
        let folder = folder_of(&[("a.png", "")]);
        std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).expect("a new link");
        std::os::unix::fs::symlink(outside.path().join("secret.png"), folder.path().join("b.png")).expect("a new link");
        let found = Folder::scan(folder.path()).expect("there is an image");
        assert_eq!((found.media.len(), found.links), (1, 2));
    }

    #[test]
    fn the_sample_is_what_its_manifest_lists() {
        let lines = concat!(
            r#"{"id": "canal", "path": "canal.png", "title": "A canal", "kind": "scene"}"#,
            "\n",
            r#"{"id": "t", "text": "a red, red rose", "title": "Poem", "kind": "text"}"#
        );
        let folder = folder_of(&[("manifest.jsonl", lines), ("canal.png", ""), ("other.png", "")]);
        let sample = Folder::sample(folder.path()).expect("the manifest can be read");
        assert_eq!(sample.counts(), "1 image and 1 text");
        assert!(sample.media[0].url.ends_with("/canal.png") && sample.media[0].kind == "scene");
        assert_eq!(sample.media[1].url, "data:,a%20red,%20red%20rose");
        assert_eq!(sample.media[1].words, "a red, red rose");

        let broken = folder_of(&[("manifest.jsonl", "not json")]);
        let error = Folder::sample(broken.path())
            .expect_err("the manifest is no JSON")
            .to_string();
        assert!(error.contains("manifest.jsonl:1"), "{error}");
    }

    #[test]
    fn a_folder_without_media_is_refused() {
        let folder = folder_of(&[("data.csv", "")]);
        let error = Folder::scan(folder.path())
            .expect_err("there is nothing to index")
            .to_string();
        assert!(error.contains("holds no images"), "{error}");
    }
}
