//! `sightstream search`.

use clap::Args;
use clap::builder::FalseyValueParser;
use sightstream_connectors::qdrant::Filter;

use super::{EncoderArgs, values};

pub const EXAMPLES: &str = r#"Examples:
  sightstream search 'red bicycle near water' --qdrant http://localhost:6334 --collection media
      rank  score   url
         1  0.4312  /photos/canal.jpg

  sightstream search --url photo.jpg --qdrant embedded:.sightstream/qdrant --collection media --limit 20

  sightstream search 'a chart of sales' --filter kind=image --filter year=2024 --json …
      {"rank":1,"score":0.3921,"id":"…","url":"…","payload":{…}}

  sightstream search 'the boat leaves' --qdrant embedded:.sightstream/qdrant --collection moments --moments
      rank    score  moment
         1   0.4127  harbour.mp4 12:30-13:00
         2   0.3350  report.pdf page 3

Set SIGHTSTREAM_QDRANT and SIGHTSTREAM_COLLECTION to leave those flags out.

Filters: year=2024 matches the text and the number, seen=true the text and the boolean; a.b=x looks into an object, a
list matches if one of its items does, and id=… is the row's id. Several filters must all hold.

Instructions: a text query without --instruction is encoded as it stands, an image with "Represent the given image.",
as indexing does, and so are videos and pages with theirs. VLM2Vec-V2 was trained with an instruction for each kind of target, for example "Find a document image
that matches the given query:" or "Find a video that contains the following visual content:"."#;

/// What to search, and where.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// The text to search for
    #[arg(value_name = "TEXT", required_unless_present = "url", conflicts_with = "url")]
    pub text: Option<String>,

    /// Search by the image, video, page or text at this path or URL instead
    #[arg(long, env = "SIGHTSTREAM_QUERY_URL", value_name = "URL")]
    pub url: Option<String>,

    /// The instruction for the query [default: none for text, the model's for each kind of medium]
    #[arg(long, env = "SIGHTSTREAM_INSTRUCTION", value_name = "TEXT")]
    pub instruction: Option<String>,

    /// http(s)://HOST:PORT (gRPC; port 6334 if none is given), or embedded:PATH for a folder that `run` has written
    #[arg(long, env = "SIGHTSTREAM_QDRANT", value_name = "URL")]
    pub qdrant: String,

    /// The collection, or its alias
    #[arg(long, env = "SIGHTSTREAM_COLLECTION", value_name = "NAME")]
    pub collection: String,

    /// The key that the Qdrant server asks for
    #[arg(long, env = "SIGHTSTREAM_QDRANT_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub api_key: Option<String>,

    /// Only points whose payload field has this value; may be given several times
    #[arg(long, env = "SIGHTSTREAM_FILTER", value_name = "FIELD=VALUE")]
    pub filter: Vec<Filter>,

    /// How many results
    #[arg(long, env = "SIGHTSTREAM_LIMIT", value_name = "N", default_value = "10", value_parser = values::count)]
    pub limit: usize,

    /// Name parts of media by their place: video.mp4 12:30-13:00, report.pdf page 3. With --json, also parent, start, end
    /// and page
    #[arg(long, env = "SIGHTSTREAM_MOMENTS", value_parser = FalseyValueParser::new())]
    pub moments: bool,

    /// JSON lines with the whole payload instead of a table
    #[arg(long, env = "SIGHTSTREAM_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,

    #[command(flatten)]
    pub encoder: EncoderArgs,
}
