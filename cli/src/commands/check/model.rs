//! What can be told of the model without loading it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::Context;
use sightstream_connectors::VectorSpace;
use sightstream_connectors::probe::Level;
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::error::ModelError;
use sightstream_model::fetch::Fetcher;
use sightstream_model::inspect::Inspection;
use sightstream_settings::DecoderChoice;

use crate::args::EncoderArgs;
use crate::encoder::check_memory_limit;
use crate::memory::{Records, mebibytes};

/// What is so.
type Facts = Vec<(Level, String)>;

/// Looks at the model that `encoder` names, and gives the space of its vectors if it can be used. `records` is what the job
/// holds besides.
pub async fn look(encoder: &EncoderArgs, records: Records) -> anyhow::Result<(Facts, Option<VectorSpace>)> {
    let options = encoder.encoder_options();
    let inspected = tokio::task::spawn_blocking(move || -> Result<Option<Inspection>, ModelError> {
        let files = CheckpointFiles::locate_here(options.model.as_deref())?;
        let files = files.map(|files| files.adapted_here(options.adapter.as_deref()));
        let files = files.transpose()?.flatten();
        files.map(|files| Inspection::of(&files, &options)).transpose()
    })
    .await
    .context("looking at the model ended early")?;
    let model = encoder.model.as_deref().unwrap_or("demo");
    let name = match &encoder.adapter {
        Some(adapter) => format!("{model} + {adapter}"),
        None => model.to_string(),
    };
    Ok(match inspected {
        Ok(Some(mut found)) => {
            let of_parts = encoder.segmentation.segmentation().fingerprint(&found.fingerprint);
            found.fingerprint = encoder.merge.unwrap_or_default().fingerprint(&of_parts);
            let mut facts = vec![(Level::Ok, described(&found)), memory(&found)];
            let weights = if found.device == "cpu" { found.weight_bytes } else { 0 };
            facts.extend(memory_limit(encoder, Some(weights), records));
            let space = VectorSpace {
                dimension: found.dimension,
                model: found.name,
                fingerprint: found.fingerprint,
            };
            (facts, Some(space))
        }
        Ok(None) => {
            let message = format!(
                "model {name}: it is not (or not wholly) in the cache of the Hugging Face hub: `run` will download it \
                 first; what it gives is not known before that"
            );
            let mut facts = vec![(Level::Warning, message)];
            facts.extend(memory_limit(encoder, Some(0), records));
            (facts, None)
        }
        Err(error) => (vec![(Level::Error, format!("model {name}: {error}"))], None),
    })
}

fn described(found: &Inspection) -> String {
    format!(
        "model {}: complete; {:.1} million weights, vectors of {} numbers, fingerprint {}; it would run on {} in {}",
        found.name,
        found.parameters as f64 / 1e6,
        found.dimension,
        found.fingerprint,
        found.device,
        found.dtype
    )
}

/// Whether `run` would take the memory limit, if there is one; see [`check_memory_limit`].
pub fn memory_limit(encoder: &EncoderArgs, weights: Option<u64>, records: Records) -> Option<(Level, String)> {
    let limit = mebibytes(encoder.memory_limit? as u64);
    Some(match check_memory_limit(encoder, weights, records) {
        Ok(()) if weights.is_some() => {
            let message = format!("memory: {limit} hold the least that is known; `run` measures what the model takes");
            (Level::Ok, message)
        }
        Ok(()) => (Level::Ok, format!("memory: {limit} are enough")),
        Err(error) => (Level::Error, format!("memory: {error}")),
    })
}

/// Whether media can be decoded where `encoder` says.
pub fn decoder(encoder: &EncoderArgs) -> (Level, String) {
    match (encoder.decoder.unwrap_or_default(), &encoder.decode_worker) {
        (DecoderChoice::InProcess, _) => {
            let message = "decoder: in this process: a medium that crashes its decoder ends the job";
            (Level::Warning, message.to_string())
        }
        (DecoderChoice::Isolated, None) => (Level::Ok, "decoder: in processes of their own".to_string()),
        (DecoderChoice::Isolated, Some(file)) => match fs::metadata(file) {
            Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => {
                (Level::Ok, format!("decoder: {} decodes", file.display()))
            }
            Ok(_) => {
                let message = format!("decoder: {} cannot be executed; mend --decode-worker", file.display());
                (Level::Error, message)
            }
            Err(error) => {
                let message = format!("decoder: {}: {error}; mend --decode-worker", file.display());
                (Level::Error, message)
            }
        },
    }
}

/// Whether references can be fetched as `encoder` says, and where they may lead.
pub fn fetching(encoder: &EncoderArgs) -> (Level, String) {
    let options = encoder.fetch.options();
    let mut allowed: Vec<String> = options
        .allow_directories
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    allowed.push("the public Internet".to_string());
    allowed.extend(options.allow_network.iter().map(ToString::to_string));
    match Fetcher::new(options) {
        Ok(_) => (Level::Ok, format!("fetching: from {}", allowed.join(", "))),
        Err(error) => (Level::Error, format!("fetching: {error}")),
    }
}

/// Whether the weights fit into the memory of this machine.
fn memory(found: &Inspection) -> (Level, String) {
    let name = &found.name;
    let needs = format!("model {name}: its weights take {}", mebibytes(found.weight_bytes));
    if found.device != "cpu" {
        return (Level::Ok, format!("{needs} on {}", found.device));
    }
    let Some(memory) = Memory::read() else {
        return (Level::Ok, format!("{needs} of memory"));
    };
    let (limit, free) = (mebibytes(memory.limit), mebibytes(memory.available));
    if found.weight_bytes > memory.limit {
        let way_out = "use a smaller model, --dtype bf16, or a larger machine";
        (Level::Error, format!("{needs}, and there are {limit} here; {way_out}"))
    } else if found.weight_bytes > memory.available {
        (
            Level::Warning,
            format!("{needs}, and {free} of {limit} are free now; batches come on top of it"),
        )
    } else {
        (Level::Ok, format!("{needs}; {free} of {limit} are free now"))
    }
}

/// The memory that this process can have, in bytes.
struct Memory {
    limit: u64,
    available: u64,
}

impl Memory {
    /// What Linux tells: that of the machine, or of the process's control group where that is less.
    fn read() -> Option<Self> {
        let machine = fs::read_to_string("/proc/meminfo").ok()?;
        let kibibytes = |name: &str| -> Option<u64> {
            let line = machine.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse().ok()
        };
        let (total, free) = (kibibytes("MemTotal")? << 10, kibibytes("MemAvailable")? << 10);
        let group = |file: &str| -> Option<u64> {
            fs::read_to_string(format!("/sys/fs/cgroup/{file}"))
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        let Some(limit) = group("memory.max").filter(|limit| *limit < total) else {
            return Some(Self {
                limit: total,
                available: free,
            });
        };
        let used = group("memory.current").unwrap_or(0);
        Some(Self {
            limit,
            available: free.min(limit.saturating_sub(used)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspection(weight_bytes: u64) -> Inspection {
        Inspection {
            name: "demo".to_string(),
            dimension: 256,
            fingerprint: "0123456789ab".to_string(),
            parameters: weight_bytes / 4,
            weight_bytes,
            device: "cpu".to_string(),
            dtype: "f32",
        }
    }

    #[test]
    fn weights_larger_than_the_machine_are_an_error_and_small_ones_are_not() {
        assert_eq!(memory(&inspection(1 << 20)).0, Level::Ok);
        let (level, message) = memory(&inspection(1 << 50));
        assert_eq!(level, Level::Error, "{message}");
        assert!(message.contains("--dtype bf16"), "{message}");
    }
}
