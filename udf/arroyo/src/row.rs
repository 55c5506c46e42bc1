//! One row's way through the plugin.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use sightstream_model::service::{EmbedError, EmbeddingService};

use crate::abi;
use crate::line::{End, Line, Place};
use crate::supervisor::Supervisor;
use crate::tell::Teller;

/// The functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `embed(url, instruction)`
    Embed,
    /// `segments(url)`
    Segments,
}

impl Function {
    /// As SQL calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::Segments => "segments",
        }
    }
}

/// A call.
#[derive(Debug)]
pub struct Row {
    /// Which function.
    pub function: Function,
    /// The reference, as it stands in the row.
    pub url: String,
    /// The instruction; `None` for the modality's default.
    pub instruction: Option<String>,
    /// Why it was given up, if it was: [`abi::DROPPED`](crate::abi::DROPPED) and its like.
    pub given_up: Arc<AtomicU32>,
}

/// Why a row is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A word for programs: those of dead letters, and `deadline`, `not_started`.
    pub code: &'static str,
    /// A sentence, without secrets.
    pub reason: String,
}

/// How long a row waits before it tries again to have the model loaded, the first time and at most: each time it is fetched and
/// decoded anew.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How many services a row may see lost before it is NULL: it may be the one that costs them.
const MOST_LOSSES: u32 = 3;

/// What rows go through.
pub struct Rows {
    /// All that are under way.
    pub line: Line,
    /// How long one may take.
    pub deadline: Duration,
    /// Has the service of a function.
    pub embedder: Arc<Supervisor>,
    /// The same for `segments`, which needs no model.
    pub lister: Arc<Supervisor>,
    /// Takes what became of each.
    pub teller: Teller,
}

/// A row that is under way. Dropping it leaves the line; without an outcome it was given up.
struct UnderWay {
    rows: Arc<Rows>,
    row: Row,
    told: bool,
    end: End,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let given_up = (!self.told).then(|| self.row.given_up.load(Ordering::Acquire));
        let end = match given_up {
            Some(abi::MET_TIMEOUT) => End::Late,
            _ => self.end,
        };
        self.rows.line.leave(end);
        let (teller, row) = (&self.rows.teller, &self.row);
        teller.under_way(self.rows.line.under_way());
        let panicked = || Failure::of_plugin("panicked", "the plugin panicked, which is a bug of it");
        match given_up {
            None => {}
            Some(_) if std::thread::panicking() => teller.failed(row, &panicked()),
            Some(abi::PANICKED) => teller.failed(row, &panicked()),
            Some(abi::MET_TIMEOUT) => {
                let reason = "the function's timeout is near; rows are under way for so long that it should be raised";
                teller.failed(row, &Failure::of_plugin("deadline", reason));
            }
            Some(_) => teller.cancelled(row),
        }
    }
}

impl Failure {
    fn of_plugin(code: &'static str, reason: &str) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
        }
    }
}

impl From<&EmbedError> for Failure {
    fn from(error: &EmbedError) -> Self {
        Self {
            code: error.reason(),
            reason: error.to_string(),
        }
    }
}

impl Rows {
    /// The value of `row`, told of when it is there, and `None` with the reason told. Dropping this gives the row up.
    pub fn take(self: Arc<Self>, row: Row) -> impl Future<Output = Option<Vec<u8>>> + Send {
        // At once, so that places are in the order of the calls.
        let place = self.line.enter();
        self.teller.under_way(self.line.under_way());
        let mut under_way = UnderWay {
            rows: self,
            row,
            told: false,
            end: End::Moved,
        };
        async move {
            let (outcome, end) = under_way.rows.outcome(&under_way.row, place).await;
            (under_way.told, under_way.end) = (true, end);
            match &outcome {
                Ok(_) => under_way.rows.teller.done(&under_way.row),
                Err(failure) => under_way.rows.teller.failed(&under_way.row, failure),
            }
            outcome.ok()
        }
    }

