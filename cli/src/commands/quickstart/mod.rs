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
use crate::error::Outcome;

/// The pipeline that is run, and where it lies in the repository.
const PIPELINE: &str = include_str!("../../../../sql/pipelines/index_media.sql");
const PIPELINE_FILE: &str = "sql/pipelines/index_media.sql";

/// The topic and the collection that the pipeline names.
const TOPIC: &str = "media";
const COLLECTION: &str = "media";

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
    let service = args.encoder.start().await?;
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
        format!("collection   {COLLECTION} in {qdrant}, in this process"),
        format!("pipeline     {PIPELINE_FILE}"),
        String::new(),
    ])?;

    let summary = index(&folder.media, &broker, &qdrant, &data_dir, &service).await?;
    say(&[job::report(&summary)])?;
    if !summary.dead_lettered.is_empty() {
        if sample {
            say(&[
                String::new(),
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
    let collection = store.collection(COLLECTION).await?;
    searches::run(&service, &collection, &folder.media, args.query.as_deref()).await?;
    farewell(&args, &qdrant)?;
    Ok(Outcome::Done)
}

/// Runs the pipeline over `media`: the producer and the job at the same time, until every record is durable.
async fn index(
    media: &[Medium],
    broker: &Broker,
    qdrant: &str,
    data_dir: &DataDir,
    service: &EmbeddingService,
) -> anyhow::Result<JobSummary> {
    let servers = broker.bootstrap_servers();
    let script = Script::parse_with_environment(PIPELINE, PIPELINE_FILE, &|name| match name {
        "SIGHTSTREAM_KAFKA" => Some(servers.clone()),
        "SIGHTSTREAM_QDRANT" => Some(qdrant.to_string()),
        other => std::env::var(other).ok(),
    })?;
    let dead_letters = DeadLetterTarget::File(data_dir.dead_letters());
    let job_args = JobArgs {
        dead_letters: Some(dead_letters),
        ..JobArgs::default()
    };
    let options = job::options(&job_args, Path::new(PIPELINE_FILE), false);
    let job = Job::open(Plan::new(script).await?, options, Some(service.clone().into())).await?;
    let progress = job.progress();
    let _watch = Watch::start(progress.clone(), Extent::Records(media.len() as u64));

    let stop = CancellationToken::new();
    let records = media.iter().map(|medium| {
        let value = serde_json::to_string(medium).expect("a medium is texts only, which JSON can hold");
        (medium.id.clone(), value)
    });
    let feed = async {
        let produced = broker.produce(records, &progress).await?;
        while progress.snapshot().read < produced {
            tokio::time::sleep(POLL).await;
        }
        stop.cancel();
        Ok::<(), anyhow::Error>(())
    };
    let run = async { job.run(stop.clone()).await.map_err(anyhow::Error::from) };
    let (summary, ()) = tokio::try_join!(run, feed)?;
    Ok(summary)
}

/// Says what was found in the folder, and what was passed over.
fn introduce(root: &Path, folder: &Folder) -> anyhow::Result<()> {
    let images = folder.images();
    let texts = folder.media.len() - images;
    let mut lines = vec![format!(
        "media        {images} images and {texts} texts in {}",
        root.display()
    )];
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
            "The built-in demo checkpoint has the real architecture and random weights: it finds the same media".into(),
            "again and understands nothing. Name a trained one with --model (a folder or a Hugging Face id).".into(),
            String::new(),
        ]);
    }
    lines.push("Search on:".to_string());
    lines.push(format!(
        "  {program} search 'your text' --qdrant {qdrant} --collection {COLLECTION}"
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
