//! One checkpoint on one device: a batch of prepared inputs in, unit vectors out.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use candle_core::{DType, Device, DeviceLocation};
use sha2::{Digest, Sha256};

use crate::backbone::{Backbone, Config, Rows};
use crate::checkpoint::{CheckpointFiles, CheckpointPlace, check_agreement, short_digest};
use crate::error::ModelError;
use crate::pooling::l2_normalize;
use crate::processor::{ModelInput, Processor, ProcessorConfig, ProcessorOverrides};

/// Where to compute. As text: `auto`, `cpu`, `cuda` (the first GPU) or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first GPU where this build and this machine have one, else the CPU.
    #[default]
    Auto,
    /// All cores of the CPU.
    Cpu,
    /// The GPU with this number. Needs a build with the `cuda` feature.
    Cuda(usize),
}

/// In which type weights are kept and computed with. As text: `f32`, `f16` or `bf16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtypeChoice {
    /// 32 bits; the reference's vectors. The default on the CPU.
    F32,
    /// 16 bits, 10 of them precision.
    F16,
    /// 16 bits, 7 of them precision, the range of f32. The default on a GPU.
    Bf16,
}

/// What to load, and how.
#[derive(Debug, Clone, Default)]
pub struct EncoderOptions {
    /// The checkpoint, as [`CheckpointFiles::locate`] reads it; `None` is the demo checkpoint.
    pub model: Option<String>,
    /// An adapter that is merged into its weights, as [`CheckpointFiles::adapted`] reads it.
    pub adapter: Option<String>,
    /// Where to compute.
    pub device: DeviceChoice,
    /// In which type; `None` is f32 on the CPU and bf16 on a GPU.
    pub dtype: Option<DtypeChoice>,
    /// Fewest pixels of a resized image, in place of the checkpoint's.
    pub min_pixels: Option<u32>,
    /// Most pixels of a resized image, in place of the checkpoint's.
    pub max_pixels: Option<u32>,
}

/// A loaded checkpoint.
#[derive(Debug)]
pub struct Encoder {
    backbone: Backbone,
    processor: Arc<Processor>,
    fingerprint: String,
    model_name: String,
    origin: (CheckpointPlace, EncoderOptions),
}

/// What an encoder needs beside its weights.
pub(crate) struct Prepared {
    pub processor: Arc<Processor>,
    pub config: Config,
    pub dtype: DType,
    pub device: Device,
    pub fingerprint: String,
}

impl Encoder {
    /// Finds the checkpoint and its adapter (and downloads them if it must), and copies the weights to the device.
    ///
    /// # Errors
    /// [`ModelError`], naming the file, tensor, field or option at fault.
    pub fn load(options: &EncoderOptions) -> Result<Self, ModelError> {
        let files = CheckpointFiles::locate(options.model.as_deref())?.adapted(options.adapter.as_deref())?;
        Self::load_files(&files, options)
    }

    /// Like [`Encoder::load`], with files that are found already, their adapter among them; `options.model` and
    /// `options.adapter` are not looked at.
    ///
    /// # Errors
    /// [`ModelError`], naming the file, tensor, field or option at fault.
    pub fn load_files(files: &CheckpointFiles, options: &EncoderOptions) -> Result<Self, ModelError> {
        Self::load_prepared(files, options, Self::prepare(files, options)?)
    }

    /// Loads the weights, after all that [`Encoder::prepare`] does with the same files and options.
    pub(crate) fn load_prepared(
        files: &CheckpointFiles,
        options: &EncoderOptions,
        prepared: Prepared,
    ) -> Result<Self, ModelError> {
        let Prepared {
            processor,
            config,
            dtype,
            device,
            fingerprint,
        } = prepared;
        let backbone = Backbone::load(files, config, dtype, &device)?;
        tracing::info!(
            model = %files.name(),
            fingerprint,
            device = ?device.location(),
            dtype = dtype.as_str(),
            dimension = backbone.config().text.hidden_size,
            "encoder loaded"
        );
        Ok(Self {
            backbone,
            processor,
            fingerprint,
            model_name: files.name().into_owned(),
            origin: (files.place(), settled(options, &device, dtype)),
        })
    }

