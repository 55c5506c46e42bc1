//! Whole checkpoints.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde_json::{Map, Value, json};
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::encoder::DtypeChoice;
use sightstream_model::processor::ProcessorOverrides;

use super::tensors::{Planned, bytes, planned, stored, write_file};
use crate::error::JobError;
use crate::whole::{self, failure, whole_directory};

/// The one file of weights that are not cut into shards.
const SINGLE: &str = "model.safetensors";

/// Names the shard of each tensor.
const INDEX: &str = "model.safetensors.index.json";

/// The file without which a directory is no checkpoint.
const CONFIG: &str = "config.json";

/// Says how images become patches.
const PREPROCESSOR: &str = "preprocessor_config.json";

/// What else a checkpoint may have, for this program or others.
const SMALL_FILES: [&str; 11] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.json",
    "chat_template.jinja",
];

/// How a checkpoint is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointOptions {
    /// The type of every tensor; `None` is each tensor's own.
    pub dtype: Option<DtypeChoice>,
    /// Weights are cut into files of at most so many bytes, or of one tensor that is larger.
    pub shard_bytes: u64,
    /// How large the images are that the weights were trained with, where that is not what the checkpoint says.
    pub pixels: ProcessorOverrides,
}

impl Default for CheckpointOptions {
    /// Types and sizes of images as they are, and files of 5 GB as transformers makes them.
    fn default() -> Self {
        Self {
            dtype: None,
            shard_bytes: 5_000_000_000,
            pixels: ProcessorOverrides::default(),
        }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Tensors.
    pub tensors: usize,
    /// Those among them that an adapter was merged into.
    pub merged: usize,
    /// Bytes of all weights.
    pub bytes: u64,
    /// Files of weights.
    pub files: usize,
}

/// Writes `tensors`, under the names that they have, and the small files of `base` into `directory`, which is made if it is not
/// there. `config.json` comes last.
///
/// # Errors
/// [`JobError::Config`] for a tensor that cannot be written as asked, or weights that lie there in another number of files;
/// [`JobError::Candle`] if the device fails; [`JobError::Model`] and [`JobError::Io`] for files that cannot be read or written.
pub fn write_checkpoint(
    directory: &Path,
    base: &CheckpointFiles,
    tensors: impl IntoIterator<Item = (String, Tensor)>,
    options: &CheckpointOptions,
) -> Result<Written, JobError> {
    let tensors = tensors.into_iter();
    let parts = tensors.map(|(name, tensor)| planned(name, tensor, options.dtype));
    let parts: Vec<_> = parts.collect::<Result<_, _>>()?;
    let tensors = parts.len();
    write(directory, base, parts, options).map(|(bytes, files)| Written {
        tensors,
        merged: 0,
        bytes,
        files,
    })
}

/// Writes the weights of `files` with their adapter in them, under the names and, where no other is chosen, in the types that they
/// have, and the small files beside them. One tensor at a time is in memory. `directory` must not be there, or be empty.
///
/// # Errors
/// As [`write_checkpoint`], and [`JobError::Config`] for a directory that holds something already.
pub fn merge(directory: &Path, files: &CheckpointFiles, options: &CheckpointOptions) -> Result<Written, JobError> {
    let mut parts = Vec::new();
    let mut merged = 0;
    for (name, info, data) in files.weights().tensors() {
        let changed = files.adapter().is_some_and(|adapter| adapter.changes(name));
        merged += usize::from(changed);
        parts.push(of_file(files, name, info, data, changed, options.dtype)?);
    }
    let tensors = parts.len();
    let (bytes, files) = whole_directory(directory, |aside| write(aside, files, parts, options))?;
    Ok(Written {
        tensors,
        merged,
        bytes,
        files,
    })
}

/// A tensor of a checkpoint's files, copied where nothing changes it.
fn of_file<'a>(
    files: &'a CheckpointFiles,
    name: &'a str,
    info: &'a TensorInfo,
    data: &'a [u8],
    changed: bool,
    dtype: Option<DtypeChoice>,
) -> Result<Planned<'a>, JobError> {
    let float = match info.dtype {
        Dtype::F32 => Some(DType::F32),
        Dtype::F16 => Some(DType::F16),
        Dtype::BF16 => Some(DType::BF16),
        Dtype::F64 => Some(DType::F64),
        _ => None,
    };
    // What is not of floats is no weight, and stays as it is.
    let wanted = match (float, dtype) {
        (Some(_), Some(dtype)) => stored(dtype),
        _ => info.dtype,
    };
    let copied = !changed && wanted == info.dtype;
    let stored = float.filter(|_| !copied);
    Ok(Planned {
        name: name.to_string(),
        dtype: wanted,
        shape: info.shape.clone(),
        data: Box::new(move || {
            let Some(stored) = stored else {
                return Ok(Cow::Borrowed(data));
            };
            let tensor = Tensor::from_raw_buffer(data, stored, &info.shape, &Device::Cpu)?;
            let merged = match files.adapter() {
                Some(adapter) => adapter.merge(name, &tensor)?,
                None => None,
            };
            bytes(name, &merged.unwrap_or(tensor), wanted).map(Cow::Owned)
        }),
    })
}

