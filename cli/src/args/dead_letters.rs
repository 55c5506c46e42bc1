//! `sightstream dead-letters`.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand, ValueEnum};
use sightstream_connectors::dead_letter::{DeadLetterTarget, Moment, Selection, Stage};

use super::values;

pub const LIST_EXAMPLES: &str = r#"Examples:
  sightstream dead-letters list --job index_media.sql
      the file beside the state of index_media.sql, or whatever it SETs

  sightstream dead-letters list kafka://localhost:9092/media_dead --code not_found --since 24h

  sightstream dead-letters list .sightstream/index_media/dead_letters.jsonl --summary

  sightstream dead-letters list --job index_media.sql --format json --limit 1 | jq -r .value

Letters that were sent back are left out; --all shows them too."#;

pub const REPLAY_EXAMPLES: &str = r#"Examples:
  sightstream dead-letters replay --job index_media.sql --code not_found --dry-run
      says how many would go where

  sightstream dead-letters replay --job index_media.sql --code not_found
      sends them to the topics that the job reads

  sightstream dead-letters replay kafka://localhost:9092/media_dead
      from the topic back to the topics that the records came from, in the same cluster

  sightstream dead-letters replay dead_letters.jsonl --to kafka://localhost:9092

  sightstream dead-letters replay --job index_files.sql --to again.jsonl
      records that came from a file, as lines of another

A record goes back with its key, value and headers, and a header sightstream.replays that counts how often. If it fails again,
it becomes a new dead letter. What was sent is remembered: for a file in FILE.replayed beside it, for a topic in the offsets
of the consumer group. After a crash the rest is sent by the next call, and perhaps some records twice.

Order: a record that goes back comes after all that was written since. If a newer record of the same id has been indexed
meanwhile, the old one overwrites it, and a row that a tombstone has deleted comes back. Choose with --since and --code, or
send the newest record of such an id again."#;

/// Which action.
#[derive(Debug, Args)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    pub action: DeadLettersAction,
}

/// The actions.
#[derive(Debug, Subcommand)]
pub enum DeadLettersAction {
    /// Show dead letters: what failed, where, and why
    #[command(after_long_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Send the records of dead letters back to where they came from
    #[command(after_long_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
}

/// `sightstream dead-letters list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub letters: LettersArgs,

    /// Those that were sent back, too
    #[arg(long, env = "SIGHTSTREAM_ALL", value_parser = FalseyValueParser::new())]
    pub all: bool,

    /// Only how many there are of each code, stage and table
    #[arg(long, env = "SIGHTSTREAM_SUMMARY", value_parser = FalseyValueParser::new())]
    pub summary: bool,

    /// A table for people, or whole letters as JSON lines
    #[arg(long, env = "SIGHTSTREAM_FORMAT", value_enum, default_value = "table")]
    pub format: ListFormat,

    // Last, because its heading holds for what follows.
    #[command(flatten)]
    pub choice: ChoiceArgs,
}

/// How a list looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// A line each, shortened
    Table,
    /// A JSON object each, with all of the record
    Json,
}

/// `sightstream dead-letters replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    pub letters: LettersArgs,

    /// Where to: kafka://HOST:PORT/TOPIC[?librdkafka.setting=…], without /TOPIC for the topics that they came from, or a file
    /// for records that came from one [default: with --job the topics of its tables; for a topic of dead letters, its
    /// cluster]
    #[arg(long, env = "SIGHTSTREAM_TO", value_name = "TARGET", hide_env_values = true)]
    pub to: Option<String>,

    /// Leave records that were sent back so often already
    #[arg(long, env = "SIGHTSTREAM_MAX_REPLAYS", value_name = "N", default_value = "3", value_parser = values::count)]
    pub max_replays: usize,

    /// Only say what would be sent where
    #[arg(long, env = "SIGHTSTREAM_DRY_RUN", value_parser = FalseyValueParser::new())]
    pub dry_run: bool,

    // Last, because its heading holds for what follows.
    #[command(flatten)]
    pub choice: ChoiceArgs,
}

/// Which dead letters.
#[derive(Debug, Args)]
pub struct LettersArgs {
    /// A file, or kafka://HOST:PORT/TOPIC[?librdkafka.setting=…], as for `run --dead-letters`
    #[arg(
        value_name = "TARGET",
        env = "SIGHTSTREAM_DEAD_LETTERS",
        value_parser = values::DeadLetterParser,
        hide_env_values = true
    )]
    pub target: Option<DeadLetterTarget>,

    /// Those of the job in this SQL file
    #[arg(long, env = "SIGHTSTREAM_JOB", value_name = "FILE.sql")]
    pub job: Option<PathBuf>,

    /// The state folder of the job [default: .sightstream/NAME for NAME.sql]
    #[arg(long, env = "SIGHTSTREAM_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// For a topic: the consumer group whose offsets say what was sent back. One call at a time may use a group
    #[arg(
        long,
        env = "SIGHTSTREAM_GROUP",
        value_name = "GROUP",
        default_value = "sightstream-replay"
    )]
    pub group: String,
}

/// Which of them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Choice")]
pub struct ChoiceArgs {
    /// Only these codes: not_found,timeout
    #[arg(long, env = "SIGHTSTREAM_CODE", value_name = "CODE,…", value_delimiter = ',')]
    pub code: Vec<String>,

    /// Only these stages: read, embed, compute, write
    #[arg(long, env = "SIGHTSTREAM_STAGE", value_name = "STAGE,…", value_delimiter = ',', value_parser = stage)]
    pub stage: Vec<Stage>,

    /// Only of these tables: the one that refused the row, or the one that the record was read from
    #[arg(long, env = "SIGHTSTREAM_TABLE", value_name = "TABLE,…", value_delimiter = ',')]
    pub table: Vec<String>,

    /// Only from this moment on: 2025-01-31T12:00:00Z, 2025-01-31, or a time before now as 90m, 24h or 7d
    #[arg(long, env = "SIGHTSTREAM_SINCE", value_name = "WHEN")]
    pub since: Option<Moment>,

    /// Only before this moment
    #[arg(long, env = "SIGHTSTREAM_UNTIL", value_name = "WHEN")]
    pub until: Option<Moment>,

    /// The most letters
    #[arg(long, env = "SIGHTSTREAM_LIMIT", value_name = "N", value_parser = values::count)]
    pub limit: Option<usize>,
}

impl ChoiceArgs {
    /// The choice.
    pub fn selection(&self) -> Selection {
        Selection {
            codes: self.code.clone(),
            stages: self.stage.clone(),
            tables: self.table.clone(),
            since: self.since,
            until: self.until,
        }
    }
}

fn stage(name: &str) -> Result<Stage, String> {
    Stage::parse(name).ok_or_else(|| "the stages are read, embed, compute and write".to_string())
}
