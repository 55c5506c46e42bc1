//! `sightstream deploy`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};

use super::values;

pub const EXAMPLES: &str = r#"Examples:
  sightstream deploy sql/pipelines/embed_media.sql --arroyo http://arroyo:5115 --parallelism 4
      query       Arroyo can run it: 3 operators
      function    embed: registered, built in 128 s
      pipeline    embed_media: created as pl_9kCcPZ2Xqe, parallelism 4
      job         Created
      job         Scheduling
      job         Running, 12 tasks
      running     http://arroyo:5115/pipelines/pl_9kCcPZ2Xqe

  sightstream deploy embed_media.sql --dry-run
      the calls, and nothing is called

  sightstream deploy embed_media.sql --replace
      stops the pipeline embed_media with a checkpoint, then creates this one in its place

  sightstream deploy embed_media.sql --udf-git https://git.example.org/sightstream --udf-rev 3f2a9c1
      the functions from a published source instead of from SIGHTSTREAM_HOME

  sightstream deploy list
  sightstream deploy stop embed_media

Set SIGHTSTREAM_ARROYO to leave --arroyo out.

Variables: {{ NAME }} in the options of tables is replaced here, with the environment of this command, because Arroyo does
not do so; in auth.username, auth.password and other secrets it is left to Arroyo, whose workers need those variables.

The functions embed and segments are registered when the file calls them, and again when they or the sources that they are
built from have changed. Arroyo's compiler service builds them: minutes the first time. It needs SIGHTSTREAM_HOME in its
environment, a folder with Sightstream's sources, unless a --udf-… flag names others."#;

pub const STOP_EXAMPLES: &str = r#"Examples:
  sightstream deploy stop embed_media
      writes a last checkpoint; `sightstream deploy start embed_media` goes on from it

  sightstream deploy stop pl_9kCcPZ2Xqe --force --delete"#;

/// What to deploy, and where.
#[derive(Debug, Args)]
#[command(
    subcommand_negates_reqs = true,
    override_usage = "sightstream deploy [OPTIONS] <FILE.sql>\n       sightstream deploy [OPTIONS] <COMMAND>"
)]
pub struct DeployArgs {
    /// The SQL file
    #[arg(value_name = "FILE.sql", required = true)]
    pub file: Option<PathBuf>,

    /// The pipeline's name [default: the file's, without .sql]
    #[arg(long, env = "SIGHTSTREAM_DEPLOY_NAME", value_name = "NAME")]
    pub name: Option<String>,

    /// Subtasks of each operator
    #[arg(
        long,
        env = "SIGHTSTREAM_DEPLOY_PARALLELISM",
        value_name = "N",
        default_value = "1",
        value_parser = values::count
    )]
    pub parallelism: usize,

    /// How often Arroyo writes a checkpoint: 30s, from 1s to a day [default: Arroyo's, 10s if it is not configured]
    #[arg(
        long,
        env = "SIGHTSTREAM_DEPLOY_CHECKPOINT_INTERVAL",
        value_name = "DURATION",
        value_parser = checkpoint_interval
    )]
    pub checkpoint_interval: Option<Duration>,

    /// Take the place of the pipeline of this name: stop it with a checkpoint, create this one, and delete the old one once
    /// this one runs
    #[arg(long, env = "SIGHTSTREAM_DEPLOY_REPLACE", value_parser = FalseyValueParser::new())]
    pub replace: bool,

    /// Print the calls, with their bodies, and make none
    #[arg(long, env = "SIGHTSTREAM_DRY_RUN", value_parser = FalseyValueParser::new())]
    pub dry_run: bool,

    #[command(flatten)]
    pub run: RunLimits,

    #[command(flatten)]
    pub functions: FunctionArgs,

    #[command(flatten)]
    pub cluster: ClusterArgs,

    #[command(subcommand)]
    pub action: Option<DeployAction>,
}

/// The actions.
#[derive(Debug, Subcommand)]
pub enum DeployAction {
    /// Show the pipelines of the cluster
    List(ListPipelinesArgs),
    /// Stop a pipeline, with a checkpoint from which it can go on
    #[command(after_long_help = STOP_EXAMPLES)]
    Stop(StopArgs),
    /// Start a pipeline again that was stopped or has failed, from its last checkpoint
    Start(StartArgs),
}

/// When a job counts as running.
#[derive(Debug, Args)]
pub struct RunLimits {
    /// How long the job may take until it runs; after that it is left to Arroyo, and this command fails
    #[arg(
        long,
        env = "SIGHTSTREAM_DEPLOY_TIMEOUT",
        value_name = "DURATION",
        default_value = "15m",
        value_parser = values::duration
    )]
    pub timeout: Duration,

    /// How long the job must have run to be believed: one that cannot reach Kafka, say, runs for a moment first
    #[arg(
        long,
        env = "SIGHTSTREAM_DEPLOY_SETTLE",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = values::duration
    )]
    pub settle: Duration,
}

