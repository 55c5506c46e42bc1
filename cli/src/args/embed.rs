//! `sightstream embed`.

use clap::Args;
use clap::builder::FalseyValueParser;

use super::EncoderArgs;

pub const EXAMPLES: &str = r#"Examples:
  sightstream embed photo.jpg 'data:,red%20bicycle'
      {"url":"photo.jpg","vector":[0.0132,…]}
      {"url":"data:,red%20bicycle","vector":[-0.0201,…]}

  sightstream embed --instruction 'Represent the given image.' https://example.org/a.png

  sightstream embed --input media.jsonl > vectors.jsonl
      where media.jsonl holds {"id": 7, "url": "photos/a.png", "instruction": "…"} lines; id and instruction are
      optional, an id keeps its JSON type, other fields are passed over

  find photos -name '*.jpg' | jq -R '{url: .}' -c | sightstream embed --input -

  sightstream embed --segments harbour.mp4 report.pdf
      {"url":"harbour.mp4#t=0,30","vector":[…]}
      {"url":"harbour.mp4#t=30,60","vector":[…]}
      {"url":"report.pdf#page=1","vector":[…]}

Each input gives one line on standard output, in the order of the input: {"id", "url", "vector"}, or {"id", "url",
"error"} if it cannot be embedded. A line of the input that is no such JSON gives {"line", "error"}. Blank lines are
passed over. The exit code is 1 if any input gave an error."#;

/// What to embed.
#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// Media references: paths, or URLs (file:, http:, https:, s3:, gs:, az:, data:)
    #[arg(value_name = "URL", required_unless_present = "input", conflicts_with = "input")]
    pub urls: Vec<String>,

    /// A file of JSON lines {"id"?, "url", "instruction"?}; - is standard input
    #[arg(long, env = "SIGHTSTREAM_INPUT", value_name = "FILE.jsonl")]
    pub input: Option<String>,

    /// The instruction for inputs that bring none of their own [default: the model's, by modality]
    #[arg(long, env = "SIGHTSTREAM_INSTRUCTION", value_name = "TEXT")]
    pub instruction: Option<String>,

    /// A line for each window of a long video and each page of a document, with its own url, instead of one for the whole
    #[arg(long, env = "SIGHTSTREAM_SEGMENTS", value_parser = FalseyValueParser::new())]
    pub segments: bool,

    #[command(flatten)]
    pub encoder: EncoderArgs,
}
