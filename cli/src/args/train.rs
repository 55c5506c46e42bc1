//! `sightstream train`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use sightstream_model::encoder::DtypeChoice;
use sightstream_settings::{DecoderChoice, FetchArgs, values as settings_values};

use super::{EncoderArgs, values};

pub const EXAMPLES: &str = r#"Examples:
  sightstream train demo.yaml
      where demo.yaml holds
        model_name: Qwen/Qwen2-VL-2B-Instruct
        output_dir: runs/photos
        batch_size: 256
        sub_batch_size: 64
        max_steps: 2000
        datasets:
          - {name: photos, path: photos.jsonl}
      and photos.jsonl a pair a line
        {"query": {"text": "a red bicycle"}, "positive": {"url": "photos/7.jpg", "instruction": "Represent the given image."}}

  sightstream train demo.yaml --set learning_rate=1e-4 --set datasets.0.weight=2

  sightstream train demo.yaml --resume
      goes on after the newest checkpoint in output_dir, as if there had been no stop; from the start if there is none

  sightstream embed photo.jpg --model Qwen/Qwen2-VL-2B-Instruct --adapter runs/photos

  sightstream eval held_out.jsonl --model Qwen/Qwen2-VL-2B-Instruct --adapter runs/photos \
    --baseline Qwen/Qwen2-VL-2B-Instruct

The output folder gets checkpoint-STEP folders, log.csv, TensorBoard's events in runs, loss.png, and at the end the adapter
or the model itself. docs/training.md tells every key of the configuration.

SIGTERM or SIGINT (Ctrl-C): the step that is under way is given up, a checkpoint of the one before is written, and it exits
with 0. A second signal ends it at once; --resume then goes on from the checkpoint before."#;

pub const MERGE_EXAMPLES: &str = r#"Examples:
  sightstream train merge --model Qwen/Qwen2-VL-2B-Instruct --adapter runs/photos --output photos-model

  sightstream embed photo.jpg --model photos-model
      gives the vectors of --model Qwen/Qwen2-VL-2B-Instruct --adapter runs/photos, up to the rounding of the stored
      type; --dtype f32 rounds nothing"#;

pub const MINE_EXAMPLES: &str = r#"Examples:
  sightstream train mine-negatives --pairs photos.jsonl --output photos_hard.jsonl --top-k 4
      each row with the 4 nearest targets of its query that are not its own as "negatives"; then train with
      num_hard_negatives: 4

  sightstream train mine-negatives --pairs photos.jsonl --output photos_hard.jsonl --max-score-ratio 0.95
      leaves out those that are almost as near as the positive: they may be right too

  sightstream train mine-negatives --pairs photos.jsonl --output photos_hard.jsonl \
    --qdrant http://localhost:6334 --collection media
      among the media of a collection instead of the targets of the file

The model is that of --model and --adapter: the one that is to be trained next."#;

/// What `--resume` means where it names no checkpoint.
pub const LATEST: &str = "latest";

/// Trains, or works on what training reads and writes.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct TrainArgs {
    #[command(subcommand)]
    pub action: Option<TrainAction>,

    #[command(flatten)]
    pub run: TrainRunArgs,
}

/// The actions beside training itself.
#[derive(Debug, Subcommand)]
pub enum TrainAction {
    /// Write an adapter and its base model as one checkpoint
    #[command(after_long_help = MERGE_EXAMPLES)]
    Merge(MergeArgs),
    /// Find the targets that the current model takes for each query's, and write them into the pairs file as negatives
    #[command(after_long_help = MINE_EXAMPLES)]
    MineNegatives(Box<MineArgs>),
}

/// Which configuration, and how it runs.
#[derive(Debug, Args)]
pub struct TrainRunArgs {
    /// The configuration
    #[arg(value_name = "CONFIG.yaml", required = true)]
    pub config: Option<PathBuf>,

    /// Go on after the newest checkpoint in the output folder (latest), or after this one
    #[arg(
        long,
        env = "SIGHTSTREAM_RESUME",
        value_name = "CHECKPOINT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = LATEST
    )]
    pub resume: Option<String>,

    /// Put a value over one of the configuration, as YAML; may be given several times. In the environment, one a line
    #[arg(long, env = "SIGHTSTREAM_SET", value_name = "KEY=VALUE", value_delimiter = '\n')]
    pub set: Vec<String>,

    #[command(flatten)]
    pub decoding: DecodingArgs,

    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// Where media are decoded, for a command whose other settings are in a file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Decoding")]
pub struct DecodingArgs {
    /// Where media are decoded. isolated: in processes of their own, so that a crash, a hang or runaway memory costs one
    /// medium. in-process: a little faster, and without that [default: isolated]
    #[arg(long, env = "SIGHTSTREAM_DECODER", value_name = "WHERE", value_parser = settings_values::decoder)]
    pub decoder: Option<DecoderChoice>,