/// Where Arroyo is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Arroyo")]
pub struct ClusterArgs {
    /// Arroyo's API: http://HOST:5115, or with the path under which a proxy has it
    #[arg(
        long,
        env = "SIGHTSTREAM_ARROYO",
        value_name = "URL",
        default_value = "http://localhost:5115",
        global = true
    )]
    pub arroyo: String,

    /// A token for a proxy before the API, sent as `Authorization: Bearer TOKEN`
    #[arg(
        long,
        env = "SIGHTSTREAM_ARROYO_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        global = true
    )]
    pub arroyo_token: Option<String>,
}

/// Where Arroyo's compiler service finds what the functions are built from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Functions")]
pub struct FunctionArgs {
    /// The folder of the package sightstream-arroyo, as the compiler service sees it. Of this, --udf-git and --udf-version only
    /// one may be given, whether by flag or by environment variable [default: {{ SIGHTSTREAM_HOME
    /// }}/udf/arroyo, with the compiler service's variable]
    #[arg(long, env = "SIGHTSTREAM_UDF_PATH", value_name = "DIR", value_parser = source_text, conflicts_with_all = ["udf_git", "udf_version"])]
    pub udf_path: Option<String>,

    /// A git repository with the package sightstream-arroyo
    #[arg(
        long,
        env = "SIGHTSTREAM_UDF_GIT",
        value_name = "URL",
        value_parser = source_text,
        conflicts_with = "udf_version",
        requires = "udf_rev"
    )]
    pub udf_git: Option<String>,

    /// The commit or tag of --udf-git. What is built is known by it: a branch would stay at what was built first
    #[arg(long, env = "SIGHTSTREAM_UDF_REV", value_name = "REV", value_parser = source_text, requires = "udf_git")]
    pub udf_rev: Option<String>,

    /// The version of the package sightstream-arroyo in the compiler service's registry: 0.1.0
    #[arg(long, env = "SIGHTSTREAM_UDF_VERSION", value_name = "VERSION", value_parser = source_text)]
    pub udf_version: Option<String>,

    /// Features of the package: cuda, for workers with an NVIDIA GPU
    #[arg(
        long,
        env = "SIGHTSTREAM_UDF_FEATURES",
        value_name = "FEATURE,…",
        value_parser = source_text,
        value_delimiter = ','
    )]
    pub udf_features: Vec<String>,

    /// How long Arroyo may take to build a function
    #[arg(
        long,
        env = "SIGHTSTREAM_DEPLOY_BUILD_TIMEOUT",
        value_name = "DURATION",
        default_value = "60m",
        value_parser = values::duration
    )]
    pub build_timeout: Duration,

    /// Build the functions again although nothing here has changed: the sources at the compiler service have
    #[arg(long, env = "SIGHTSTREAM_DEPLOY_REBUILD", value_parser = FalseyValueParser::new())]
    pub rebuild: bool,
}

/// `sightstream deploy list`.
#[derive(Debug, Args)]
pub struct ListPipelinesArgs {
    /// JSON lines instead of a table
    #[arg(long, env = "SIGHTSTREAM_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
}

/// `sightstream deploy stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// The pipeline's name, or its id
    #[arg(value_name = "NAME|ID")]
    pub pipeline: String,

    /// At once and without a checkpoint: rows since the last one are read again when it is started again
    #[arg(long, env = "SIGHTSTREAM_DEPLOY_FORCE", value_parser = FalseyValueParser::new())]
    pub force: bool,

    /// Delete the pipeline once it has stopped; it cannot be started again then
    #[arg(long, env = "SIGHTSTREAM_DEPLOY_DELETE", value_parser = FalseyValueParser::new())]
    pub delete: bool,

    /// How long it may take
    #[arg(
        long,
        env = "SIGHTSTREAM_DEPLOY_STOP_TIMEOUT",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = values::duration
    )]
    pub timeout: Duration,
}

/// `sightstream deploy start`.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// The pipeline's name, or its id
    #[arg(value_name = "NAME|ID")]
    pub pipeline: String,

    #[command(flatten)]
    pub run: RunLimits,
}

/// What Arroyo takes: a second to a day.
fn checkpoint_interval(text: &str) -> Result<Duration, String> {
    match values::duration(text)? {
        interval if interval < Duration::from_secs(1) || interval > Duration::from_secs(24 * 60 * 60) => {
            Err("write 1s or more, and a day (1440m) at most".to_string())
        }
        interval => Ok(interval),
    }
}

/// What stands in a string of the functions' dependency comment.
fn source_text(text: &str) -> Result<String, String> {
    match text {
        "" => Err("it is empty".to_string()),
        text if text.contains("*/") || text.contains(|c: char| c == '"' || c.is_control()) => {
            Err("write it without quotes, */ and line breaks: it becomes part of the functions' source".to_string())
        }
        text => Ok(text.to_string()),
    }
}
