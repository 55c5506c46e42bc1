//! Where a checkpoint's files come from: a directory, the Hugging Face hub, or this program itself.
//!
//! A checkpoint is a Hugging Face Qwen2-VL directory: `config.json`, `tokenizer.json`, `preprocessor_config.json` and one or
//! many safetensors files. Weights are memory-mapped and read when the backbone copies them to its device. An adapter, if there
//! is one, is merged into each then.

mod adapter;
mod agreement;
mod demo;
mod fingerprint;
mod hub;
mod progress;
mod weight_files;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::ModelError;
pub use adapter::{Adapter, AdapterConfig};
pub use agreement::check_agreement;
pub(crate) use fingerprint::short_digest;
use hub::Wanted;
pub use progress::{DownloadProgress, LogProgress};
pub use weight_files::{WeightFile, WeightFiles};
pub(crate) use weight_files::{check_floats, read_floats};

/// The files of one checkpoint, found and readable. Cloning is cheap: the mapped weights are shared.
#[derive(Debug, Clone)]
pub struct CheckpointFiles {
    name: String,
    source: Source,
    weights: Arc<WeightFiles>,
    adapter: Option<Arc<Adapter>>,
}

#[derive(Debug, Clone)]
enum Source {
    /// Embedded in the binary.
    Demo,
    /// A directory, a hub snapshot in the cache included.
    Directory(PathBuf),
    /// Small files alone, by name.
    WithoutWeights(Arc<BTreeMap<String, Vec<u8>>>),
}

/// Where a checkpoint was found. It holds no file open.
#[derive(Debug, Clone)]
pub struct CheckpointPlace {
    /// Of the checkpoint alone.
    base: String,
    source: Source,
    /// The name and the directory of its adapter.
    adapter: Option<(String, PathBuf)>,
    /// Of both.
    name: String,
}

impl CheckpointPlace {
    /// As [`CheckpointFiles::name`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its files, as they are now.
    ///
    /// # Errors
    /// Those of [`CheckpointFiles::locate`] for a directory.
    pub fn open(&self) -> Result<CheckpointFiles, ModelError> {
        let files = match &self.source {
            Source::Demo => CheckpointFiles::locate(None),
            Source::Directory(directory) => CheckpointFiles::open(&self.base, directory),
            Source::WithoutWeights(small) => Ok(CheckpointFiles::of_small_files(&self.base, Arc::clone(small))),
        }?;
        match &self.adapter {
            Some((name, directory)) => files.with_adapter(Adapter::open(name, directory)?),
            None => Ok(files),
        }
    }
}

impl CheckpointFiles {
    /// Finds the checkpoint that `model` names.
    ///
    /// - `None`: the demo checkpoint that is part of this program (the real architecture at a small size).
    /// - An existing directory: its files.
    /// - `owner/name` or `owner/name@revision`: that model of the Hugging Face hub, downloaded into the usual cache
    ///   (`HF_HOME`, `HF_TOKEN` and the other usual variables apply). What is in the cache already is not downloaded
    ///   again, and without a network the cache alone is used. Progress goes to the log ([`LogProgress`]).
    ///
    /// Blocks while it downloads, and may be called inside an async runtime.
    ///
    /// # Errors
    /// [`ModelError::NotFound`] for a name that is none of these, [`ModelError::Download`] when the hub does not give the
    /// files, [`ModelError::Config`] when a weight file is missing or not safetensors.
    pub fn locate(model: Option<&str>) -> Result<Self, ModelError> {
        Self::locate_with_progress(model, Arc::new(LogProgress::default()))
    }

    /// Like [`CheckpointFiles::locate`], and tells `progress` how a download goes.
    ///
    /// # Errors
    /// Those of [`CheckpointFiles::locate`].
    pub fn locate_with_progress(model: Option<&str>, progress: Arc<dyn DownloadProgress>) -> Result<Self, ModelError> {
        let Some(model) = model else {
            let weights = Arc::new(WeightFiles::embedded(demo::WEIGHTS_FILE, demo::WEIGHTS)?);
            return Ok(Self {
                name: demo::NAME.to_string(),
                source: Source::Demo,
                weights,
                adapter: None,
            });
        };
        let path = Path::new(model);
        if path.is_dir() {
            return Self::open(model, path);
        }
        match hub::HubId::parse(model) {
            Some(id) => Self::open(model, &hub::download(&id, Wanted::Checkpoint, progress)?),
            None => Err(ModelError::NotFound {
                model: model.to_string(),
                message: "it is neither a directory nor a hub id; write the path of a Qwen2-VL directory, or \
                          `owner/name` or `owner/name@revision`"
                    .to_string(),
            }),
        }
    }

