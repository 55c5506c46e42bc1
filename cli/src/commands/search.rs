//! `sightstream search`: a query by text or by an image against a Qdrant collection.

mod moment;

use std::io::Write;

use anyhow::{Context, bail};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};
use sightstream_connectors::qdrant::{Collection, Filter, Hit, Store};
use sightstream_model::service::EmbeddingService;

pub use self::moment::Moment;
use crate::args::SearchArgs;
use crate::encoder;
use crate::error::{Outcome, UsageError};
use crate::progress;

/// A longer url is cut in the table (a `data:` URL may be megabytes); `--json` gives all of it.
const SHOWN_CHARACTERS: usize = 160;

/// What cannot stand as it is in the data of a `data:` URL.
const RESERVED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'`');

/// What is searched for.
#[derive(Debug, Clone)]
pub struct Query {
    /// The media reference that is embedded.
    url: String,
    instruction: Option<String>,
}

impl Query {
    /// A search for `text`.
    pub fn text(text: &str, instruction: Option<String>) -> Self {
        Self {
            url: text_url(text),
            instruction,
        }
    }

    /// A search by the medium at `url`.
    pub fn medium(url: impl Into<String>, instruction: Option<String>) -> Self {
        Self {
            url: url.into(),
            instruction,
        }
    }
}

/// The media reference that holds `text`.
pub fn text_url(text: &str) -> String {
    let media_type = if text.is_ascii() {
        ""
    } else {
        "text/plain;charset=utf-8"
    };
    format!("data:{media_type},{}", utf8_percent_encode(text, RESERVED))
}

/// Searches for what `args` name.
pub async fn execute(mut args: SearchArgs) -> anyhow::Result<Outcome> {
    let query = match (&args.text, &args.url) {
        (Some(text), None) if text.trim().is_empty() => {
            return Err(UsageError("the text to search for is empty".to_string()).into());
        }
        (Some(text), None) => Query::text(text, args.instruction.clone()),
        (None, Some(url)) => Query::medium(url, args.instruction.clone()),
        _ => {
            let message = "search by a text or by --url, not both: the encoder makes one vector of one medium";
            return Err(UsageError(message.to_string()).into());
        }
    };
    // The collection is looked up first: a wrong name is told before a model is loaded.
    let store = Store::open(&args.qdrant, args.api_key.as_deref()).await?;
    let collection = store.collection(&args.collection).await?;
    args.encoder.fetch.trust_paths();
    let service = encoder::start(&args.encoder).await?;
    let hits = nearest(&service, &collection, &query, &args.filter, args.limit).await?;

    let mut out = std::io::stdout().lock();
    let names = if args.moments { Names::Moments } else { Names::Urls };
    if args.json {
        write_json(&mut out, &hits, names)?
    } else {
        write_table(&mut out, &hits, names)?
    }
    if hits.is_empty() && !args.json {
        progress::tell(format_args!("nothing found: {}", emptiness(&collection, &args.filter)));
    }
    Ok(Outcome::Done)
}

/// The `limit` points nearest to `query`.
///
/// # Errors
/// If the collection was filled by another model than `service` runs, or the query cannot be embedded.
pub async fn nearest(
    service: &EmbeddingService,
    collection: &Collection,
    query: &Query,
    filters: &[Filter],
    limit: usize,
) -> anyhow::Result<Vec<Hit>> {
    let space = Space {
        model: service.model_name(),
        fingerprint: service.fingerprint(),
        dimension: service.dimension(),
    };
    check_space(&space, collection)?;
    let vector = service
        .embed(&query.url, query.instruction.as_deref())
        .await
        .context("the query cannot be embedded")?;
    Ok(collection.search(vector.to_vec(), filters, limit).await?)
}

/// What a model's vectors can be compared with.
#[derive(Debug, Clone, Copy)]
pub struct Space<'a> {
    /// Its name.
    pub model: &'a str,
    /// What tells its vectors from those of others.
    pub fingerprint: &'a str,
    /// How many numbers they have.
    pub dimension: usize,
}

/// Refuses to compare vectors of different models.
pub fn check_space(space: &Space<'_>, collection: &Collection) -> anyhow::Result<()> {
    let info = collection.info();
    if let Some(fingerprint) = &info.fingerprint
        && fingerprint != space.fingerprint
    {
        bail!(
            "the collection {} was filled by the model {} (fingerprint {fingerprint}), and the query would be encoded by \
             {} ({}), so that their vectors cannot be compared; search with the --model, --min-pixels and --max-pixels \
             that it was filled with",
            info.name,
            info.model.as_deref().unwrap_or("of unknown name"),
            space.model,
            space.fingerprint
        );
    }
    if info.dimension != space.dimension {
        bail!(
            "the collection {} holds vectors of {} numbers, and the model {} makes {}; search with the --model that it \
             was filled with",
            info.name,
            info.dimension,
            space.model,
            space.dimension
        );
    }
    Ok(())
}

