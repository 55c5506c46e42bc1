//! One row made ready.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::queue::{Prepared, Unavailable};
use super::{Draw, SkippedRow};
use crate::data::dataset::Dataset;
use crate::data::item::Item;
use crate::data::order;
use crate::data::prepare::{PrepareError, Preparer};
use crate::example::Example;

/// In how many rows a negative is looked for, where a row has too few of its own.
const TRIES: usize = 16;

/// Makes examples of rows. What is drawn in it depends on the row and its pass alone.
#[derive(Debug)]
pub(super) struct Examples {
    pub(super) preparer: Preparer,
    pub(super) datasets: Vec<Dataset>,
    pub(super) seed: u64,
    pub(super) hard_negatives: usize,
}

/// Why a row is left out, but for its dataset.
struct Bad {
    reason: String,
    message: String,
}

enum Failure {
    Row(Bad),
    Unavailable(Unavailable),
}

impl Examples {
    /// Prepares a row. A panic in it, of a decoder in this process, costs the row.
    pub(super) fn prepare(&self, draw: Draw) -> Result<Prepared, Unavailable> {
        let dataset = &self.datasets[draw.part];
        let example = catch_unwind(AssertUnwindSafe(|| self.example(dataset, draw))).unwrap_or_else(|panic| {
            Err(Failure::Row(Bad {
                reason: "panicked".into(),
                message: format!("row {} of the dataset: {}", draw.row + 1, panic_message(&*panic)),
            }))
        });
        match example {
            Ok(example) => Ok(Ok(example)),
            Err(Failure::Row(Bad { reason, message })) => Ok(Err(SkippedRow {
                dataset: dataset.name().to_owned(),
                reason,
                message,
            })),
            Err(Failure::Unavailable(unavailable)) => Err(unavailable),
        }
    }

    fn example(&self, dataset: &Dataset, draw: Draw) -> Result<Example, Failure> {
        let row = draw.row as usize;
        let (place, pair) = dataset.placed_pair(row).map_err(|message| {
            Failure::Row(Bad {
                reason: "row".into(),
                message,
            })
        })?;
        let mut random = order::stream(self.seed, "row", dataset.name(), [draw.pass, u64::from(draw.row)]);
        let positive = &pair.positives[order::below(&mut random, pair.positives.len())];
        let own = pair.negatives.iter().take(self.hard_negatives);
        let items: Vec<&Item> = [&pair.query, positive].into_iter().chain(own).collect();
        let mut inputs = self
            .preparer
            .prepare_all(&items)
            .map_err(|error| failure(error, &place))?;
        let query = inputs.remove(0);
        let mut example = Example::new(draw.number(), query, inputs);

        let mut taken: Vec<_> = pair
            .positives
            .iter()
            .chain(&pair.negatives)
            .map(Item::identity)
            .collect();
        let mut tries = 0;
        while example.targets.len() < 1 + self.hard_negatives {
            tries += 1;
            if tries > TRIES * self.hard_negatives {
                return Err(Failure::Row(Bad {
                    reason: "negatives".into(),
                    message: format!(
                        "{place}: it has {} of {} hard negatives, and no other row with another target was found to stand in",
                        pair.negatives.len(),
                        self.hard_negatives
                    ),
                }));
            }
            let row = order::below(&mut random, dataset.rows());
            let Ok(other) = dataset.pair(row) else { continue };
            let item = &other.positives[0];
            let identity = item.identity();
            if taken.contains(&identity) {
                continue;
            }
            match self.preparer.prepare(item) {
                Ok(input) => {
                    let other = Draw {
                        row: row as u32,
                        ..draw
                    };
                    example.targets.push(input);
                    example.rows.push(other.number());
                }
                // Its own row will count it.
                Err(PrepareError::Media(_)) => {}
                Err(error) => return Err(failure(error, &place)),
            }
            taken.push(identity);
        }
        Ok(example)
    }
}

fn failure(error: PrepareError, place: &str) -> Failure {
    match error {
        PrepareError::Media(error) => Failure::Row(Bad {
            reason: error.reason().into(),
            message: format!("{place}: {error}"),
        }),
        PrepareError::Unavailable(why) => Failure::Unavailable(Unavailable(why)),
    }
}

/// What a caught panic said.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a decoder panicked without a message")
}