    /// All but the weights.
    pub(crate) fn prepare(files: &CheckpointFiles, options: &EncoderOptions) -> Result<Prepared, ModelError> {
        let device = options.device.open()?;
        let dtype = match options.dtype {
            Some(DtypeChoice::F32) => DType::F32,
            Some(DtypeChoice::F16) => DType::F16,
            Some(DtypeChoice::Bf16) => DType::BF16,
            None if device.is_cpu() => DType::F32,
            None => DType::BF16,
        };
        let overrides = ProcessorOverrides {
            min_pixels: options.min_pixels,
            max_pixels: options.max_pixels,
        };
        let processor = Arc::new(Processor::load(files, &overrides)?);
        let config = Config::from_json(&files.read_required("config.json")?)?;
        check_agreement(files, &config, processor.config())?;
        Ok(Prepared {
            fingerprint: fingerprint(files, processor.config())?,
            processor,
            config,
            dtype,
            device,
        })
    }

    /// One unit vector of [`Encoder::dimension`] numbers for each input, in their order.
    ///
    /// Inputs of any modality and length go together: they are packed one after the other, so none pays for another's
    /// length and none changes another's vector (beyond the last bits, which depend on how products are split).
    ///
    /// # Errors
    /// [`ModelError::Input`] for an input that does not fit the checkpoint, [`ModelError::Candle`] if the device fails.
    pub fn encode(&self, inputs: &[ModelInput]) -> Result<Vec<Vec<f32>>, ModelError> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        // Neighbours of one length share their products.
        let mut order: Vec<usize> = (0..inputs.len()).collect();
        order.sort_by_key(|&place| inputs[place].tokens());
        let sorted: Vec<&ModelInput> = order.iter().map(|&place| &inputs[place]).collect();
        let states = self.backbone.hidden_states(&sorted, Rows::Last);
        let states = states.map_err(|error| match error {
            ModelError::Input { index, message } => ModelError::Input {
                index: order[index],
                message,
            },
            other => other,
        })?;
        let mut vectors = vec![Vec::new(); inputs.len()];
        for (place, vector) in order.into_iter().zip(l2_normalize(&states)?.to_vec2()?) {
            vectors[place] = vector;
        }
        Ok(vectors)
    }

    /// The length of every vector: the language model's hidden size.
    pub fn dimension(&self) -> usize {
        self.backbone.config().text.hidden_size
    }

    /// Twelve hexadecimal digits that two encoders share only if they give the same vectors (up to rounding: the device and
    /// the dtype are not part of it). That of the checkpoint ([`CheckpointFiles::fingerprint`]), and another one where
    /// pixel limits are set that are not the checkpoint's own.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Where it computes: `cpu`, `cuda:0`.
    pub fn device(&self) -> String {
        device_name(self.backbone.device())
    }

    /// The checkpoint's name, for people.
    pub fn model_name(&self) -> &str {
        &self.model_name
    }

    /// What makes the inputs of this checkpoint.
    pub fn processor(&self) -> Arc<Processor> {
        Arc::clone(&self.processor)
    }

    /// Where it was loaded from, and how, to load it again.
    pub(crate) fn origin(&self) -> (&CheckpointPlace, &EncoderOptions) {
        (&self.origin.0, &self.origin.1)
    }

    /// How it was loaded, with the device and the type that it has where they were left open: what is loaded again with these
    /// gives vectors of one kind with its own, or fails.
    pub fn options(&self) -> &EncoderOptions {
        &self.origin.1
    }

    /// The towers, for tests of their parts.
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }
}

/// `options` with what was left open as it was found.
fn settled(options: &EncoderOptions, device: &Device, dtype: DType) -> EncoderOptions {
    EncoderOptions {
        device: match device.location() {
            DeviceLocation::Cpu => DeviceChoice::Cpu,
            DeviceLocation::Cuda { gpu_id } => DeviceChoice::Cuda(gpu_id),
            // No choice names one.
            DeviceLocation::Metal { .. } => options.device,
        },
        dtype: match dtype {
            DType::F32 => Some(DtypeChoice::F32),
            DType::F16 => Some(DtypeChoice::F16),
            DType::BF16 => Some(DtypeChoice::Bf16),
            // No choice names another.
            _ => options.dtype,
        },
        ..options.clone()
    }
}

