//! `sightstream check`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};

use super::{EncoderArgs, JobArgs, values};

pub const EXAMPLES: &str = r#"Examples:
  sightstream check index_media.sql
      ok       index_media.sql:9:3    table media: Kafka at localhost:9092 answers; the topic `media` has 3 partitions
      error    index_media.sql:28:3   table vectors: unknown option 'colection'; did you mean 'collection'? …
      index_media.sql cannot run: 1 error, 0 warnings, 4 ok

  sightstream check index_media.sql --offline
      the file and this machine only: no broker and no Qdrant is asked

  sightstream check index_media.sql --format json | jq -r 'select(.level == "error").message'
      for CI: an object a line, {"level", "file", "line", "column", "message"}, and a last one, {"summary": …}

Everything that is wrong is told at once: what the file says (syntax, options, columns, functions, settings, variables
that are not set), what it names (brokers, topics, groups, collections, their dimension, distance and model, files), and
the model itself (found, complete, its size beside the machine's memory). Nothing is made, joined, committed or
downloaded. Give it the flags and the environment that `run` gets.

The exit code is 0 if the file can run (there may be warnings), 1 if it cannot, 2 if the command line is wrong or the
file cannot be read."#;

/// Which file, and how it is looked at.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The SQL file
    #[arg(value_name = "FILE.sql")]
    pub file: PathBuf,

    /// Ask no other system: only what the file and this machine tell
    #[arg(long, env = "SIGHTSTREAM_CHECK_OFFLINE", value_parser = FalseyValueParser::new())]
    pub offline: bool,

    /// How long each system is waited for: 5s, 500ms
    #[arg(
        long,
        env = "SIGHTSTREAM_CHECK_TIMEOUT",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = values::duration
    )]
    pub timeout: Duration,

    /// The form of the findings, which go to standard output
    #[arg(long, env = "SIGHTSTREAM_CHECK_FORMAT", value_enum, default_value = "text")]
    pub format: FindingFormat,

    /// The address that `run` is to serve metrics at: is it free?
    #[arg(long, env = "SIGHTSTREAM_METRICS_ADDRESS", value_name = "HOST:PORT")]
    pub metrics_address: Option<SocketAddr>,

    #[command(flatten)]
    pub job: JobArgs,

    #[command(flatten)]
    pub encoder: EncoderArgs,
}

/// The forms of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FindingFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}
