//! Rows that are passed by.

use std::collections::BTreeMap;
use std::sync::Arc;

use sightstream_connectors::dead_letter::{DeadLetter, DeadLetters, Stage};
use sightstream_connectors::{ConnectorError, RejectedRecord, SourceRecord};
use sightstream_model::reference::without_credentials;
use sightstream_udf::RowFailure;

use crate::Progress;
use crate::compute::EXPRESSION;

/// Takes the rows that fail: writes them to the dead letters, or stops the job where there are none.
#[derive(Clone)]
pub(crate) struct Failures {
    pub target: Option<Arc<dyn DeadLetters>>,
    pub progress: Arc<Progress>,
}

/// The failures of one epoch, one a record: a record that fails more than once is one dead letter.
#[derive(Debug, Default)]
pub(crate) struct EpochFailures {
    by_record: BTreeMap<u64, DeadLetter>,
    by_tombstone: BTreeMap<usize, DeadLetter>,
    others: Vec<DeadLetter>,
}

impl EpochFailures {
    /// Records of the source table `table` that could not be read.
    pub fn add_rejected(&mut self, table: &str, rejected: Vec<RejectedRecord>) {
        self.others.extend(rejected.into_iter().map(|rejected| {
            letter(
                Some(rejected.record),
                table,
                Stage::Read,
                "bad_record".to_string(),
                rejected.reason,
            )
        }));
    }

    /// A row for the sink table `table` that an expression or `embed` failed on.
    pub fn add_computed(&mut self, table: &str, records: &[SourceRecord], failure: RowFailure) {
        let stage = if failure.failure.code == EXPRESSION {
            Stage::Compute
        } else {
            Stage::Embed
        };
        self.add(
            table,
            records,
            failure.row,
            stage,
            failure.failure.code,
            failure.failure.message,
        );
    }

    /// A row that the sink table `table` refused.
    pub fn add_refused(&mut self, table: &str, records: &[SourceRecord], number: Option<u64>, reason: String) {
        self.add(table, records, number, Stage::Write, "refused".to_string(), reason);
    }

    /// The epoch's tombstone at `index`, whose `record` cannot delete anything in the sink table `table`.
    pub fn add_tombstone(&mut self, table: &str, index: usize, record: &SourceRecord, reason: String) {
        match self.by_tombstone.get_mut(&index) {
            Some(letter) => letter.add_reason(&reason),
            None => {
                let letter = letter(Some(record.clone()), table, Stage::Write, "refused".to_string(), reason);
                self.by_tombstone.insert(index, letter);
            }
        }
    }

    fn add(
        &mut self,
        table: &str,
        records: &[SourceRecord],
        number: Option<u64>,
        stage: Stage,
        code: String,
        reason: String,
    ) {
        let record = number
            .and_then(|number| records.get(usize::try_from(number).ok()?))
            .cloned();
        match number {
            None => self.others.push(letter(record, table, stage, code, reason)),
            Some(number) => match self.by_record.get_mut(&number) {
                Some(letter) => letter.add_reason(&without_credentials(&reason)),
                None => {
                    self.by_record
                        .insert(number, letter(record, table, stage, code, reason));
                }
            },
        }
    }
}

/// A dead letter of now. What an expression says about a row may show a value of it, and so a password in a url.
fn letter(record: Option<SourceRecord>, table: &str, stage: Stage, code: String, reason: String) -> DeadLetter {
    DeadLetter::new(record, table, stage, code, &without_credentials(&reason))
}

impl Failures {
    /// Makes the failures of an epoch durable.
    ///
    /// # Errors
    /// Where there are no dead letters, the first failure.
    pub async fn write(&self, failures: EpochFailures) -> Result<(), ConnectorError> {
        let letters: Vec<DeadLetter> = failures
            .by_record
            .into_values()
            .chain(failures.by_tombstone.into_values())
            .chain(failures.others)
            .collect();
        let Some(first) = letters.first() else { return Ok(()) };
        let Some(target) = &self.target else {
            return Err(ConnectorError::Refused {
                system: place(first),
                message: format!(
                    "{}; the job stops here because dead letters are off (--dead-letters none), and its position is not \
                     committed",
                    first.reason
                ),
            });
        };
        target.write(&letters).await?;
        target.flush().await?;
        for letter in &letters {
            tracing::debug!(
                table = letter.table,
                reason = letter.reason,
                place = place(letter),
                "row dead-lettered"
            );
            self.progress.add_dead_letter(&letter.code);
        }
        Ok(())
    }
}

/// Where a dead letter was, for people.
fn place(letter: &DeadLetter) -> String {
    match &letter.record {
        Some(record) => {
            let origin = &record.origin;
            format!(
                "{} (partition {}, offset {})",
                origin.topic, origin.partition, origin.offset
            )
        }
        None => letter.table.clone(),
    }
}