    /// The memory that decoding one medium may take, in a process of its own [default: 1536MiB]
    #[arg(long, env = "SIGHTSTREAM_DECODE_MEMORY", value_name = "BYTES", value_parser = values::bytes)]
    pub decode_memory: Option<usize>,

    /// How long decoding an image, a video or a page may take, in a process of its own [default: 30s]
    #[arg(long, env = "SIGHTSTREAM_DECODE_TIMEOUT", value_name = "DURATION", value_parser = values::duration)]
    pub decode_timeout: Option<Duration>,

    /// The sightstream executable to decode with [default: the running one]
    #[arg(long, env = "SIGHTSTREAM_DECODE_WORKER", value_name = "FILE")]
    pub decode_worker: Option<PathBuf>,
}

/// `sightstream train merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The base model: a folder, or a Hugging Face id
    #[arg(long, env = "SIGHTSTREAM_MODEL", value_name = "DIR|ID")]
    pub model: String,

    /// The adapter: a PEFT folder, or a Hugging Face id
    #[arg(long, env = "SIGHTSTREAM_ADAPTER", value_name = "DIR|ID")]
    pub adapter: String,

    /// The folder to write; it must not be there yet
    #[arg(long, env = "SIGHTSTREAM_OUTPUT", value_name = "DIR")]
    pub output: PathBuf,

    /// f32, f16 or bf16 [default: that of the base model's weights]
    #[arg(long, env = "SIGHTSTREAM_DTYPE", value_parser = settings_values::dtype)]
    pub dtype: Option<DtypeChoice>,

    /// The min_pixels that the adapter was trained with: the checkpoint will say it [default: the base model's]
    #[arg(long, env = "SIGHTSTREAM_MIN_PIXELS", value_name = "PIXELS", value_parser = settings_values::pixels)]
    pub min_pixels: Option<u32>,

    /// The max_pixels that the adapter was trained with: the checkpoint will say it [default: the base model's]
    #[arg(long, env = "SIGHTSTREAM_MAX_PIXELS", value_name = "PIXELS", value_parser = settings_values::pixels)]
    pub max_pixels: Option<u32>,
}

/// `sightstream train mine-negatives`.
#[derive(Debug, Args)]
pub struct MineArgs {
    /// The pairs file, JSON lines or Parquet
    #[arg(long, env = "SIGHTSTREAM_PAIRS", value_name = "FILE")]
    pub pairs: PathBuf,

    /// The pairs file to write, JSON lines; it must not be there yet
    #[arg(long, env = "SIGHTSTREAM_OUTPUT", value_name = "FILE.jsonl")]
    pub output: PathBuf,

    /// Negatives for each query
    #[arg(long, env = "SIGHTSTREAM_TOP_K", value_name = "N", default_value = "4", value_parser = values::count)]
    pub top_k: usize,

    /// Pass over each query's nearest so many: they are often right as well
    #[arg(long, env = "SIGHTSTREAM_SKIP_TOP", value_name = "N", default_value = "0")]
    pub skip_top: usize,

    /// Pass over what scores more than this share of the positive's own score: 0.95 [default: none is]
    #[arg(long, env = "SIGHTSTREAM_MAX_SCORE_RATIO", value_name = "SHARE", value_parser = ratio)]
    pub max_score_ratio: Option<f32>,

    /// Rows that cannot be read are left out; with a larger share of them there is no file
    #[arg(
        long,
        env = "SIGHTSTREAM_MAX_BAD_SHARE",
        value_name = "SHARE",
        default_value = "0.01",
        value_parser = share
    )]
    pub max_bad_share: f64,

    /// Neighbours from this Qdrant instead of the file's own targets: http(s)://HOST:PORT, or embedded:PATH
    #[arg(long, env = "SIGHTSTREAM_QDRANT", value_name = "URL", requires = "collection")]
    pub qdrant: Option<String>,

    /// The collection, or its alias
    #[arg(long, env = "SIGHTSTREAM_COLLECTION", value_name = "NAME", requires = "qdrant")]
    pub collection: Option<String>,

    /// The key that the Qdrant server asks for
    #[arg(long, env = "SIGHTSTREAM_QDRANT_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub api_key: Option<String>,

    #[command(flatten)]
    pub encoder: EncoderArgs,
}

/// A share of a score.
fn ratio(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(ratio) if ratio > 0.0 && ratio.is_finite() => Ok(ratio),
        _ => Err("write a number above 0, such as 0.95".to_string()),
    }
}

/// A share of all.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("write a number from 0 to 1".to_string()),
    }
}
