//! The safetensors files of a checkpoint, mapped into memory or embedded in the binary.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs::File;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use memmap2::Mmap;
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::Deserialize;

use crate::error::ModelError;

/// The one file of a checkpoint that is not cut into shards.
const SINGLE: &str = "model.safetensors";

/// Names the shard of each tensor.
const INDEX: &str = "model.safetensors.index.json";

/// All weight files of one checkpoint.
#[derive(Debug)]
pub struct WeightFiles {
    files: Vec<WeightFile>,
}

/// One safetensors file with its header read.
pub struct WeightFile {
    name: String,
    bytes: Bytes,
    tensors: HashMap<String, TensorInfo>,
    /// Where the tensors' data starts in `bytes`.
    data_start: usize,
}

enum Bytes {
    Mapped(Mmap),
    Embedded(&'static [u8]),
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: HashMap<String, String>,
}

impl WeightFiles {
    /// No file at all.
    pub(super) fn none() -> Self {
        Self { files: Vec::new() }
    }

    /// Maps the file or the shards of a directory.
    pub(super) fn map(directory: &Path) -> Result<Self, ModelError> {
        let names = match read_index(directory)? {
            Some(shards) => shards,
            None => vec![SINGLE.to_string()],
        };
        let files = names
            .into_iter()
            .map(|name| WeightFile::map(directory, name))
            .collect::<Result<_, _>>()?;
        Ok(Self { files })
    }

    /// One file that is part of the program.
    pub(super) fn embedded(name: &str, bytes: &'static [u8]) -> Result<Self, ModelError> {
        Ok(Self {
            files: vec![WeightFile::new(name.to_string(), Bytes::Embedded(bytes))?],
        })
    }

    /// A tensor's description and its raw little-endian data.
    pub fn tensor(&self, name: &str) -> Option<(&TensorInfo, &[u8])> {
        self.files.iter().find_map(|file| file.tensor(name))
    }

    /// Every tensor: its name, description and raw data.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo, &[u8])> {
        self.files.iter().flat_map(WeightFile::tensors)
    }

    /// The names of the files, for messages: `model.safetensors`, or the first and the last shard.
    pub fn describe(&self) -> String {
        match self.files.as_slice() {
            [] => "no file".to_string(),
            [only] => only.name.clone(),
            [first, .., last] => format!("{} … {}", first.name, last.name),
        }
    }
}

impl WeightFile {
    pub(super) fn map(directory: &Path, name: String) -> Result<Self, ModelError> {
        let path = directory.join(&name);
        let io = |source| ModelError::Io {
            path: path.clone(),
            source,
        };
        let file = File::open(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => ModelError::Config {
                file: path.display().to_string(),
                message: "the checkpoint lacks this weight file (weights are read from safetensors only)".to_string(),
            },
            _ => io(source),
        })?;
        // SAFETY: the mapping is read-only and private to this value. Should another program cut the file short while
        // it is mapped, reading would fault; checkpoints are written once (the hub's cache by rename), as every loader
        // of safetensors relies on.
        let mapped = unsafe { Mmap::map(&file) }.map_err(io)?;
        Self::new(name, Bytes::Mapped(mapped))
    }

    fn new(name: String, bytes: Bytes) -> Result<Self, ModelError> {
        let (header, metadata) =
            safetensors::SafeTensors::read_metadata(bytes.as_slice()).map_err(|error| ModelError::Config {
                file: name.clone(),
                message: format!("not a safetensors file, or an incomplete one: {error}"),
            })?;
        let tensors = metadata
            .tensors()
            .into_iter()
            .map(|(name, info)| (name, info.clone()))
            .collect();
        // Eight bytes say how long the header is, then the header, then the data.
        Ok(Self {
            name,
            bytes,
            tensors,
            data_start: 8 + header,
        })
    }

    /// A tensor's description and its raw little-endian data.
    pub(super) fn tensor(&self, name: &str) -> Option<(&TensorInfo, &[u8])> {
        self.tensors.get(name).map(|info| (info, self.data(info)))
    }

    /// Every tensor: its name, description and raw data.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo, &[u8])> {
        self.tensors
            .iter()
            .map(|(name, info)| (name.as_str(), info, self.data(info)))
    }

    /// `read_metadata` has checked that every tensor's range lies within the file.
    fn data(&self, info: &TensorInfo) -> &[u8] {
        let (start, end) = info.data_offsets;
        &self.bytes.as_slice()[self.data_start + start..self.data_start + end]
    }
}

