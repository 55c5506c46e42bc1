//! Downloading a checkpoint from the Hugging Face hub into its usual cache.

use std::path::PathBuf;
use std::sync::Arc;

use hf_hub::progress::{DownloadEvent, Progress, ProgressEvent, ProgressHandler};
use hf_hub::repository::RepoTypeModel;
use hf_hub::{HFClientSync, HFError, HFRepositorySync};

use super::progress::{DownloadProgress, LogProgress};
use super::{adapter, weight_files};
use crate::error::ModelError;

/// What is downloaded of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All files of a whole checkpoint.
    Checkpoint,
    /// Those of an adapter.
    Adapter,
}

/// `owner/name`, with a branch, tag or commit after an `@`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HubId {
    owner: String,
    name: String,
    revision: Option<String>,
}

impl HubId {
    pub(super) fn parse(model: &str) -> Option<Self> {
        let (repository, revision) = match model.split_once('@') {
            Some((repository, revision)) if !revision.is_empty() => (repository, Some(revision.to_string())),
            Some(_) => return None,
            None => (model, None),
        };
        let (owner, name) = repository.split_once('/')?;
        let is_name = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        (is_name(owner) && is_name(name)).then(|| Self {
            owner: owner.to_string(),
            name: name.to_string(),
            revision,
        })
    }

    fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

/// The directory of the snapshot in the cache, with all the files that are read from it.
pub(super) fn download(id: &HubId, wanted: Wanted, progress: Arc<dyn DownloadProgress>) -> Result<PathBuf, ModelError> {
    let client = HFClientSync::new().map_err(|error| failed(id, &error.to_string()))?;
    download_with(client, id, wanted, progress)
}

/// The directory of the snapshot in the cache, if it holds all the files that are read from it. Nothing is downloaded.
pub(super) fn cached(id: &HubId, wanted: Wanted) -> Result<Option<PathBuf>, ModelError> {
    let client = HFClientSync::new().map_err(|error| failed(id, &error.to_string()))?;
    Ok(cached_with(client, id, wanted))
}

fn cached_with(client: HFClientSync, id: &HubId, wanted: Wanted) -> Option<PathBuf> {
    let download = Download {
        name: id.repository(),
        repository: client.model(&id.owner, &id.name),
        wanted,
        progress: Arc::new(LogProgress::default()),
    };
    download.snapshot(id.revision.as_deref(), Access::CacheOnly).ok()
}

fn download_with(
    client: HFClientSync,
    id: &HubId,
    wanted: Wanted,
    progress: Arc<dyn DownloadProgress>,
) -> Result<PathBuf, ModelError> {
    let download = Download {
        name: id.repository(),
        repository: client.model(&id.owner, &id.name),
        wanted,
        progress,
    };
    let revision = id.revision.as_deref();
    let error = match download.snapshot(revision, Access::Network) {
        Ok(directory) => return Ok(directory),
        Err(error) => error,
    };
    if !is_unreachable(&error) {
        return Err(failed(id, &error.to_string()));
    }
    // Without a network, or with a hub that is down, what the cache holds is used.
    match download.snapshot(revision, Access::CacheOnly) {
        Ok(directory) => {
            tracing::warn!(model = id.repository(), %error, "the hub cannot be reached; using the cached checkpoint");
            Ok(directory)
        }
        Err(_) => Err(failed(
            id,
            &format!(
                "the hub cannot be reached and the cache does not hold this model ({error}); connect, or download it \
                 elsewhere and give the path of its directory"
            ),
        )),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Network,
    CacheOnly,
}

struct Download {
    name: String,
    repository: HFRepositorySync<RepoTypeModel>,
    wanted: Wanted,
    progress: Arc<dyn DownloadProgress>,
}

impl Download {
    fn snapshot(&self, revision: Option<&str>, access: Access) -> Result<PathBuf, HFError> {
        let config = match self.wanted {
            Wanted::Checkpoint => self.config(revision, access)?,
            Wanted::Adapter => self.file(adapter::CONFIG, revision, access)?,
        };
        let directory = config
            .parent()
            .map(PathBuf::from)
            .ok_or_else(|| HFError::Other(format!("{} is in no directory", config.display())))?;
        // The snapshot's directory is named by its commit. The other files come from the same one, even if the branch moves
        // on meanwhile.
        let commit = directory.file_name().and_then(|name| name.to_str()).map(str::to_string);
        let commit = commit.as_deref().or(revision);
        if self.wanted == Wanted::Adapter {
            self.file(adapter::TENSORS, commit, access)?;
            return Ok(directory);
        }
        for file in ["tokenizer.json", "preprocessor_config.json"] {
            self.optional_file(file, commit, access)?;
        }
        let weights = match self.optional_file("model.safetensors.index.json", commit, access)? {
            Some(index) => {
                weight_files::shards(&std::fs::read(index)?).map_err(|error| HFError::Other(error.to_string()))?
            }
            None => vec!["model.safetensors".to_string()],
        };
        for file in weights {
            self.file(&file, commit, access)?;
        }
        Ok(directory)
    }

    /// The file that every checkpoint has.
    fn config(&self, revision: Option<&str>, access: Access) -> Result<PathBuf, HFError> {
        let missing = match self.file("config.json", revision, access) {
            Err(error @ HFError::EntryNotFound { .. }) => error,
            other => return other,
        };
        match self.optional_file(adapter::CONFIG, revision, access)? {
            Some(config) => Err(HFError::Other(adapter::is_no_model(
                &self.name,
                &std::fs::read(config)?,
            ))),
            None => Err(missing),
        }
    }

    fn optional_file(&self, file: &str, revision: Option<&str>, access: Access) -> Result<Option<PathBuf>, HFError> {
        match self.file(file, revision, access) {
            Ok(path) => Ok(Some(path)),
            Err(HFError::EntryNotFound { .. } | HFError::LocalEntryNotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn file(&self, file: &str, revision: Option<&str>, access: Access) -> Result<PathBuf, HFError> {
        let progress = Forward {
            file: file.to_string(),
            progress: Arc::clone(&self.progress),
        };
        self.repository
            .download_file()
            .filename(file)
            .maybe_revision(revision.map(str::to_string))
            .local_files_only(access == Access::CacheOnly)
            .progress(Progress::new(progress))
            .send()
    }
}

fn is_unreachable(error: &HFError) -> bool {
    match error {
        HFError::Request { .. } => true,
        HFError::Http { context } => context.status.is_server_error(),
        _ => false,
    }
}

fn failed(id: &HubId, message: &str) -> ModelError {
    ModelError::Download {
        model: id.repository(),
        message: message.to_string(),
    }
}

/// Passes on what hf-hub tells of one file.
struct Forward {
    file: String,
    progress: Arc<dyn DownloadProgress>,
}

impl ProgressHandler for Forward {
    fn on_progress(&self, event: &ProgressEvent) {
        let ProgressEvent::Download(event) = event else { return };
        match event {
            DownloadEvent::Start { total_bytes, .. } => self.progress.bytes(&self.file, 0, *total_bytes),
            DownloadEvent::AggregateProgress {
                bytes_completed,
                total_bytes,
                ..
            } => {
                self.progress.bytes(&self.file, *bytes_completed, *total_bytes);
            }
            DownloadEvent::Progress { files } => {
                for file in files {
                    self.progress.bytes(&self.file, file.bytes_completed, file.total_bytes);
                }
            }
            DownloadEvent::Complete => tracing::debug!(file = self.file, "the file is in the cache"),
        }
    }
}

#[cfg(test)]
mod tests;