/// Writes weights and small files. Gives the bytes of the weights, and in how many files they are.
fn write(
    directory: &Path,
    base: &CheckpointFiles,
    mut parts: Vec<Planned<'_>>,
    options: &CheckpointOptions,
) -> Result<(u64, usize), JobError> {
    fs::create_dir_all(directory).map_err(failure(directory))?;
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    let total: u64 = parts.iter().map(Planned::size).sum();
    let shards = shards(parts, options.shard_bytes);
    let (ours, other) = if shards.len() == 1 {
        (SINGLE, INDEX)
    } else {
        (INDEX, SINGLE)
    };
    if directory.join(other).exists() {
        let message = format!(
            "{}: {other} of another checkpoint lies there; remove it first",
            directory.display()
        );
        return Err(JobError::Config(message));
    }
    let mut weight_map = BTreeMap::new();
    for (shard, number) in shards.iter().zip(1..) {
        let file = match ours {
            SINGLE => SINGLE.to_string(),
            _ => format!("model-{number:05}-of-{:05}.safetensors", shards.len()),
        };
        write_file(&directory.join(&file), shard)?;
        weight_map.extend(shard.iter().map(|tensor| (tensor.name.clone(), file.clone())));
    }
    if ours == INDEX {
        let index = json!({"metadata": {"total_size": total}, "weight_map": weight_map});
        write_small(directory, INDEX, &pretty(&index))?;
    }
    for file in SMALL_FILES {
        if let Some(content) = base.read(file)? {
            write_small(directory, file, &content)?;
        }
    }
    if let Some(content) = preprocessor(base.read(PREPROCESSOR)?.as_deref(), options.pixels)? {
        write_small(directory, PREPROCESSOR, &content)?;
    }
    let config = base.read_required(CONFIG)?;
    match options.dtype {
        Some(dtype) => write_small(directory, CONFIG, &retyped(&config, dtype)?)?,
        None => write_small(directory, CONFIG, &config)?,
    }
    Ok((total, shards.len()))
}

/// Cuts tensors into files of at most `most` bytes. At least one.
fn shards(parts: Vec<Planned<'_>>, most: u64) -> Vec<Vec<Planned<'_>>> {
    let (mut shards, mut filled) = (vec![Vec::new()], 0);
    for part in parts {
        let size = part.size();
        let last = shards.last_mut().expect("there is one from the beginning");
        if filled + size > most && !last.is_empty() {
            shards.push(vec![part]);
            filled = size;
        } else {
            last.push(part);
            filled += size;
        }
    }
    shards
}

/// `config.json` with the type that the weights have now, which is what transformers loads them as.
fn retyped(config: &[u8], dtype: DtypeChoice) -> Result<Vec<u8>, JobError> {
    let mut config: Value =
        serde_json::from_slice(config).map_err(|error| JobError::Config(format!("{CONFIG}: {error}")))?;
    let name = match dtype {
        DtypeChoice::F32 => "float32",
        DtypeChoice::F16 => "float16",
        DtypeChoice::Bf16 => "bfloat16",
    };
    for part in ["", "/text_config", "/vision_config"] {
        let Some(fields) = config.pointer_mut(part).and_then(Value::as_object_mut) else {
            continue;
        };
        for field in ["torch_dtype", "dtype"] {
            if let Some(value) = fields.get_mut(field) {
                *value = name.into();
            }
        }
    }
    Ok(pretty(&config))
}

/// `preprocessor_config.json` with these limits, under the names that older and newer transformers read them by.
fn preprocessor(content: Option<&[u8]>, pixels: ProcessorOverrides) -> Result<Option<Vec<u8>>, JobError> {
    let limits = [
        ("min_pixels", "shortest_edge", pixels.min_pixels),
        ("max_pixels", "longest_edge", pixels.max_pixels),
    ];
    if limits.iter().all(|(.., limit)| limit.is_none()) {
        return Ok(content.map(<[u8]>::to_vec));
    }
    let mut config: Map<String, Value> = serde_json::from_slice(content.unwrap_or(b"{}"))
        .map_err(|error| JobError::Config(format!("{PREPROCESSOR}: {error}")))?;
    for (name, edge, limit) in limits {
        let Some(limit) = limit else { continue };
        config.insert(name.to_string(), limit.into());
        if let Some(value) = config.get_mut("size").and_then(|size| size.get_mut(edge)) {
            *value = limit.into();
        }
    }
    Ok(Some(pretty(&config.into())))
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

fn write_small(directory: &Path, file: &str, content: &[u8]) -> Result<(), JobError> {
    whole::write(&directory.join(file), content)
}
