//! The command line. Every flag is an environment variable too, under the name that its help shows.

mod check;
mod dead_letters;
mod deploy;
mod embed;
mod eval;
mod quickstart;
mod run;
mod search;
mod settings;
mod train;
mod values;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use check::{CheckArgs, FindingFormat};
pub use dead_letters::{DeadLettersAction, DeadLettersArgs, LettersArgs, ListArgs, ListFormat, ReplayArgs};
pub use deploy::{ClusterArgs, DeployAction, DeployArgs, FunctionArgs, ListPipelinesArgs, StartArgs, StopArgs};
pub use embed::EmbedArgs;
pub use eval::EvalArgs;
pub use quickstart::QuickstartArgs;
pub use run::{JobArgs, RunArgs};
pub use search::SearchArgs;
pub use settings::Settings;
use sightstream_settings::DECODE_WORKER;
pub use sightstream_settings::EncoderArgs;
pub use train::{LATEST, MergeArgs, MineArgs, TrainAction, TrainArgs, TrainRunArgs};

use crate::error::EXIT_CODES;

/// Media search that is always current: embed images and text in streaming SQL, into Qdrant.
///
/// A media reference is a path or a URL (file:, http:, https:, s3:, gs:, az:), or text as data:,red%20bicycle.
#[derive(Debug, Parser)]
#[command(name = "sightstream", version, after_help = EXIT_CODES, max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub log: LogArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Embed media references: one JSON line each, in the order of the input
    #[command(after_long_help = embed::EXAMPLES)]
    Embed(EmbedArgs),
    /// Search a Qdrant collection by text or by an image
    #[command(after_long_help = search::EXAMPLES)]
    Search(SearchArgs),
    /// Run a SQL file: read, embed, write, until it is stopped or its sources end
    #[command(after_long_help = run::EXAMPLES)]
    Run(RunArgs),
    /// Tell all that is wrong with a SQL file and with what it names, without running it
    #[command(after_long_help = check::EXAMPLES)]
    Check(CheckArgs),
    /// Look at the dead letters of a job, and send them back after a fix
    DeadLetters(DeadLettersArgs),
    /// Put a SQL file onto an Arroyo cluster: register the functions that it calls, start it, and follow it until it runs
    #[command(after_long_help = deploy::EXAMPLES)]
    Deploy(DeployArgs),
    /// Train the encoder on pairs: an adapter for a checkpoint, all of its weights, or a model from scratch
    #[command(after_long_help = train::EXAMPLES)]
    Train(Box<TrainArgs>),
    /// Rank pairs with a model, and score it: Hit@k, MRR, NDCG, recall, MAP; before and after training
    #[command(after_long_help = eval::EXAMPLES)]
    Eval(Box<EvalArgs>),
    /// See it work: a broker in this process, media into Qdrant, three searches
    #[command(after_long_help = quickstart::EXAMPLES)]
    Quickstart(QuickstartArgs),
    /// Decode what the process that started this one sends
    #[command(name = DECODE_WORKER, hide = true)]
    DecodeWorker,
}

impl Command {
    /// The log level where the user asks for none: a long job says what it does, the others only what is wrong.
    pub fn default_log_level(&self) -> &'static str {
        match self {
            Self::Run(_) => "info",
            Self::Train(args) if args.action.is_none() => "info",
            // What is wrong is told among the findings.
            Self::Check(_) => "error",
            Self::DeadLetters(_)
            | Self::Deploy(_)
            | Self::Embed(_)
            | Self::Eval(_)
            | Self::Search(_)
            | Self::Quickstart(_)
            | Self::Train(_)
            | Self::DecodeWorker => "warn",
        }
    }
}

/// How logs look. They go to standard error.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// The form of the logs
    #[arg(
        long,
        env = "SIGHTSTREAM_LOG_FORMAT",
        global = true,
        value_enum,
        default_value = "text"
    )]
    pub log_format: LogFormat,

    /// error, warn, info, debug, trace, or a filter such as sightstream_model=debug,info [default: $RUST_LOG, else info
    /// for `run` and `train`, error for `check` and warn for the others]
    #[arg(long, env = "SIGHTSTREAM_LOG_LEVEL", global = true, value_name = "LEVEL")]
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_is_an_environment_variable_too() {
        let cli = Cli::command();
        let commands = cli
            .get_subcommands()
            .flat_map(|command| std::iter::once(command).chain(command.get_subcommands()));
        for command in commands {
            for argument in command.get_arguments().filter(|argument| argument.get_long().is_some()) {
                assert!(
                    argument.get_env().is_some(),
                    "{} --{}",
                    command.get_name(),
                    argument.get_id()
                );
            }
        }
    }
}
