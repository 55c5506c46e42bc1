//! The small files of a store, and how they survive a crash.
//!
//! ```text
//! STORE/lock                              who has the store open
//! STORE/aliases.json                      alias -> collection
//! STORE/collections/NAME/collection.json  the layout and metadata; a folder without it was never finished
//! STORE/collections/NAME/shard/           qdrant-edge's own
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ConnectorError;
use crate::qdrant::collection::Layout;

const ALIASES: &str = "aliases.json";
const COLLECTIONS: &str = "collections";
const LAYOUT: &str = "collection.json";
const SHARD: &str = "shard";

/// The aliases with the collections they lead to.
pub(super) type Aliases = BTreeMap<String, String>;

/// Whether `store` has ever been written as a store.
pub(super) fn is_store(store: &Path) -> bool {
    store.join(COLLECTIONS).is_dir()
}

/// Makes the folders of a store.
pub(super) fn make_store(store: &Path) -> Result<(), ConnectorError> {
    make_folder(&store.join(COLLECTIONS))
}

pub(super) fn read_aliases(store: &Path) -> Result<Aliases, ConnectorError> {
    Ok(read_json(&store.join(ALIASES))?.unwrap_or_default())
}

pub(super) fn write_aliases(store: &Path, aliases: &Aliases) -> Result<(), ConnectorError> {
    write_json(&store.join(ALIASES), aliases)
}

/// The folder of the collection `name`.
pub(super) fn collection_folder(store: &Path, name: &str) -> PathBuf {
    store.join(COLLECTIONS).join(name)
}

/// The folder of a collection's shard.
pub(super) fn shard_folder(collection: &Path) -> PathBuf {
    collection.join(SHARD)
}

/// Writes a collection's layout, which makes the collection exist.
pub(super) fn write_layout(collection: &Path, layout: &Layout) -> Result<(), ConnectorError> {
    write_json(&collection.join(LAYOUT), layout)
}

/// The collections of a store with their layouts. Folders that were never finished are removed.
pub(super) fn read_collections(store: &Path) -> Result<Vec<(String, Layout)>, ConnectorError> {
    let mut collections = Vec::new();
    for (name, path) in collection_folders(store)? {
        match read_json(&path.join(LAYOUT))? {
            Some(layout) => collections.push((name, layout)),
            None => {
                tracing::info!(folder = %path.display(), "removing a collection that was never finished");
                remove_folder(&path)?;
            }
        }
    }
    Ok(collections)
}

/// As [`read_collections`], and leaves what was never finished as it is.
pub(super) fn finished_collections(store: &Path) -> Result<BTreeMap<String, Layout>, ConnectorError> {
    let mut collections = BTreeMap::new();
    for (name, path) in collection_folders(store)? {
        if let Some(layout) = read_json(&path.join(LAYOUT))? {
            collections.insert(name, layout);
        }
    }
    Ok(collections)
}

/// The folders of a store's collections, finished or not, with the names.
fn collection_folders(store: &Path) -> Result<Vec<(String, PathBuf)>, ConnectorError> {
    let folder = store.join(COLLECTIONS);
    let mut folders = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|source| io_error(&folder, source))? {
        let entry = entry.map_err(|source| io_error(&folder, source))?;
        let path = entry.path();
        if let Some(name) = entry.file_name().to_str().map(str::to_string)
            && path.is_dir()
        {
            folders.push((name, path));
        }
    }
    Ok(folders)
}

/// Makes `path` and its parents, durably.
pub(super) fn make_folder(path: &Path) -> Result<(), ConnectorError> {
    fs::create_dir_all(path).map_err(|source| io_error(path, source))?;
    match path.parent() {
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

/// Removes `path` and what is in it; no error if it is not there.
pub(super) fn remove_folder(path: &Path) -> Result<(), ConnectorError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(io_error(path, source)),
        _ => Ok(()),
    }
}

pub(super) fn io_error(path: &Path, source: std::io::Error) -> ConnectorError {
    ConnectorError::Io {
        path: path.display().to_string(),
        source,
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ConnectorError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| io_error(path, std::io::Error::new(ErrorKind::InvalidData, error))),
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error(path, source)),
    }
}

/// Replaces the file in one step: after a crash it is the old one or the new one, whole.
fn write_json(path: &Path, content: &impl Serialize) -> Result<(), ConnectorError> {
    let aside = path.with_extension("json.new");
    let written = serde_json::to_vec_pretty(content)
        .map_err(std::io::Error::from)
        .and_then(|bytes| {
            let mut file = File::create(&aside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&aside, path)
        });
    written.map_err(|source| io_error(path, source))?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(path: &Path) -> Result<(), ConnectorError> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| io_error(path, source))
}
