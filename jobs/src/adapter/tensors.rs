//! safetensors files of tensors that are made one after the other.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Tensor};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use sightstream_model::encoder::DtypeChoice;

use crate::error::JobError;
use crate::whole::{failure, whole_file};

/// A tensor that is to be written. Its numbers are made when their turn comes.
pub(super) struct Planned<'a> {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// The numbers, little-endian.
    pub data: Box<dyn Fn() -> Result<Cow<'a, [u8]>, JobError> + 'a>,
}

impl Planned<'_> {
    /// Its bytes in a file.
    pub(super) fn size(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64 * self.dtype.bitsize() as u64 / 8
    }
}

/// A tensor of floats, as `dtype` or as it is.
///
/// # Errors
/// [`JobError::Config`] for a tensor of another type.
pub(super) fn planned(name: String, tensor: Tensor, dtype: Option<DtypeChoice>) -> Result<Planned<'static>, JobError> {
    let stored = match (dtype, tensor.dtype()) {
        (Some(choice), _) => stored(choice),
        (None, DType::F32) => Dtype::F32,
        (None, DType::F16) => Dtype::F16,
        (None, DType::BF16) => Dtype::BF16,
        (None, other) => {
            let message = format!(
                "the tensor `{name}` is of {}; f32, f16 and bf16 are written",
                other.as_str()
            );
            return Err(JobError::Config(message));
        }
    };
    let named = name.clone();
    Ok(Planned {
        name,
        dtype: stored,
        shape: tensor.dims().to_vec(),
        data: Box::new(move || bytes(&named, &tensor, stored).map(Cow::Owned)),
    })
}

/// The file's type of a choice.
pub(super) fn stored(choice: DtypeChoice) -> Dtype {
    match choice {
        DtypeChoice::F32 => Dtype::F32,
        DtypeChoice::F16 => Dtype::F16,
        DtypeChoice::Bf16 => Dtype::BF16,
    }
}

/// The numbers of `tensor` as `stored`.
///
/// # Errors
/// [`JobError::Config`] for numbers that f16 does not reach, [`JobError::Candle`] if the device fails.
pub(super) fn bytes(name: &str, tensor: &Tensor, stored: Dtype) -> Result<Vec<u8>, JobError> {
    let flat = |dtype| tensor.flatten_all()?.to_dtype(dtype);
    Ok(match stored {
        Dtype::F16 => {
            let numbers = flat(DType::F16)?.to_vec1::<f16>()?;
            if numbers.iter().any(|number| number.is_infinite()) {
                let message = format!("`{name}` has numbers beyond the 65504 of f16; write it as bf16 or f32");
                return Err(JobError::Config(message));
            }
            numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
        }
        Dtype::BF16 => {
            let numbers = flat(DType::BF16)?.to_vec1::<bf16>()?;
            numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
        }
        Dtype::F64 => {
            let numbers = flat(DType::F64)?.to_vec1::<f64>()?;
            numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
        }
        _ => {
            let numbers = flat(DType::F32)?.to_vec1::<f32>()?;
            numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
        }
    })
}

/// Writes one file.
///
/// # Errors
/// [`JobError::Config`] for a name that is there twice, what making a tensor returns, and [`JobError::Io`].
pub(super) fn write_file(path: &Path, tensors: &[Planned<'_>]) -> Result<(), JobError> {
    let mut names = HashSet::new();
    if let Some(twice) = tensors.iter().find(|tensor| !names.insert(&tensor.name)) {
        return Err(JobError::Config(format!("the tensor `{}` is there twice", twice.name)));
    }
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = end;
        end += tensor.size() as usize;
        let info = TensorInfo {
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            data_offsets: (start, end),
        };
        (tensor.name.clone(), info)
    });
    // transformers reads no file that does not say so.
    let format = HashMap::from([("format".to_string(), "pt".to_string())]);
    let header = Metadata::new(Some(format), infos.collect())
        .map_err(|error| error.to_string())
        .and_then(|metadata| serde_json::to_vec(&metadata).map_err(|error| error.to_string()))
        .map_err(|error| JobError::Config(format!("{}: {error}", path.display())))?;
    let failed = failure(path);
    whole_file(path, |file| {
        // Data starts at a multiple of eight bytes.
        let padding = header.len().next_multiple_of(8) - header.len();
        file.write_all(&((header.len() + padding) as u64).to_le_bytes())
            .map_err(&failed)?;
        file.write_all(&header).map_err(&failed)?;
        file.write_all(&[b' '; 8][..padding]).map_err(&failed)?;
        for tensor in tensors {
            let data = (tensor.data)()?;
            assert_eq!(
                data.len() as u64,
                tensor.size(),
                "`{}` is as long as planned",
                tensor.name
            );
            file.write_all(&data).map_err(&failed)?;
        }
        Ok(())
    })
}
