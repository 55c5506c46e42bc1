//! The settings, from the environment alone. Names and values are those of the command; each group is read for itself, so
//! that one wrong value leaves the other groups usable.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::time::Duration;

use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::{Arg, Args, Command};
use sightstream_settings::{DecoderChoice, EncoderArgs, values};

/// Settings of the plugin itself.
#[derive(Debug, Args)]
pub struct PluginArgs {
    /// How long a row may take once those that were ahead of it are done; then it is NULL
    #[arg(long, env = "SIGHTSTREAM_UDF_DEADLINE", default_value = "60m", value_parser = deadline)]
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

/// A setting of the command's that means nothing in a process that is not its own.
const MEMORY_LIMIT: &str = "SIGHTSTREAM_MEMORY_LIMIT";

/// The timeout in the files for Arroyo, before which a call ends.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// A deadline of nothing would make every row NULL.
fn deadline(text: &str) -> Result<Duration, String> {
    match values::duration(text)? {
        Duration::ZERO => Err("write a duration above 0, as in 30m".to_owned()),
        deadline => Ok(deadline),
    }
}

/// Reads a group.
///
/// # Errors
/// A sentence that names the variable.
pub fn read<T: Args>() -> Result<T, String> {
    let command = command::<T>();
    let matches = command.try_get_matches_from(std::iter::empty::<&str>());
    matches
        .and_then(|matches| T::from_arg_matches(&matches))
        .map_err(|error| sentence(&error.to_string()))
}

fn command<T: Args>() -> Command {
    let command = T::augment_args(Command::new("sightstream").no_binary_name(true));
    // What means nothing cannot be wrong.
    command.mut_args(|arg| match arg.get_env() == Some(OsStr::new(MEMORY_LIMIT)) {
        true => arg.env(None::<&'static str>),
        false => arg,
    })
}

/// Whether the model is to be loaded before the first row; no where nothing is said.
///
/// # Errors
/// A sentence that names the variable.
pub fn eager_start() -> Result<bool, String> {
    std::env::var_os("SIGHTSTREAM_EAGER_START").map_or(Ok(false), |text| boolish(&text))
}

fn boolish(text: &OsStr) -> Result<bool, String> {
    let (command, argument) = (Command::new("sightstream"), Arg::new("eager_start"));
    let parsed = BoolishValueParser::new().parse_ref(&command, Some(&argument), text);
    parsed.map_err(|_| {
        let text = text.to_string_lossy();
        format!("SIGHTSTREAM_EAGER_START cannot be '{text}': write true or false; it is taken for false")
    })
}

/// What is set and does not do what it seems to.
pub fn without_effect(encoder: &EncoderArgs, deadline: Duration) -> Vec<String> {
    let mut told = Vec::new();
    if std::env::var_os(MEMORY_LIMIT).is_some() {
        told.push(format!("{MEMORY_LIMIT} means nothing here: the process is Arroyo's"));
    }
    let in_process = encoder.decode_worker.is_none() || encoder.decoder == Some(DecoderChoice::InProcess);
    for (is_set, name) in [
        (encoder.decode_memory.is_some(), "SIGHTSTREAM_DECODE_MEMORY"),
        (encoder.decode_timeout.is_some(), "SIGHTSTREAM_DECODE_TIMEOUT"),
    ] {
        if is_set && in_process {
            told.push(format!(
                "{name} has no effect, because media are decoded in this process; name an executable to decode with \
                 (SIGHTSTREAM_DECODE_WORKER)"
            ));
        }
    }
    if deadline >= FUNCTION_TIMEOUT {
        let deadline = humantime::format_duration(deadline);
        told.push(format!(
            "SIGHTSTREAM_UDF_DEADLINE is {deadline}, but a row ends before the function's own timeout, which is 24 hours unless \
             its file was changed"
        ));
    }
    told
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

    #[test]
    fn a_deadline_of_nothing_is_refused() {
        assert_eq!(deadline("30m"), Ok(Duration::from_secs(1800)));
        assert!(deadline("0s").is_err_and(|why| why.contains("above 0")));
        assert!(deadline("soon").is_err());
    }

    #[test]
    fn a_wrong_eager_start_is_told() {
        assert_eq!(boolish(OsStr::new("yes")), Ok(true));
        assert_eq!(boolish(OsStr::new("0")), Ok(false));
        let told = boolish(OsStr::new("soon")).expect_err("neither");
        assert!(
            told.contains("SIGHTSTREAM_EAGER_START") && told.contains("'soon'"),
            "{told}"
        );
    }

    #[test]
    fn the_memory_limit_is_not_read() {
        let command = command::<EncoderArgs>();
        let read: Vec<&OsStr> = command.get_arguments().filter_map(Arg::get_env).collect();
        assert!(!read.contains(&OsStr::new(MEMORY_LIMIT)) && read.contains(&OsStr::new("SIGHTSTREAM_MODEL")));
    }

    #[test]
    fn settings_without_effect_are_told() {
        let mut encoder = EncoderArgs {
            decode_memory: Some(1 << 30),
            ..EncoderArgs::default()
        };
        let told = without_effect(&encoder, Duration::from_secs(3600));
        assert!(
            told.len() == 1 && told[0].contains("SIGHTSTREAM_DECODE_MEMORY"),
            "{told:?}"
        );
        encoder.decode_worker = Some("/usr/bin/sightstream".into());
        assert_eq!(without_effect(&encoder, Duration::from_secs(3600)), [""; 0]);
        let told = without_effect(&encoder, FUNCTION_TIMEOUT);
        assert!(
            told.len() == 1 && told[0].contains("SIGHTSTREAM_UDF_DEADLINE"),
            "{told:?}"
        );
    }
}