    /// Like [`CheckpointFiles::locate`], and never downloads: `None` for a model of the hub that the cache does not hold
    /// whole.
    ///
    /// # Errors
    /// Those of [`CheckpointFiles::locate`].
    pub fn locate_here(model: Option<&str>) -> Result<Option<Self>, ModelError> {
        let id = model
            .filter(|model| !Path::new(model).is_dir())
            .and_then(hub::HubId::parse);
        match (model, id) {
            (Some(model), Some(id)) => hub::cached(&id, Wanted::Checkpoint)?
                .map(|directory| Self::open(model, &directory))
                .transpose(),
            _ => Self::locate(model).map(Some),
        }
    }

    /// A checkpoint that has no weights yet, of its small files by name: what training from scratch begins with.
    pub fn without_weights(name: &str, small_files: BTreeMap<String, Vec<u8>>) -> Self {
        Self::of_small_files(name, Arc::new(small_files))
    }

    fn of_small_files(name: &str, small_files: Arc<BTreeMap<String, Vec<u8>>>) -> Self {
        Self {
            name: name.to_string(),
            source: Source::WithoutWeights(small_files),
            weights: Arc::new(WeightFiles::none()),
            adapter: None,
        }
    }

    fn open(name: &str, directory: &Path) -> Result<Self, ModelError> {
        if !directory.join("config.json").is_file() {
            let message = match std::fs::read(directory.join(adapter::CONFIG)) {
                Ok(config) => adapter::is_no_model(name, &config),
                Err(_) => "the directory has no config.json, so it is not a Hugging Face checkpoint".to_string(),
            };
            return Err(ModelError::NotFound {
                model: name.to_string(),
                message,
            });
        }
        let weights = Arc::new(WeightFiles::map(directory)?);
        Ok(Self {
            name: name.to_string(),
            source: Source::Directory(directory.to_path_buf()),
            weights,
            adapter: None,
        })
    }

    /// The checkpoint with the adapter that `adapter` names ([`Adapter::locate`]), which is merged into its weights when they are
    /// read; without a name as it is.
    ///
    /// # Errors
    /// Those of [`Adapter::locate`], and [`ModelError::Adapter`] for one that does not fit this checkpoint.
    pub fn adapted(self, adapter: Option<&str>) -> Result<Self, ModelError> {
        self.adapted_with_progress(adapter, Arc::new(LogProgress::default()))
    }

    /// Like [`CheckpointFiles::adapted`], and tells `progress` how a download goes.
    ///
    /// # Errors
    /// Those of [`CheckpointFiles::adapted`].
    pub fn adapted_with_progress(
        self,
        adapter: Option<&str>,
        progress: Arc<dyn DownloadProgress>,
    ) -> Result<Self, ModelError> {
        match adapter {
            Some(name) => self.with_adapter(Adapter::locate(name, progress)?),
            None => Ok(self),
        }
    }

    /// Like [`CheckpointFiles::adapted`], and never downloads: `None` for an adapter of the hub that the cache does not hold.
    ///
    /// # Errors
    /// Those of [`CheckpointFiles::adapted`].
    pub fn adapted_here(self, adapter: Option<&str>) -> Result<Option<Self>, ModelError> {
        match adapter {
            Some(name) => Adapter::locate_here(name)?
                .map(|adapter| self.with_adapter(adapter))
                .transpose(),
            None => Ok(Some(self)),
        }
    }

    /// The checkpoint with `adapter` in place of the one that it has.
    ///
    /// # Errors
    /// [`ModelError::Adapter`] for one that does not fit this checkpoint.
    pub fn with_adapter(self, adapter: Adapter) -> Result<Self, ModelError> {
        adapter.check(&self.weights)?;
        Ok(Self {
            adapter: Some(Arc::new(adapter)),
            ..self
        })
    }

