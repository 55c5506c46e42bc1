//! `sightstream eval`.

use std::path::PathBuf;

use clap::Args;

use super::EncoderArgs;

pub const EXAMPLES: &str = r#"Examples:
  sightstream eval held_out.jsonl --model Qwen/Qwen2-VL-2B-Instruct --adapter runs/photos
      where held_out.jsonl holds pairs as training reads them
        {"query": {"text": "a red bicycle"}, "positive": {"url": "photos/7.jpg"}, "negatives": [{"url": "photos/9.jpg"}]}

  sightstream eval held_out.jsonl --model Qwen/Qwen2-VL-2B-Instruct --adapter runs/photos \
    --baseline Qwen/Qwen2-VL-2B-Instruct --csv scores.csv
      before and after, side by side

  sightstream eval held_out.jsonl --corpus distractors.jsonl
      ranks among these items too, {"url": …} a line

A query is ranked against all positives and negatives of the file and of --corpus, and where its row has "candidates",
against these as well. "positive" may be a list. An item is {"url", "text", "instruction"}, with a url, a text or both; relative
urls start from the file's folder. A row that cannot be read is left out; an item that cannot be embedded is found by no
query. Both are told, and the exit code is 1 then."#;

/// What is ranked, and how it is shown.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The pairs: JSON lines or Parquet
    #[arg(value_name = "PAIRS.jsonl")]
    pub pairs: PathBuf,

    /// More items to rank among, one a line
    #[arg(long, env = "SIGHTSTREAM_CORPUS", value_name = "FILE")]
    pub corpus: Option<PathBuf>,

    /// Write the scores here too
    #[arg(long, env = "SIGHTSTREAM_CSV", value_name = "FILE")]
    pub csv: Option<PathBuf>,

    /// Write here how each query went: the place of its best positive, and what stands first
    #[arg(long, env = "SIGHTSTREAM_DETAILS", value_name = "FILE")]
    pub details: Option<PathBuf>,

    /// Rank with this model first, without an adapter, and show both and the difference
    #[arg(long, env = "SIGHTSTREAM_BASELINE", value_name = "DIR|ID")]
    pub baseline: Option<String>,

    #[command(flatten)]
    pub encoder: EncoderArgs,
}
