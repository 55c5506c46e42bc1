//! The settings of the model: as flags, as environment variables, and as the `SET`s of a SQL file.
//!
//! Each is one field of [`EncoderArgs`], [`SegmentationArgs`] or [`FetchArgs`], which are groups of clap's: the command has
//! them as flags, the plugin reads them from the environment alone, and both make the options of
//! [`sightstream_model`] out of them here. What is left out stays open until then, so that a [`Fallback`] can fill it.

mod encoder;
mod fetch;
mod segmentation;
pub mod values;

pub use encoder::{DECODE_WORKER, DecoderChoice, EncoderArgs, MemoryShares, SettingsError};
pub use fetch::FetchArgs;
pub use segmentation::SegmentationArgs;

/// Where settings come from that neither a flag nor an environment variable gives.
pub trait Fallback {
    /// Fills `slot` with the setting `name`, unless it is filled already. What `parse` says of a wrong value is kept for
    /// whoever asks; it may hold a password, of which `shown` makes what may be told.
    fn fill_shown<T>(
        &mut self,
        name: &'static str,
        slot: &mut Option<T>,
        parse: impl FnOnce(&str) -> Result<T, String>,
        shown: impl FnOnce(&str) -> String,
    );

    /// [`Fallback::fill_shown`] for a setting that may be told as it is.
    fn fill<T>(&mut self, name: &'static str, slot: &mut Option<T>, parse: impl FnOnce(&str) -> Result<T, String>) {
        self.fill_shown(name, slot, parse, str::to_string);
    }
}
