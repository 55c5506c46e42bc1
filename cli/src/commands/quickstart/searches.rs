//! The three searches of a quickstart.

use std::io::Write;

use sightstream_connectors::qdrant::{Collection, Filter};
use sightstream_model::service::EmbeddingService;

use super::media::Medium;
use crate::commands::search::{self, Names, Query};

/// How many results each search shows.
const LIMIT: usize = 5;

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
        .find(|medium| !medium.is_image)
        .or(image)
        .map(|medium| medium.words.as_str());
    let text = text.or(example).unwrap_or("a photo");

    let by_text = Query::text(text, None);
    show(service, collection, &format!("By text: {text}"), &by_text, &[]).await?;
    if let Some(image) = image {
        let by_image = Query::medium(&image.url, None);
        show(
            service,
            collection,
            &format!("By an image: {}", image.url),
            &by_image,
            &[],
        )
        .await?;
    }
    let kind = image.map_or("text", |image| image.kind.as_str());
    let filter = Filter {
        field: "kind".to_string(),
        value: kind.to_string(),
    };
    show(
        service,
        collection,
        &format!("By text, only where kind={kind}: {text}"),
        &by_text,
        &[filter],
    )
    .await
}

/// The image to search by: the one of the sample, else the first that was indexed (a file may be broken).
async fn indexed_image<'a>(collection: &Collection, media: &'a [Medium]) -> anyhow::Result<Option<&'a Medium>> {
    let of_sample = media.iter().filter(|medium| medium.id == SAMPLE_IMAGE);
    for image in of_sample.chain(media).filter(|medium| medium.is_image) {
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

async fn show(
    service: &EmbeddingService,
    collection: &Collection,
    title: &str,
    query: &Query,
    filters: &[Filter],
) -> anyhow::Result<()> {
    let hits = search::nearest(service, collection, query, filters, LIMIT).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{}", search::shown(title))?;
    search::write_table(&mut out, &hits, Names::Urls)?;
    out.flush()?;
    Ok(())
}