fn emptiness(collection: &Collection, filters: &[Filter]) -> String {
    let name = &collection.info().name;
    if filters.is_empty() {
        format!("the collection {name} is empty")
    } else {
        let conditions: Vec<String> = filters
            .iter()
            .map(|filter| format!("{}={}", filter.field, filter.value))
            .collect();
        format!("no point of the collection {name} has {}", conditions.join(" and "))
    }
}

/// How hits are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// `video.mp4#t=750,780`.
    Urls,
    /// `video.mp4 12:30-13:00`.
    Moments,
}

/// Rank, score and name, aligned.
pub fn write_table(out: &mut impl Write, hits: &[Hit], names: Names) -> std::io::Result<()> {
    if hits.is_empty() {
        return Ok(());
    }
    let title = match names {
        Names::Urls => "url",
        Names::Moments => "moment",
    };
    writeln!(out, "{:>4}  {:>7}  {title}", "rank", "score")?;
    for (index, hit) in hits.iter().enumerate() {
        let name = match names {
            Names::Urls => None,
            Names::Moments => Moment::of(hit).map(|moment| moment.to_string()),
        };
        let name = name.unwrap_or_else(|| shown(&address(hit)));
        writeln!(out, "{:>4}  {:>7.4}  {name}", index + 1, hit.score)?;
    }
    Ok(())
}

/// One JSON object a line, with the whole payload; of moments also what `index_moments.sql` calls their parts.
fn write_json(out: &mut impl Write, hits: &[Hit], names: Names) -> anyhow::Result<()> {
    for (index, hit) in hits.iter().enumerate() {
        let url = hit.payload.get("url").cloned().unwrap_or(Value::Null);
        let mut line =
            json!({ "rank": index + 1, "score": hit.score, "id": hit.id, "url": url, "payload": hit.payload });
        if let (Names::Moments, Some(moment), Some(line)) = (names, Moment::of(hit), line.as_object_mut()) {
            line.extend(moment.fields());
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The url of a hit; its id where the payload has none.
fn address(hit: &Hit) -> String {
    match hit.payload.get("url") {
        Some(Value::String(url)) => url.clone(),
        _ => format!("(no url) id {}", hit.id),
    }
}

/// `text` cut to what fits a line, control characters escaped: payloads come from anywhere, and a terminal obeys.
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == SHOWN_CHARACTERS {
            shown.push('…');
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(score: f32, url: Option<&str>) -> Hit {
        let payload = url.map(|url| ("url".to_string(), json!(url))).into_iter().collect();
        Hit {
            id: "7".to_string(),
            score,
            payload,
        }
    }

    #[test]
    fn the_table_is_aligned_and_names_points_without_a_url_by_id() {
        let mut table = Vec::new();
        write_table(&mut table, &[hit(0.5, Some("/a.png")), hit(-0.25, None)], Names::Urls)
            .expect("a vector can be written to");
        let table = String::from_utf8(table).expect("it is text");
        assert_eq!(
            table,
            "rank    score  url\n   1   0.5000  /a.png\n   2  -0.2500  (no url) id 7\n"
        );
    }

    #[test]
    fn json_lines_hold_the_whole_payload() {
        let mut lines = Vec::new();
        write_json(&mut lines, &[hit(0.5, Some("/a.png"))], Names::Urls).expect("a vector can be written to");
        let line: Value = serde_json::from_slice(&lines).expect("it is JSON");
        let expected = json!({"rank": 1, "score": 0.5, "id": "7", "url": "/a.png", "payload": {"url": "/a.png"}});
        assert_eq!(line, expected);
    }

    #[test]
    fn moments_are_named_by_their_medium_and_place() {
        let hits = [
            hit(0.5, Some("v.mp4#t=750,780")),
            hit(0.25, Some("a.png")),
            hit(0.0, None),
        ];
        let (mut table, mut lines) = (Vec::new(), Vec::new());
        write_table(&mut table, &hits, Names::Moments).expect("a vector can be written to");
        assert_eq!(
            String::from_utf8(table).expect("it is text"),
            "rank    score  moment\n   1   0.5000  v.mp4 12:30-13:00\n   2   0.2500  a.png\n   3   0.0000  (no url) id 7\n"
        );
        write_json(&mut lines, &hits[..1], Names::Moments).expect("a vector can be written to");
        let line: Value = serde_json::from_slice(&lines).expect("it is JSON");
        assert_eq!(
            (&line["parent"], &line["start"], &line["end"]),
            (&json!("v.mp4"), &json!(750.0), &json!(780.0))
        );
        assert_eq!((&line["url"], &line["page"]), (&json!("v.mp4#t=750,780"), &Value::Null));
    }

    #[test]
    fn a_payload_cannot_command_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), SHOWN_CHARACTERS + 1);
    }

    #[test]
    fn a_text_query_is_a_reference_that_holds_the_text() {
        assert_eq!(text_url("a, b%#."), "data:,a,%20b%25%23.");
        assert_eq!(text_url("ü"), "data:text/plain;charset=utf-8,%C3%BC");
    }
}
