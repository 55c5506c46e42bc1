//! `sightstream quickstart`.

use std::path::PathBuf;

use clap::Args;

use super::EncoderArgs;

pub const EXAMPLES: &str = r#"Examples:
  sightstream quickstart
      from the repository's folder: the media in examples/media

  sightstream quickstart --media ~/Pictures --query 'a dog on a beach' --model ./my-checkpoint

It needs no Kafka and no Qdrant: a broker (librdkafka's own, which keeps records in memory) and a Qdrant (embedded, in
the data folder) run in this process. Each run starts with an empty collection."#;

/// Which media, and where the result is kept.
#[derive(Debug, Args)]
pub struct QuickstartArgs {
    /// A folder of your own: images (JPEG, PNG, WebP, GIF, BMP, TIFF), videos, PDF documents and .txt files, at any
    /// depth
    #[arg(long, env = "SIGHTSTREAM_MEDIA", value_name = "DIR")]
    pub media: Option<PathBuf>,

    /// Where the collection and the dead letters are kept
    #[arg(
        long,
        env = "SIGHTSTREAM_DATA_DIR",
        value_name = "DIR",
        default_value = ".sightstream/quickstart"
    )]
    pub data_dir: PathBuf,

    /// What to search for by text [default: a text that was indexed, or the title of an image]
    #[arg(long, env = "SIGHTSTREAM_QUERY", value_name = "TEXT")]
    pub query: Option<String>,

    #[command(flatten)]
    pub encoder: EncoderArgs,
}