    /// The adapter that is merged into what is read of the weights.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_deref()
    }

    /// Where they are.
    pub fn place(&self) -> CheckpointPlace {
        let adapter = self.adapter();
        CheckpointPlace {
            base: self.name.clone(),
            source: self.source.clone(),
            adapter: adapter.map(|adapter| (adapter.name().to_string(), adapter.directory().to_path_buf())),
            name: self.name().into_owned(),
        }
    }

    /// The name it was located by, `demo` for the one that is part of this program, and with an adapter `BASE + ADAPTER`.
    pub fn name(&self) -> Cow<'_, str> {
        match self.adapter() {
            Some(adapter) => Cow::Owned(format!("{} + {}", self.name, adapter.name())),
            None => Cow::Borrowed(&self.name),
        }
    }

    /// The content of one of the small files, such as `config.json`; `None` where the checkpoint has no such file.
    ///
    /// # Errors
    /// [`ModelError::Io`] if the file is there and cannot be read.
    pub fn read(&self, file: &str) -> Result<Option<Cow<'_, [u8]>>, ModelError> {
        match &self.source {
            Source::Demo => Ok(demo::read(file).map(Cow::Borrowed)),
            Source::WithoutWeights(small) => Ok(small.get(file).map(|content| Cow::Borrowed(content.as_slice()))),
            Source::Directory(directory) => {
                let path = directory.join(file);
                match std::fs::read(&path) {
                    Ok(bytes) => Ok(Some(Cow::Owned(bytes))),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    Err(source) => Err(ModelError::Io { path, source }),
                }
            }
        }
    }

    /// The content of a file that every checkpoint has.
    ///
    /// # Errors
    /// [`ModelError::Config`] if it is missing, [`ModelError::Io`] if it cannot be read.
    pub fn read_required(&self, file: &str) -> Result<Cow<'_, [u8]>, ModelError> {
        self.read(file)?.ok_or_else(|| ModelError::Config {
            file: file.to_string(),
            message: format!("the checkpoint `{}` has no such file", self.name),
        })
    }

    /// The weights as they are in the files, without the adapter.
    pub fn weights(&self) -> &WeightFiles {
        &self.weights
    }

    /// Twelve hexadecimal digits that two checkpoints share only if they give the same vectors.
    ///
    /// They are the start of a SHA-256 over the small files that matter (config, tokenizer, preprocessor) and, for each
    /// tensor in the order of the names, its name, type, shape and data: all of it up to 64 KiB, else 64 KiB in sixteen
    /// evenly spread pieces. So a checkpoint of many gigabytes takes milliseconds, how it is cut into files does not
    /// matter, and any training step (which moves every weight of a tensor) changes the digits. An adapter adds its tensors,
    /// and how strong it makes each.
    ///
    /// # Errors
    /// [`ModelError::Io`] if a file cannot be read.
    pub fn fingerprint(&self) -> Result<String, ModelError> {
        fingerprint::fingerprint(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_neither_a_directory_nor_a_hub_id_says_what_to_write() {
        for model in [
            "",
            "no-such-directory",
            "./no/such",
            "/no/such/directory",
            "a/b/c",
            "owner/",
            "owner/na me",
        ] {
            let error = CheckpointFiles::locate(Some(model)).expect_err(model);
            assert!(matches!(error, ModelError::NotFound { .. }), "{model}: {error}");
            assert!(error.to_string().contains("owner/name@revision"), "{model}: {error}");
        }
    }

    #[test]
    fn a_directory_without_config_or_with_an_adapter_says_so() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let name = directory.path().to_str().expect("UTF-8");
        let error = CheckpointFiles::locate(Some(name)).expect_err("empty");
        assert!(error.to_string().contains("no config.json"), "{error}");
        for (config, base) in [
            ("{}", "--model BASE"),
            (r#"{"base_model_name_or_path": "o/n"}"#, "--model o/n"),
        ] {
            std::fs::write(directory.path().join("adapter_config.json"), config).expect("written");
            let error = CheckpointFiles::locate(Some(name)).expect_err("an adapter").to_string();
            assert!(error.contains(&format!("{base} --adapter {name}")), "{error}");
        }
    }

    #[test]
    fn the_demo_checkpoint_is_whole() {
        let files = CheckpointFiles::locate(None).expect("part of the program");
        for file in ["config.json", "tokenizer.json", "preprocessor_config.json"] {
            assert!(!files.read_required(file).expect(file).is_empty(), "{file}");
        }
        assert!(files.read("no_such_file.json").expect("readable").is_none());
        assert_eq!(files.fingerprint().expect("hashed").len(), 12);
    }
}
