//! `sightstream embed`: references in, JSON lines out, in the same order.

mod input;
mod output;

use std::io::IsTerminal;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use sightstream_model::service::EmbeddingService;

use self::input::{Budget, Entry, Request};
use self::output::Output;
use crate::args::EmbedArgs;
use crate::encoder;
use crate::error::Outcome;
use crate::progress;

/// How many inputs are embedded at the same time. One slow download holds back at most the lines of so many later
/// inputs, which wait for it in memory: the output keeps the order of the input.
const IN_FLIGHT: usize = 512;

/// How many inputs are taken apart at the same time.
const WHOLES_IN_FLIGHT: usize = 16;

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
    let service = encoder::start(&args.encoder).await?;
    let instruction = args.instruction;
    let segments = args.segments;
    // How many parts there are, nobody knows before.
    let bar = progress_bar(total.filter(|_| !segments));

    let mut outputs = entries
        .map_ok(|entry| inputs(&service, entry, segments))
        .try_buffered(WHOLES_IN_FLIGHT)
        .map_ok(|inputs| futures::stream::iter(inputs).map(Ok))
        .try_flatten()
        .map_ok(|input| embed(&service, input, instruction.as_deref()))
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

/// What is embedded, or the line of what cannot be.
enum Input {
    Request(Request, Option<Budget>),
    Failed(Output),
}

/// The inputs of an entry: itself, or its parts.
async fn inputs(service: &EmbeddingService, entry: Entry, segments: bool) -> anyhow::Result<Vec<Input>> {
    let request = match entry.request {
        Ok(request) => request,
        Err(unreadable) => return Ok(vec![Input::Failed(Output::unreadable(unreadable))]),
    };
    if !segments {
        return Ok(vec![Input::Request(request, entry.budget)]);
    }
    Ok(match service.segments(&request.url).await {
        Ok(parts) => {
            let of_part = |url| Request { url, ..request.clone() };
            let parts = parts.into_iter();
            parts
                .map(|url| Input::Request(of_part(url), entry.budget.clone()))
                .collect()
        }
        Err(error) => {
            let failed = Output::embedded(request.id, request.url, Err(error.to_string()), entry.budget);
            vec![Input::Failed(failed)]
        }
    })
}

async fn embed(service: &EmbeddingService, input: Input, instruction: Option<&str>) -> anyhow::Result<Output> {
    let (request, budget) = match input {
        Input::Request(request, budget) => (request, budget),
        Input::Failed(output) => return Ok(output),
    };
    let Request {
        id,
        url,
        instruction: own,
    } = request;
    let vector = service
        .embed(&url, own.as_deref().or(instruction))
        .await
        .map_err(|error| error.to_string());
    // The line's share of the input budget is given back with `budget`, after its outputs are made.
    Ok(Output::embedded(id, url, vector, budget))
}

/// A bar on standard error; none where the JSON lines appear on the same terminal.
fn progress_bar(total: Option<u64>) -> ProgressBar {
    if std::io::stdout().is_terminal() {
        ProgressBar::hidden()
    } else {
        progress::bar("embedded", total)
    }
}
