//! `sightstream train merge`: an adapter and its base model as one checkpoint.

use anyhow::Context;
use sightstream_jobs::adapter::{CheckpointOptions, Written, merge};
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::processor::{Processor, ProcessorOverrides};

use crate::args::MergeArgs;
use crate::error::{Outcome, UsageError};
use crate::progress::{self, grouped};
use crate::{items, logging};

/// Writes the checkpoint that `args` name.
pub async fn execute(args: MergeArgs) -> anyhow::Result<Outcome> {
    let output = args.output.clone();
    if output.exists() {
        let message = format!("{} is there already; name another --output", output.display());
        return Err(UsageError(message).into());
    }
    let written = tokio::task::spawn_blocking(move || write(&args))
        .await
        .context("merging ended early")??;
    let Written {
        tensors,
        merged,
        bytes,
        files,
    } = written;
    if logging::is_json() {
        tracing::info!(output = %output.display(), tensors, merged, bytes, files, "merged");
    } else {
        progress::tell(format_args!(
            "{}: {tensors} tensors, {merged} of them changed, {} MiB",
            output.display(),
            grouped(bytes >> 20)
        ));
    }
    Ok(Outcome::Done)
}

fn write(args: &MergeArgs) -> anyhow::Result<Written> {
    let files = CheckpointFiles::locate_with_progress(Some(&args.model), progress::download())
        .and_then(|files| files.adapted_with_progress(Some(&args.adapter), progress::download()))
        .context("the model cannot be used")?;
    let pixels = ProcessorOverrides {
        min_pixels: args.min_pixels,
        max_pixels: args.max_pixels,
    };
    // Limits that do not go together are refused here, not by whoever loads the checkpoint.
    Processor::load(&files, &pixels).context("the model cannot be used")?;
    let options = CheckpointOptions {
        dtype: args.dtype,
        pixels,
        ..CheckpointOptions::default()
    };
    merge(&args.output, &files, &options).map_err(items::usage)
}
