//! The searches of a quickstart.

use std::io::Write;

use sightstream_connectors::qdrant::{Collection, Filter};
use sightstream_model::processor::prompt::DEFAULT_PAGE_INSTRUCTION;
use sightstream_model::reference::{Fragment, split_part};
use sightstream_model::service::EmbeddingService;

use super::media::{Medium, Sort};
use crate::commands::search::{self, Moment, Names, Query};

/// How many results each search shows.
const LIMIT: usize = 5;

/// What the moments of the sample media are searched by, in the repository's folder: what it is, where it lies, and the
/// instruction.
const SAMPLE_QUERIES: [(&str, &str, Option<&str>); 2] = [
    ("another film", "examples/queries/snow_again.mp4", None),
    (
        "a photo of a page",
        "examples/queries/photo_of_a_page.jpg",
        Some(DEFAULT_PAGE_INSTRUCTION),
    ),
];

/// What the sample media are searched for.
pub const SAMPLE_TEXT: &str = "a red bicycle near water";

/// The image of the sample media that is searched by.
const SAMPLE_IMAGE: &str = "bicycle_by_water";

/// Searches by text, by an image, and by text limited by a payload field; `text` is searched for, if it is given.
pub async fn run(
    service: &EmbeddingService,
    collection: &Collection,
    media: &[Medium],
    text: Option<&str>,
) -> anyhow::Result<()> {
    let image = indexed_image(collection, media).await?;
    let example = media
        .iter()
        .find(|medium| medium.sort == Sort::Text)
        .or(image)
        .map(|medium| medium.words.as_str());
    let text = text.or(example).unwrap_or("a photo");

    let by_text = Query::text(text, None);
    let in_media = Search {
        service,
        collection,
        names: Names::Urls,
    };
    in_media.show(&format!("By text: {text}"), &by_text, &[]).await?;
    if let Some(image) = image {
        let by_image = Query::medium(&image.url, None);
        in_media
            .show(&format!("By an image: {}", image.url), &by_image, &[])
            .await?;
    }
    let kind = image.map_or("text", |image| image.kind.as_str());
    let filter = Filter {
        field: "kind".to_string(),
        value: kind.to_string(),
    };
    in_media
        .show(&format!("By text, only where kind={kind}: {text}"), &by_text, &[filter])
        .await
}

/// Searches by a moment of a video and by a page of a document, where some were indexed.
pub async fn run_moments(service: &EmbeddingService, collection: &Collection, media: &[Medium]) -> anyhow::Result<()> {
    let in_moments = Search {
        service,
        collection,
        names: Names::Moments,
    };
    let (mut moment, mut page) = (None, None);
    let with_parts = |medium: &&Medium| matches!(medium.sort, Sort::Video | Sort::Document);
    for medium in media.iter().filter(with_parts) {
        // One that cannot be read is among the dead letters.
        let parts = service.segments(&medium.url).await.unwrap_or_default();
        let Some(middle) = parts.get(parts.len() / 2) else {
            continue;
        };
        let place = match split_part(middle).1 {
            Some(Fragment::Time { .. }) => &mut moment,
            Some(Fragment::Page(_)) => &mut page,
            None => continue,
        };
        let filter = Filter {
            field: "url".to_string(),
            value: middle.clone(),
        };
        if place.is_none() && collection.count(&[filter]).await? > 0 {
            *place = Some(middle.clone());
        }
        if moment.is_some() && page.is_some() {
            break;
        }
    }
    for (what, url) in [("moment", moment), ("page", page)] {
        if let Some(url) = url {
            let title = format!("By a {what}: {}", Moment::at(&url));
            in_moments.show(&title, &Query::medium(&url, None), &[]).await?;
        }
    }
    Ok(())
}

/// Searches for a moment of the sample's videos and a page of its document by what shows the same.
pub async fn run_sample_moments(service: &EmbeddingService, collection: &Collection) -> anyhow::Result<()> {
    let in_moments = Search {
        service,
        collection,
        names: Names::Moments,
    };
    for (what, url, instruction) in SAMPLE_QUERIES {
        let query = Query::medium(url, instruction.map(str::to_string));
        in_moments.show(&format!("By {what}: {url}"), &query, &[]).await?;
    }
    Ok(())
}

/// The image to search by: the one of the sample, else the first that was indexed (a file may be broken).
async fn indexed_image<'a>(collection: &Collection, media: &'a [Medium]) -> anyhow::Result<Option<&'a Medium>> {
    let of_sample = media.iter().filter(|medium| medium.id == SAMPLE_IMAGE);
    for image in of_sample.chain(media).filter(|medium| medium.sort == Sort::Image) {
        let filter = Filter {
            field: "id".to_string(),
            value: image.id.clone(),
        };
        if collection.count(&[filter]).await? > 0 {
            return Ok(Some(image));
        }
    }
    Ok(None)
}

/// Where is searched.
struct Search<'a> {
    service: &'a EmbeddingService,
    collection: &'a Collection,
    names: Names,
}

impl Search<'_> {
    /// Searches and shows the nearest points under a title.
    async fn show(&self, title: &str, query: &Query, filters: &[Filter]) -> anyhow::Result<()> {
        let hits = search::nearest(self.service, self.collection, query, filters, LIMIT).await?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{}", search::shown(title))?;
        search::write_table(&mut out, &hits, self.names)?;
        out.flush()?;
        Ok(())
    }
}
