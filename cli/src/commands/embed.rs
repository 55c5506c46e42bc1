//! `sightstream embed`: references in, JSON lines out, in the same order.

mod input;
mod output;

use std::io::IsTerminal;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use sightstream_model::service::EmbeddingService;

use self::input::{Entry, Request};
use self::output::Output;
use crate::args::EmbedArgs;
use crate::error::Outcome;
use crate::progress;

/// How many inputs are embedded at the same time. One slow download holds back at most the lines of so many later
/// inputs, which wait for it in memory: the output keeps the order of the input.
const IN_FLIGHT: usize = 512;

/// Embeds what `args` name.
pub async fn execute(mut args: EmbedArgs) -> anyhow::Result<Outcome> {
    let (entries, total): (BoxStream<'static, anyhow::Result<Entry>>, _) = match &args.input {
        Some(path) => (input::json_lines(path).await?.boxed(), None),
        None => {
            let total = args.urls.len() as u64;
            let requests = args.urls.into_iter().map(|url| Ok(Entry::of_url(url)));
            (futures::stream::iter(requests).boxed(), Some(total))
        }
    };
    args.encoder.fetch.trust_paths();
    let service = args.encoder.start().await?;
    let instruction = args.instruction;
    let bar = progress_bar(total);

    let mut outputs = entries
        .map_ok(|entry| embed(&service, entry, instruction.as_deref()))
        .try_buffered(IN_FLIGHT);
    let mut failed: u64 = 0;
    while let Some(output) = outputs.try_next().await? {
        failed += u64::from(output.is_error());
        output.write(&mut std::io::stdout().lock())?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    if failed > 0 {
        tracing::debug!(failed, "some inputs gave an error");
        return Ok(Outcome::SomeFailed);
    }
    Ok(Outcome::Done)
}

async fn embed(service: &EmbeddingService, entry: Entry, instruction: Option<&str>) -> anyhow::Result<Output> {
    let Request {
        id,
        url,
        instruction: own,
    } = match entry.request {
        Ok(request) => request,
        Err(unreadable) => return Ok(Output::unreadable(unreadable)),
    };
    let vector = service
        .embed(&url, own.as_deref().or(instruction))
        .await
        .map_err(|error| error.to_string());
    // The entry's share of the input budget is given back with `entry.budget`, after the line is made.
    Ok(Output::embedded(id, url, vector, entry.budget))
}

/// A bar on standard error; none where the JSON lines appear on the same terminal.
fn progress_bar(total: Option<u64>) -> ProgressBar {
    if std::io::stdout().is_terminal() {
        ProgressBar::hidden()
    } else {
        progress::bar("embedded", total)
    }
}