impl fmt::Debug for WeightFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeightFile")
            .field("name", &self.name)
            .field("tensors", &self.tensors.len())
            .finish()
    }
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(mapped) => mapped,
            Self::Embedded(bytes) => bytes,
        }
    }
}

/// A tensor of floats as it is stored, on `device`. `file` is named where it is none.
///
/// # Errors
/// [`ModelError::Config`] if its type is not a float, [`ModelError::Candle`] if the device fails.
pub(crate) fn read_floats(
    file: &str,
    name: &str,
    info: &TensorInfo,
    data: &[u8],
    device: &Device,
) -> Result<Tensor, ModelError> {
    let stored = check_floats(file, name, info)?;
    Ok(Tensor::from_raw_buffer(data, stored, &info.shape, device)?)
}

/// The type of a tensor of floats.
///
/// # Errors
/// [`ModelError::Config`] if it is of another type.
pub(crate) fn check_floats(file: &str, name: &str, info: &TensorInfo) -> Result<DType, ModelError> {
    match info.dtype {
        Dtype::F32 => Ok(DType::F32),
        Dtype::F16 => Ok(DType::F16),
        Dtype::BF16 => Ok(DType::BF16),
        Dtype::F64 => Ok(DType::F64),
        other => Err(ModelError::Config {
            file: file.to_string(),
            message: format!("the tensor `{name}` is stored as {other:?}; f32, bf16 and f16 are read"),
        }),
    }
}

/// The shards that the directory's index names, in the order of their names; `None` without an index.
fn read_index(directory: &Path) -> Result<Option<Vec<String>>, ModelError> {
    let path = directory.join(INDEX);
    match std::fs::read(&path) {
        Ok(bytes) => shards(&bytes).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ModelError::Io { path, source }),
    }
}

/// The names of the shards in an index, each once.
pub(super) fn shards(index: &[u8]) -> Result<Vec<String>, ModelError> {
    let broken = |message| ModelError::Config {
        file: INDEX.to_string(),
        message,
    };
    let index: ShardIndex = serde_json::from_slice(index).map_err(|error| broken(error.to_string()))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    // A shard is a file beside the index; nothing else may be named.
    if let Some(name) = shards
        .iter()
        .find(|name| name.contains(['/', '\\']) || !name.ends_with(".safetensors"))
    {
        return Err(broken(format!(
            "`{name}` is not the name of a safetensors file of this directory"
        )));
    }
    if shards.is_empty() {
        return Err(broken("`weight_map` is empty".to_string()));
    }
    Ok(shards.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_gives_each_shard_once_and_names_no_other_place() {
        let index =
            br#"{"metadata": {}, "weight_map": {"b": "2.safetensors", "a": "1.safetensors", "c": "2.safetensors"}}"#;
        assert_eq!(shards(index).expect("valid"), ["1.safetensors", "2.safetensors"]);
        for broken in [
            r#"{"weight_map": {"a": "../x.safetensors"}}"#,
            r#"{"weight_map": {}}"#,
            "[]",
        ] {
            assert!(
                matches!(shards(broken.as_bytes()), Err(ModelError::Config { .. })),
                "{broken}"
            );
        }
    }

    #[test]
    fn a_file_that_is_not_safetensors_is_named() {
        let error = WeightFiles::embedded("model.safetensors", b"not a header at all").expect_err("broken");
        assert!(
            error
                .to_string()
                .starts_with("model.safetensors: not a safetensors file"),
            "{error}"
        );
    }
}
