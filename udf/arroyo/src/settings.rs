//! The settings, from the environment alone. Names and values are those of the command; each group is read for itself, so
//! that one wrong value leaves the other groups usable.

use std::net::SocketAddr;
use std::time::Duration;

use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::{Arg, Args, Command};
use sightstream_settings::values;

/// Settings of the plugin itself.
#[derive(Debug, Args)]
pub struct PluginArgs {
    /// How long a row may take once those that were ahead of it are done; then it is NULL
    #[arg(long, env = "SIGHTSTREAM_UDF_DEADLINE", default_value = "60m", value_parser = values::duration)]
    pub udf_deadline: Duration,
}

/// Where what becomes of rows is told.
#[derive(Debug, Args)]
pub struct TellingArgs {
    /// Serve Prometheus metrics here
    #[arg(long, env = "SIGHTSTREAM_METRICS_ADDRESS")]
    pub metrics_address: Option<SocketAddr>,

    /// Where rows that are NULL are told of
    #[arg(long, env = "SIGHTSTREAM_DEAD_LETTER_TOPIC")]
    pub dead_letter_topic: Option<String>,

    /// Its brokers
    #[arg(long, env = "SIGHTSTREAM_KAFKA")]
    pub kafka: Option<String>,
}

/// Reads a group.
///
/// # Errors
/// A sentence that names the variable.
pub fn read<T: Args>() -> Result<T, String> {
    let command = T::augment_args(Command::new("sightstream").no_binary_name(true));
    let matches = command.try_get_matches_from(std::iter::empty::<&str>());
    matches
        .and_then(|matches| T::from_arg_matches(&matches))
        .map_err(|error| sentence(&error.to_string()))
}

/// Whether the model is to be loaded before the first row. Read when the dylib is loaded, where nobody can be told of a wrong
/// value: that is no.
pub fn eager_start() -> bool {
    let (command, argument) = (Command::new("sightstream"), Arg::new("eager_start"));
    std::env::var_os("SIGHTSTREAM_EAGER_START")
        .and_then(|text| {
            BoolishValueParser::new()
                .parse_ref(&command, Some(&argument), &text)
                .ok()
        })
        .unwrap_or(false)
}

/// What clap says, of a variable instead of a flag.
fn sentence(message: &str) -> String {
    let message = message.split("\n\n").next().unwrap_or(message);
    let message = message.strip_prefix("error: ").unwrap_or(message).trim();
    // `for '--max-pixels <PIXELS>'`
    let Some((before, flag)) = message.split_once("'--") else {
        return message.to_owned();
    };
    let end = flag
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .unwrap_or(flag.len());
    let rest = flag[end..].split_once('\'').map_or("", |(_, rest)| rest);
    let variable = flag[..end].replace('-', "_").to_ascii_uppercase();
    format!("{before}SIGHTSTREAM_{variable}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_told_by_its_variable() {
        let command = sightstream_settings::EncoderArgs::augment_args(Command::new("sightstream"));
        let error = command
            .try_get_matches_from(["sightstream", "--device", "gpu"])
            .expect_err("no device");
        let told = sentence(&error.to_string());
        assert!(
            told.starts_with("invalid value 'gpu' for SIGHTSTREAM_DEVICE: `gpu` is no device; write auto"),
            "{told}"
        );
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let args: PluginArgs = read().expect("the defaults are usable");
        assert_eq!(args.udf_deadline, Duration::from_secs(3600));
        let told: TellingArgs = read().expect("nothing is needed");
        assert!(told.metrics_address.is_none() && told.dead_letter_topic.is_none());
    }
}
