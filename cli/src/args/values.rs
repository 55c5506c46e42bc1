//! How values are written on the command line, beside those of the model's settings.

use std::ffi::OsStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};
use sightstream_connectors::dead_letter::DeadLetterTarget;
pub use sightstream_settings::values::{bytes, count, duration};

/// Where dead letters go. The text may hold passwords, and clap's own error for a value that cannot be used tells all
/// of it; this one tells the part without them.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetterParser;

impl TypedValueParser for DeadLetterParser {
    type Value = DeadLetterTarget;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, text: &OsStr) -> Result<Self::Value, clap::Error> {
        let text = text
            .to_str()
            .ok_or_else(|| clap::Error::new(ErrorKind::InvalidUtf8).with_cmd(command))?;
        DeadLetterTarget::parse(text).map_err(|reason| {
            let shown = DeadLetterTarget::shown(text);
            let flag = arg.map_or_else(|| "--dead-letters".to_string(), Arg::to_string);
            let message = format!("invalid value '{shown}' for '{flag}': {reason}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}