fn fingerprint(files: &CheckpointFiles, effective: &ProcessorConfig) -> Result<String, ModelError> {
    let checkpoint = files.fingerprint()?;
    let own = files.read("preprocessor_config.json")?;
    let own = ProcessorConfig::read(own.as_deref(), &ProcessorOverrides::default());
    // A checkpoint's own limits may be no pair that holds together until one is set: that pair is another one then.
    if own.is_ok_and(|own| own == *effective) {
        return Ok(checkpoint);
    }
    let limits = format!(
        "{checkpoint} min_pixels={} max_pixels={}",
        effective.min_pixels, effective.max_pixels
    );
    Ok(short_digest(Sha256::new().chain_update(limits)))
}

/// The device as [`DeviceChoice`] names it.
pub(crate) fn device_name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cpu => "cpu".to_string(),
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

impl DeviceChoice {
    /// The device that is meant.
    ///
    /// # Errors
    /// [`ModelError::Device`] for one that this build or this machine does not have.
    pub fn open(self) -> Result<Device, ModelError> {
        let cuda = |ordinal| {
            if !candle_core::utils::cuda_is_available() {
                return Err(ModelError::Device(
                    "this build has no GPU support; build it with `--features cuda`, or choose `cpu`".to_string(),
                ));
            }
            Device::new_cuda(ordinal)
                .map_err(|error| ModelError::Device(format!("cuda:{ordinal} cannot be used: {error}")))
        };
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(ordinal) => cuda(ordinal),
            Self::Auto if candle_core::utils::cuda_is_available() => cuda(0).or_else(|error| {
                tracing::warn!(%error, "computing on the CPU");
                Ok(Device::Cpu)
            }),
            Self::Auto => Ok(Device::Cpu),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| ModelError::Option {
                    option: "device".to_string(),
                    message: format!("`{text}` is no device; write auto, cpu, cuda or cuda:N"),
                }),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for DtypeChoice {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "bf16" => Ok(Self::Bf16),
            _ => Err(ModelError::Option {
                option: "dtype".to_string(),
                message: format!("`{text}` is no dtype; write f32, f16 or bf16"),
            }),
        }
    }
}

impl fmt::Display for DtypeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_dtypes_read_back_what_they_write() {
        for device in [
            DeviceChoice::Auto,
            DeviceChoice::Cpu,
            DeviceChoice::Cuda(0),
            DeviceChoice::Cuda(3),
        ] {
            assert_eq!(device.to_string().parse::<DeviceChoice>().expect("valid"), device);
        }
        for dtype in [DtypeChoice::F32, DtypeChoice::F16, DtypeChoice::Bf16] {
            assert_eq!(dtype.to_string().parse::<DtypeChoice>().expect("valid"), dtype);
        }
        assert!(
            "gpu"
                .parse::<DeviceChoice>()
                .expect_err("no device")
                .to_string()
                .contains("cuda:N")
        );
        assert!(
            "int8"
                .parse::<DtypeChoice>()
                .expect_err("no dtype")
                .to_string()
                .contains("bf16")
        );
    }

    #[test]
    fn what_was_left_open_is_settled_when_it_is_loaded() {
        let encoder = Encoder::load(&EncoderOptions {
            min_pixels: Some(3136),
            ..EncoderOptions::default()
        });
        let encoder = encoder.expect("the demo checkpoint is built in");
        let settled = encoder.options();
        assert_eq!(settled.device.to_string(), encoder.device());
        let dtype = match settled.device {
            DeviceChoice::Cpu => DtypeChoice::F32,
            DeviceChoice::Auto | DeviceChoice::Cuda(_) => DtypeChoice::Bf16,
        };
        assert_eq!((settled.dtype, settled.min_pixels), (Some(dtype), Some(3136)));
    }
}
