//! What can be told of a checkpoint without loading it.

use crate::backbone::Backbone;
use crate::checkpoint::CheckpointFiles;
use crate::encoder::{Encoder, EncoderOptions, Prepared, device_name};
use crate::error::ModelError;

/// A checkpoint that has all that an encoder needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The name it was located by.
    pub name: String,
    /// The length of its vectors.
    pub dimension: usize,
    /// As [`Encoder::fingerprint`].
    pub fingerprint: String,
    /// Numbers in its weights.
    pub parameters: u64,
    /// Bytes of its weights in the type that they are computed with.
    pub weight_bytes: u64,
    /// Where it would be computed: `cpu`, `cuda:0`.
    pub device: String,
    /// The type that it would be computed with: `f32`, `bf16`, `f16`.
    pub dtype: &'static str,
}

impl Inspection {
    /// Looks at all files of the checkpoint, its tensors' names, types and shapes among it, and opens the device. No weight is
    /// copied.
    ///
    /// # Errors
    /// Those of [`Encoder::load_files`].
    pub fn of(files: &CheckpointFiles, options: &EncoderOptions) -> Result<Self, ModelError> {
        let Prepared {
            config,
            dtype,
            device,
            fingerprint,
            ..
        } = Encoder::prepare(files, options)?;
        let dimension = config.text.hidden_size;
        Backbone::fits(files, config, dtype)?;
        let parameters = files
            .weights()
            .tensors()
            .map(|(_, info, _)| info.shape.iter().map(|&size| size as u64).product::<u64>())
            .sum();
        Ok(Self {
            name: files.name().into_owned(),
            dimension,
            fingerprint,
            parameters,
            weight_bytes: parameters * dtype.size_in_bytes() as u64,
            device: device_name(&device),
            dtype: dtype.as_str(),
        })
    }
}
