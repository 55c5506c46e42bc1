//! Logs of the plugin, on the worker's standard error.
//!
//! A dylib has statics of its own, the logger's too: what Arroyo has set up does not reach here. So this sets up its own, with the command's
//! settings, unless whoever built this dylib has.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How logs look.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// The form of the logs
    #[arg(long, env = "SIGHTSTREAM_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// error, warn, info, debug, trace, or a filter
    #[arg(long, env = "SIGHTSTREAM_LOG_LEVEL")]
    pub log_level: Option<String>,
}

/// The forms of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// Libraries that tell more than a user wants to know at the same level as ours.
const QUIETER: &str = "librdkafka=warn,rdkafka=warn,h2=warn,hyper=warn,hyper_util=warn";

/// Starts logging. Settings that cannot be used are told in the log that they were for, which then is the default.
pub fn start(args: Result<LogArgs, String>) {
    let (args, mut wrong) = match args {
        Ok(args) => (args, None),
        Err(error) => {
            let args = LogArgs {
                log_format: LogFormat::Text,
                log_level: None,
            };
            (args, Some(error))
        }
    };
    let level = args
        .log_level
        .or_else(|| std::env::var("RUST_LOG").ok())
        .filter(|level| !level.is_empty());
    let level = level.unwrap_or_else(|| "info".to_owned());
    let filter = EnvFilter::try_new(format!("{QUIETER},{level}")).unwrap_or_else(|error| {
        wrong = Some(format!("the log level cannot be '{level}': {error}"));
        EnvFilter::new(format!("{QUIETER},info"))
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match args.log_format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // There is a logger already, which then is the one.
    drop(started);
    if let Some(wrong) = wrong {
        tracing::error!(wrong, "a setting of the logs cannot be used");
    }
}
