//! `sightstream train mine-negatives`: what the current model takes for each query's.

use anyhow::Context;
use sightstream_connectors::qdrant::{Collection, Store};
use sightstream_jobs::JobError;
use sightstream_jobs::data::{Dataset, Item, Medium, Root};
use sightstream_jobs::negatives::{Corpus, MineOptions, Mined, Neighbour, Search, mine};
use tokio::runtime::Handle;

use crate::args::MineArgs;
use crate::commands::search;
use crate::error::{Outcome, UsageError};
use crate::items;
use crate::progress::{self, grouped};

/// Neighbours that are looked at for each that is kept, so that others can take the place of those that are left out.
const DEPTH: usize = 10;

/// Writes the file that `args` name.
pub async fn execute(mut args: MineArgs) -> anyhow::Result<Outcome> {
    if args.output.exists() {
        let message = format!("{} is there already; name another --output", args.output.display());
        return Err(UsageError(message).into());
    }
    let dataset = items::open_pairs(&args.pairs)?;
    items::allow_beside(&mut args.encoder.fetch, dataset.folders());
    // A collection is looked up first: a wrong name is told before a model is loaded.
    let collection = match (&args.qdrant, &args.collection) {
        (Some(url), Some(name)) => {
            let store = Store::open(url, args.api_key.as_deref()).await?;
            Some(store.collection(name).await?)
        }
        _ => None,
    };
    let runtime = Handle::current();
    let (mined, targets) = tokio::task::spawn_blocking(move || find(&args, &dataset, collection, runtime))
        .await
        .context("mining ended early")??;
    report(&mined, targets);
    Ok(match mined.bad_rows + targets {
        0 => Outcome::Done,
        _ => Outcome::SomeFailed,
    })
}

fn find(
    args: &MineArgs,
    dataset: &Dataset,
    collection: Option<Collection>,
    runtime: Handle,
) -> anyhow::Result<(Mined, u64)> {
    let encoder = items::load_encoder(&args.encoder)?;
    let search: Box<dyn Search>;
    let vectors = items::item_encoder(&args.encoder, encoder.clone())?;
    let left_out = match collection {
        Some(collection) => {
            let segmentation = args.encoder.segmentation.segmentation();
            let space = search::Space {
                model: encoder.model_name(),
                fingerprint: &segmentation.fingerprint(encoder.fingerprint()),
                dimension: encoder.dimension(),
            };
            search::check_space(&space, &collection)?;
            let here = Root::new(".").map_err(UsageError)?;
            search = Box::new(Neighbours {
                collection,
                here,
                runtime,
            });
            0
        }
        None => {
            let bar = progress::bar("targets", None);
            let corpus = Corpus::of_dataset(dataset, &vectors, &mut |done| bar.set_position(done));
            bar.finish_and_clear();
            let corpus = corpus.map_err(items::usage)?;
            let (left_out, reasons) = corpus.left_out();
            for reason in reasons {
                tracing::warn!(reason, "a target is left out");
            }
            search = Box::new(corpus);
            left_out
        }
    };
    let options = MineOptions {
        negatives: args.top_k,
        depth: (args.top_k * DEPTH + args.skip_top).max(50),
        skip: args.skip_top,
        max_positive_share: args.max_score_ratio,
        max_bad_share: args.max_bad_share,
        ..MineOptions::default()
    };
    let bar = progress::bar("rows", Some(dataset.rows() as u64));
    let mined = mine(
        dataset,
        &vectors,
        search.as_ref(),
        &args.output,
        &options,
        &mut |done| {
            bar.set_position(done);
        },
    );
    bar.finish_and_clear();
    Ok((mined?, left_out))
}

/// Neighbours through Qdrant.
struct Neighbours {
    collection: Collection,
    /// Where relative paths of the collection start.
    here: Root,
    runtime: Handle,
}

impl Search for Neighbours {
    fn nearest(&self, queries: &[Vec<f32>], count: usize) -> Result<Vec<Vec<Neighbour>>, JobError> {
        let found = queries.iter().map(|query| {
            let hits = self.runtime.block_on(self.collection.search(query.clone(), &[], count));
            let hits = hits.map_err(|error| JobError::Config(error.to_string()))?;
            let neighbours = hits.into_iter().filter_map(|hit| {
                // A point without a url is nothing that a row of pairs could name.
                let url = self.here.resolve(hit.payload.get("url")?.as_str()?).ok()?;
                Some(Neighbour {
                    item: Item::medium(Medium::Url(url), None),
                    score: hit.score,
                })
            });
            Ok(neighbours.collect())
        });
        found.collect()
    }
}

/// Tells the counts on standard error.
fn report(mined: &Mined, targets: u64) {
    let Mined {
        rows,
        negatives,
        short_rows,
        right,
        too_close,
        bad_rows,
        reasons,
    } = mined;
    for (name, count) in [
        ("rows written", rows),
        ("negatives", negatives),
        ("rows with fewer", short_rows),
        ("passed over, right", right),
        ("passed over, too near", too_close),
        ("rows left out", bad_rows),
        ("targets left out", &targets),
    ] {
        progress::tell(format_args!("{name:<24}{:>12}", grouped(*count)));
    }
    for reason in reasons {
        tracing::warn!(reason, "a row is left out");
    }
}
