//! The encoder of the items of a file of pairs, as the settings ask for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sightstream_jobs::JobError;
use sightstream_jobs::data::{Dataset, DatasetOptions, ItemEncoder, ParserKind, PrepareOptions};
use sightstream_model::encoder::Encoder;
use sightstream_settings::{EncoderArgs, FetchArgs};

use crate::encoder::{self, THIS_EXECUTABLE};
use crate::error::UsageError;

/// Opens a file of pairs.
///
/// # Errors
/// [`UsageError`] for one that cannot be read, or holds no row.
pub fn open_pairs(path: &Path) -> Result<Dataset, UsageError> {
    let name = path.display().to_string();
    Dataset::open(&DatasetOptions::new(name, ParserKind::Pairs, path)).map_err(|error| UsageError(error.to_string()))
}

/// Where files may be read that rows name: below the directories that were allowed, or else below the current one and `folders`.
pub fn allow_beside<'a>(fetch: &mut FetchArgs, folders: impl Iterator<Item = &'a Path>) {
    if fetch.allow_directory.is_none() {
        let allowed = [PathBuf::from(".")].into_iter().chain(folders.map(Path::to_path_buf));
        fetch.allow_directory = Some(allowed.collect());
    }
}

/// How items are prepared.
pub fn prepare_options(args: &EncoderArgs) -> anyhow::Result<PrepareOptions> {
    let service = args.service_options(Some(Path::new(THIS_EXECUTABLE)), None)?;
    Ok(PrepareOptions {
        fetch: args.fetch.options(),
        decoder: service.decoder,
        limits: service.decode_limits,
        frames: service.segmentation.frames,
        page_dpi: service.segmentation.page_dpi,
        ..PrepareOptions::default()
    })
}

/// Loads the model. Blocks.
pub fn load_encoder(args: &EncoderArgs) -> anyhow::Result<Arc<Encoder>> {
    let waiting = encoder::loading(args);
    let loaded = encoder::load(args)?;
    waiting.finish_and_clear();
    Ok(Arc::new(loaded))
}

/// An encoder of items. Blocks.
pub fn item_encoder(args: &EncoderArgs, encoder: Arc<Encoder>) -> anyhow::Result<ItemEncoder> {
    let threads = args.preprocess_threads.unwrap_or_else(cores);
    Ok(ItemEncoder::new(encoder, &prepare_options(args)?, threads)?)
}

/// Threads that this machine runs at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What of a job was asked for wrongly, as an error of what the user wrote.
pub fn usage(error: JobError) -> anyhow::Error {
    match error {
        JobError::Config(message) => UsageError(message).into(),
        data @ JobError::Data { .. } => UsageError(data.to_string()).into(),
        other => other.into(),
    }
}
