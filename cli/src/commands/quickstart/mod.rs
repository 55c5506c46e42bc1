//! `sightstream quickstart`: the whole way on one machine, with nothing to install beside it.

mod broker;
mod data_dir;
mod media;
mod searches;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use sightstream_connectors::dead_letter::DeadLetterTarget;
use sightstream_connectors::qdrant::Store;
use sightstream_model::service::EmbeddingService;
use sightstream_sql::{Job, JobSummary, Plan, Script};
use tokio_util::sync::CancellationToken;

use self::broker::Broker;
use self::data_dir::DataDir;
use self::media::{Folder, Medium};
use super::job::{self, Extent, Watch};
use crate::args::{JobArgs, QuickstartArgs};
use crate::encoder;
use crate::error::Outcome;

/// A pipeline that is run: its text, where it lies in the repository, and the collection that it fills.
struct Pipeline {
    sql: &'static str,
    file: &'static str,
    collection: &'static str,
}

/// A point a medium.
const MEDIA: Pipeline = Pipeline {
    sql: include_str!("../../../../sql/pipelines/index_media.sql"),
    file: "sql/pipelines/index_media.sql",
    collection: "media",
};

/// A point a window of a video, and a page of a document.
const MOMENTS: Pipeline = Pipeline {
    sql: include_str!("../../../../sql/pipelines/index_moments.sql"),
    file: "sql/pipelines/index_moments.sql",
    collection: "moments",
};

/// The topic that both read.
const TOPIC: &str = "media";

/// The sample media, in the repository's folder.
const SAMPLE_MEDIA: &str = "examples/media";

const POLL: Duration = Duration::from_millis(50);

/// Indexes a folder and searches it.
pub async fn execute(mut args: QuickstartArgs) -> anyhow::Result<Outcome> {
    let sample = args.media.is_none();
    let root = args.media.clone().unwrap_or_else(|| PathBuf::from(SAMPLE_MEDIA));
    let folder = if sample {
        Folder::sample(&root).context("run this in the repository's folder, or name a folder with --media")?
    } else {
        Folder::scan(&root)?
    };
    let data_dir = DataDir::prepare(&args.data_dir)?;
    introduce(&root, &folder)?;

    args.encoder.fetch.also_allow(&root);
    let service = encoder::start(&args.encoder).await?;
    let broker = Broker::start(TOPIC)?;
    let qdrant = format!("embedded:{}", data_dir.qdrant().display());
    say(&[
        format!(
            "model        {}, vectors of {} numbers",
            service.model_name(),
            service.dimension()
        ),
        format!(
            "broker       Kafka at {}, in this process; topic {TOPIC}",
            broker.bootstrap_servers()
        ),
        format!(
            "collections  {} and {} in {qdrant}, in this process",
            MEDIA.collection, MOMENTS.collection
        ),
        format!("pipelines    {} and {}", MEDIA.file, MOMENTS.file),
        String::new(),
    ])?;

    let summaries = index(&folder.media, &broker, &qdrant, &data_dir, &service).await?;
    for (pipeline, summary) in [&MEDIA, &MOMENTS].into_iter().zip(&summaries) {
        say(&[format!("{}:", pipeline.collection), job::report(summary), String::new()])?;
    }
    if summaries.iter().any(|summary| !summary.dead_lettered.is_empty()) {
        if sample {
            say(&[
                "One picture of the sample, boat_at_dusk.jpg, is cut off in its middle on purpose. What cannot be"
                    .into(),
                "embedded does not stop the stream: it is kept with its record, its offset and the reason, in".into(),
                data_dir.dead_letters().display().to_string(),
            ])?;
        } else {
            say(&[format!(
                "what could not be indexed, and why: {}",
                data_dir.dead_letters().display()
            )])?;
        }
    }

    let store = Store::open(&qdrant, None).await?;
    let media = store.collection(MEDIA.collection).await?;
    let text = args.query.as_deref().or(sample.then_some(searches::SAMPLE_TEXT));
    searches::run(&service, &media, &folder.media, text).await?;
    let moments = store.collection(MOMENTS.collection).await?;
    if sample {
        searches::run_sample_moments(&service, &moments).await?;
    } else {
        searches::run_moments(&service, &moments, &folder.media).await?;
    }
    farewell(&args, &qdrant)?;
    Ok(Outcome::Done)
}