    async fn outcome(&self, row: &Row, place: Place) -> (Result<Vec<u8>, Failure>, End) {
        let last = Mutex::new(None);
        let value = pin!(self.value(row, &last));
        let over = pin!(self.line.over(place, self.deadline));
        match select(value, over).await {
            Either::Left((outcome, _)) => (outcome, End::Moved),
            Either::Right(((), _)) => (Err(self.too_late(row, &last)), End::Late),
        }
    }

    async fn value(&self, row: &Row, last: &Mutex<Option<EmbedError>>) -> Result<Vec<u8>, Failure> {
        let supervisor = self.supervisor(row.function);
        let (mut wait, mut losses) = (AGAIN, 0);
        loop {
            let (service, generation) = supervisor.service().await;
            match asked(&service, row).await {
                Ok(value) => {
                    supervisor.has_model(generation);
                    return Ok(value);
                }
                Err(error) => {
                    match &error {
                        EmbedError::Stopped(_) => {
                            supervisor.lost(generation, &error);
                            losses += 1;
                            if losses == MOST_LOSSES {
                                return Err(Failure::from(&error));
                            }
                        }
                        EmbedError::Model(_) => {
                            supervisor.unready(generation, &error);
                            supervisor.better(generation, wait).await;
                            wait = (wait * 2).min(LONGEST_WAIT);
                        }
                        EmbedError::Media(_) | EmbedError::Parts { .. } | EmbedError::Device(_) => {
                            return Err(Failure::from(&error));
                        }
                    }
                    *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
        }
    }

    fn too_late(&self, row: &Row, last: &Mutex<Option<EmbedError>>) -> Failure {
        let after = humantime::format_duration(self.deadline);
        if let Some(why) = self.supervisor(row.function).failure() {
            return Failure {
                code: "not_started",
                reason: format!("nothing can be done with rows, which were held for {after}: {why}"),
            };
        }
        let last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last
            .as_ref()
            .map_or_else(String::new, |error| format!("; at last: {error}"));
        Failure {
            code: "deadline",
            reason: format!("no end within {after}{last}"),
        }
    }

    fn supervisor(&self, function: Function) -> &Arc<Supervisor> {
        match function {
            Function::Embed => &self.embedder,
            Function::Segments => &self.lister,
        }
    }
}

async fn asked(service: &EmbeddingService, row: &Row) -> Result<Vec<u8>, EmbedError> {
    match row.function {
        Function::Embed => {
            let vector = service.embed(&row.url, row.instruction.as_deref()).await?;
            Ok(vector.iter().flat_map(|number| number.to_le_bytes()).collect())
        }
        Function::Segments => Ok(service.segments(&row.url).await?.join("\n").into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use sightstream_model::fetch::{FetchOptions, Fetcher};
    use sightstream_model::service::ServiceOptions;

    use super::*;

    #[tokio::test]
    async fn a_row_that_sees_one_service_after_another_lost_is_null() {
        let starts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&starts);
        let lost = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let fetcher = Fetcher::new(FetchOptions::default()).expect("the defaults are usable");
            let service = EmbeddingService::without_model(fetcher, ServiceOptions::default()).expect("it starts");
            service.stop();
            Ok(service)
        };
        let rows = Arc::new(Rows {
            line: Line::new(),
            deadline: Duration::from_secs(3600),
            embedder: Supervisor::new("embed", Box::new(|| unreachable!("no row embeds"))),
            lister: Supervisor::new("segments", Box::new(lost)),
            teller: Teller::new(None),
        });
        let row = Row {
            function: Function::Segments,
            url: "data:,x".into(),
            instruction: None,
            given_up: Arc::default(),
        };
        assert_eq!(Arc::clone(&rows).take(row).await, None);
        assert_eq!(starts.load(Ordering::SeqCst), MOST_LOSSES as usize);
        assert_eq!(rows.line.under_way(), 0);
    }
}
