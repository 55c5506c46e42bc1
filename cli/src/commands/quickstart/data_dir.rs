//! The folder that a quickstart keeps its collection in.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Marks a folder as one that a quickstart may empty, and locks it while one runs.
const MARKER: &str = "quickstart.lock";

/// The folder, made ready: without the collection and the dead letters of an earlier run.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Held while the quickstart runs.
    _lock: File,
}

impl DataDir {
    /// Makes `path` ready. Only a folder that a quickstart made is emptied.
    pub fn prepare(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        fs::create_dir_all(path).with_context(|| format!("cannot make the data folder {shown}"))?;
        let marker = path.join(MARKER);
        if !marker.exists()
            && fs::read_dir(path)
                .with_context(|| format!("cannot read {shown}"))?
                .next()
                .is_some()
        {
            bail!("the data folder {shown} holds other things, and a quickstart empties its folder; name a new one");
        }
        let lock = File::create(&marker).with_context(|| format!("cannot write to the data folder {shown}"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another quickstart is running in {shown}; wait for it, or choose another --data-dir")
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("cannot lock {shown}")),
        }
        let data_dir = Self {
            path: path.to_path_buf(),
            _lock: lock,
        };
        let qdrant = data_dir.qdrant();
        if qdrant.exists() {
            fs::remove_dir_all(&qdrant).with_context(|| format!("cannot empty {}", qdrant.display()))?;
        }
        let dead_letters = data_dir.dead_letters();
        if dead_letters.exists() {
            fs::remove_file(&dead_letters).with_context(|| format!("cannot remove {}", dead_letters.display()))?;
        }
        Ok(data_dir)
    }

    /// The folder of the embedded Qdrant.
    pub fn qdrant(&self) -> PathBuf {
        self.path.join("qdrant")
    }

    /// The file of the dead letters.
    pub fn dead_letters(&self) -> PathBuf {
        self.path.join("dead_letters.jsonl")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_somebody_else_is_not_emptied() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("qdrant")).expect("a new folder");
        let error = DataDir::prepare(folder.path())
            .expect_err("the folder holds other things")
            .to_string();
        assert!(error.contains("holds other things"), "{error}");
        assert!(folder.path().join("qdrant").exists());
    }

    #[test]
    fn the_next_run_starts_empty() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = DataDir::prepare(folder.path()).expect("an empty folder will do");
        fs::create_dir(first.qdrant()).expect("a new folder");
        fs::write(first.dead_letters(), "{}").expect("a new file");
        drop(first);
        let second = DataDir::prepare(folder.path()).expect("the folder is a quickstart's");
        assert!(!second.qdrant().exists() && !second.dead_letters().exists());
    }

    #[test]
    fn two_runs_at_once_are_told_apart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let _first = DataDir::prepare(folder.path()).expect("an empty folder will do");
        let error = DataDir::prepare(folder.path()).expect_err("it is in use").to_string();
        assert!(error.contains("another quickstart"), "{error}");
    }
}
