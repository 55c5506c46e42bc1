//! `sightstream eval`: how well a model ranks what a file of pairs asks.

use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use sightstream_jobs::JobError;
use sightstream_jobs::data::{Dataset, Identity, Item, ItemWords, Medium, Vectors, read_items};
use sightstream_jobs::eval::report::{self, Comparison};
use sightstream_jobs::eval::{Evaluation, Row, Task};
use sightstream_jobs::whole::WholeFile;
use sightstream_settings::EncoderArgs;

use crate::args::EvalArgs;
use crate::commands::search::shown;
use crate::error::{Outcome, UsageError};
use crate::{items, progress};

/// Items that are encoded between two steps of the progress bar.
const AT_ONCE: usize = 64;

/// Ranks what `args` name.
pub async fn execute(args: EvalArgs) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || evaluate(args))
        .await
        .context("the evaluation ended early")?
}

fn evaluate(mut args: EvalArgs) -> anyhow::Result<Outcome> {
    let pairs = items::open_pairs(&args.pairs)?;
    // A bare name has an empty parent, and the current folder is allowed already.
    let beside = args.corpus.as_deref().and_then(Path::parent);
    let beside = beside.filter(|folder| !folder.as_os_str().is_empty());
    items::allow_beside(&mut args.encoder.fetch, pairs.folders().chain(beside));
    // What cannot be written is told before hours of encoding.
    for path in [&args.csv, &args.details].into_iter().flatten() {
        can_be_written(path)?;
    }
    let (task, bad) = read(&pairs, args.corpus.as_deref())?;

    let before = match &args.baseline {
        None => None,
        Some(baseline) => {
            let mut encoder = args.encoder.clone();
            (encoder.model, encoder.adapter) = (Some(baseline.clone()), None);
            Some(rank(&task, &encoder, "before")?)
        }
    };
    let after = rank(&task, &args.encoder, "after")?;
    let comparison = Comparison {
        before: before.as_ref(),
        after: &after,
    };
    // All three are tried, whatever becomes of the first: the numbers took long.
    let shown = write!(std::io::stdout().lock(), "{comparison}");
    let csv = write(args.csv.as_deref(), |file| comparison.write_csv(file));
    let details = write(args.details.as_deref(), |file| {
        report::write_details(&task, &after, Entry::name, file)
    });
    csv.and(details)?;
    shown?;
    let mut some_failed = bad > 0;
    for (model, evaluation) in [("the baseline", before.as_ref()), ("the model", Some(&after))] {
        let unreadable = evaluation.and_then(|ranked| report::unreadable(&task, &ranked.unreadable, Entry::name));
        if let Some(sentence) = unreadable {
            tracing::warn!("{model}: {sentence}");
            some_failed = true;
        }
    }
    Ok(if some_failed {
        Outcome::SomeFailed
    } else {
        Outcome::Done
    })
}

/// An item of a task. Two are one where the encoder is given the same.
#[derive(Debug, Clone)]
struct Entry {
    item: Item,
    key: (Identity, Option<String>),
}

impl Entry {
    fn of(item: Item) -> Self {
        Self {
            key: (item.identity(), item.own_instruction().map(str::to_owned)),
            item,
        }
    }

    /// What a person knows it by.
    fn name(&self) -> String {
        let medium = self.item.medium.as_ref().map(|medium| match medium {
            Medium::Url(url) => url.clone(),
            Medium::Bytes { name, .. } => name.clone(),
            Medium::Frames(folder) => folder.display().to_string(),
        });
        let text = match &self.item.words {
            ItemWords::Given { text, .. } => text.clone(),
            ItemWords::Around { before, after } => Some(format!("{before}{after}")),
        };
        shown(&medium.or(text).unwrap_or_default())
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Entry {}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// What the pairs ask, among what `corpus` adds; and how many rows cannot be read.
fn read(pairs: &Dataset, corpus: Option<&Path>) -> anyhow::Result<(Task<Entry>, usize)> {
    let mut bad = 0;
    let mut leave_out = |reason: String| {
        tracing::warn!(reason, "a row is left out");
        bad += 1;
    };
    let entries = |items: Vec<Item>| items.into_iter().map(Entry::of).collect();
    let mut rows = Vec::new();
    for row in 0..pairs.rows() {
        match pairs.pair(row) {
            Ok(pair) => rows.push(Row {
                query: Entry::of(pair.query),
                positives: entries(pair.positives),
                negatives: entries(pair.negatives),
                candidates: entries(pair.candidates),
            }),
            Err(reason) => leave_out(reason),
        }
    }
    let mut more = Vec::new();
    if let Some(corpus) = corpus {
        for item in read_items(corpus).map_err(items::usage)? {
            match item {
                Ok(item) => more.push(Entry::of(item)),
                Err(reason) => leave_out(reason),
            }
        }
    }
    if rows.is_empty() {
        let message = format!("{} has no row that can be read", pairs.name());
        return Err(UsageError(message).into());
    }
    Ok((Task::new(rows, more), bad))
}

/// How the model that `args` name ranks.
fn rank(task: &Task<Entry>, args: &EncoderArgs, label: &'static str) -> anyhow::Result<Evaluation> {
    let encoder = items::item_encoder(args, items::load_encoder(args)?)?;
    let bar = progress::bar(label, Some(task.items().len() as u64));
    let mut vectors = Vec::with_capacity(task.items().len());
    for entries in task.items().chunks(AT_ONCE) {
        let some: Vec<&Item> = entries.iter().map(|entry| &entry.item).collect();
        vectors.extend(encoder.vectors(&some)?);
        bar.inc(some.len() as u64);
    }
    bar.finish_and_clear();
    Ok(task.rank(vectors)?)
}

fn can_be_written(path: &Path) -> anyhow::Result<()> {
    WholeFile::check(path).map_err(|error| match error {
        JobError::Io { path, source } => UsageError(format!("{} cannot be written: {source}", path.display())).into(),
        other => other.into(),
    })
}

/// Has `fill` write the file at `path`, if there is to be one. What is there stays until the new one is whole.
fn write<E: Into<anyhow::Error>>(
    path: Option<&Path>,
    fill: impl FnOnce(&mut WholeFile) -> Result<(), E>,
) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let mut file = WholeFile::create(path)?;
    fill(&mut file)
        .map_err(Into::into)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(file.finish()?)
}