/// Runs both pipelines over `media`, beside each other and beside the producer, until every record is durable. What both
/// need is computed once.
async fn index(
    media: &[Medium],
    broker: &Broker,
    qdrant: &str,
    data_dir: &DataDir,
    service: &EmbeddingService,
) -> anyhow::Result<[JobSummary; 2]> {
    let job_args = JobArgs {
        dead_letters: Some(DeadLetterTarget::File(data_dir.dead_letters())),
        ..JobArgs::default()
    };
    let servers = broker.bootstrap_servers();
    let whole = open(&MEDIA, &job_args, &servers, qdrant, service).await?;
    let parts = open(&MOMENTS, &job_args, &servers, qdrant, service).await?;
    let (wholes, moments) = (whole.progress(), parts.progress());
    let finished = || wholes.snapshot().read.min(moments.snapshot().read);
    // It takes longer: it has more rows.
    let _watch = Watch::start(moments.clone(), Extent::Records(media.len() as u64));

    let stop = CancellationToken::new();
    let records = media.iter().map(|medium| {
        let value = serde_json::to_string(medium).expect("a medium is texts only, which JSON can hold");
        (medium.id.clone(), value)
    });
    let feed = async {
        let produced = broker.produce(records, finished).await?;
        while finished() < produced {
            tokio::time::sleep(POLL).await;
        }
        stop.cancel();
        Ok::<(), anyhow::Error>(())
    };
    let run = async |job: Job| job.run(stop.clone()).await.map_err(anyhow::Error::from);
    let (wholes, moments, ()) = tokio::try_join!(run(whole), run(parts), feed)?;
    Ok([wholes, moments])
}

/// The job of `pipeline`.
async fn open(
    pipeline: &Pipeline,
    args: &JobArgs,
    servers: &str,
    qdrant: &str,
    service: &EmbeddingService,
) -> anyhow::Result<Job> {
    let script = Script::parse_with_environment(pipeline.sql, pipeline.file, &|name| match name {
        "SIGHTSTREAM_KAFKA" => Some(servers.to_string()),
        "SIGHTSTREAM_QDRANT" => Some(qdrant.to_string()),
        other => std::env::var(other).ok(),
    })?;
    let plan = Plan::new(script).await?;
    let options = job::options(args, Path::new(pipeline.file), false, &plan);
    Ok(Job::open(plan, options, Some(service.clone().into())).await?)
}

/// Says what was found in the folder, and what was passed over.
fn introduce(root: &Path, folder: &Folder) -> anyhow::Result<()> {
    let mut lines = vec![format!("media        {} in {}", folder.counts(), root.display())];
    if folder.others > 0 {
        lines.push(format!(
            "             {} files of other kinds passed over",
            folder.others
        ));
    }
    if folder.links > 0 {
        lines.push(format!("             {} symbolic links not followed", folder.links));
    }
    lines.extend(
        folder
            .problems
            .iter()
            .map(|problem| format!("             cannot be read: {problem}")),
    );
    say(&lines)
}

/// Says what to try next.
fn farewell(args: &QuickstartArgs, qdrant: &str) -> anyhow::Result<()> {
    let program = std::env::args().next().unwrap_or_else(|| "sightstream".to_string());
    let mut lines = vec![String::new()];
    if args.encoder.model.is_none() {
        lines.extend([
            "The built-in demo checkpoint is tiny and has seen drawn shapes, places, movements and pages only. Name a"
                .into(),
            "larger one with --model (a folder or a Hugging Face id).".into(),
            String::new(),
        ]);
    }
    lines.push("Search on:".to_string());
    lines.push(format!(
        "  {program} search 'your text' --qdrant {qdrant} --collection {}",
        MEDIA.collection
    ));
    lines.push(format!(
        "  {program} search 'your text' --qdrant {qdrant} --collection {} --moments",
        MOMENTS.collection
    ));
    say(&lines)
}

fn say(lines: &[String]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(())
}
