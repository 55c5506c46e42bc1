//! Has a service: starts it with the first row that wants it, tries again where that fails, and starts another where one is
//! lost.
//!
//! Rows wait meanwhile. A model that cannot be loaded, or a setting that is wrong, is the operator's to mend, and a pipeline that stands
//! still can be mended without loss, where one that runs on would have made all of its rows NULL.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use sightstream_model::service::{EmbedError, EmbeddingService};
use tokio::sync::watch;

use crate::tell;

/// Runs a function on a thread of its own.
type Spawn = fn(Box<dyn FnOnce() + Send>) -> io::Result<()>;

fn on_a_thread(run: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    let builder = thread::Builder::new().name("sightstream-start".into());
    builder.spawn(run).map(drop)
}

/// Starts a service. Blocks.
pub type Start = Box<dyn Fn() -> Result<EmbeddingService, StartError> + Send + Sync>;

/// Why a service does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The settings cannot be used, and stay as they are for as long as the process lives.
    #[error("{0}")]
    Settings(String),
    /// It may be better the next time.
    #[error("{0}")]
    Other(String),
}

/// The wait after a first failure, and the longest one: also how often the log tells of rows that are held.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// See the module.
pub struct Supervisor {
    function: &'static str,
    start: Start,
    spawn: Spawn,
    state: watch::Sender<State>,
}

#[derive(Clone)]
struct State {
    stage: Stage,
    /// Counts services.
    generation: u64,
    /// When that one came up.
    up_at: Instant,
    /// The wait before the next one is started, where this one is lost.
    wait: Duration,
}

/// A service that was up for so long is lost for a reason of its own: the wait starts small again.
const SETTLED: Duration = Duration::from_secs(600);

impl State {
    /// A service came up.
    fn up(&mut self, service: EmbeddingService, now: Instant) {
        self.generation += 1;
        self.up_at = now;
        self.stage = Stage::Up { service, trouble: None };
    }

    /// It is lost. One that is lost again and again, and loads its model each time, waits longer and longer.
    fn lost(&mut self, now: Instant) {
        self.stage = Stage::Idle { refused: None };
        self.wait = match now.saturating_duration_since(self.up_at) < SETTLED && !self.wait.is_zero() {
            true => (self.wait * 2).min(LONGEST_WAIT),
            false => FIRST_WAIT,
        };
    }
}

#[derive(Clone)]
enum Stage {
    /// Nobody has asked; or the system gave no thread to start with, and it is tried again then.
    Idle {
        refused: Option<Refused>,
    },
    Starting {
        failure: Option<Arc<str>>,
    },
    Up {
        service: EmbeddingService,
        /// Why it could not have its model again when that was tried last.
        trouble: Option<Arc<str>>,
    },
}

/// A start that did not even begin.
#[derive(Clone)]
struct Refused {
    failure: Arc<str>,
    not_before: Instant,
}

impl Stage {
    /// Why nothing could be started, as far as that was tried.
    fn failure(&self) -> Option<Arc<str>> {
        match self {
            Self::Idle { refused } => refused.as_ref().map(|refused| Arc::clone(&refused.failure)),
            Self::Starting { failure } => failure.clone(),
            Self::Up { trouble, .. } => trouble.clone(),
        }
    }
}

impl Supervisor {
    /// Starts nothing yet.
    pub fn new(function: &'static str, start: Start) -> Arc<Self> {
        let state = State {
            stage: Stage::Idle { refused: None },
            generation: 0,
            up_at: Instant::now(),
            wait: Duration::ZERO,
        };
        Arc::new(Self {
            function,
            start,
            spawn: on_a_thread,
            state: watch::Sender::new(state),
        })
    }

    /// Starts it, unless that has begun. Returns at once.
    pub fn begin(self: &Arc<Self>) {
        let begins = self.state.send_if_modified(|state| {
            let begins = match &state.stage {
                Stage::Idle { refused: Some(refused) } => refused.not_before <= Instant::now(),
                Stage::Idle { refused: None } => true,
                Stage::Starting { .. } | Stage::Up { .. } => false,
            };
            if begins {
                let failure = state.stage.failure();
                state.stage = Stage::Starting { failure };
            }
            begins
        });
        if !begins {
            return;
        }
        let supervisor = Arc::clone(self);
        if let Err(error) = (self.spawn)(Box::new(move || supervisor.run())) {
            tracing::error!(%error, wait = ?FIRST_WAIT, "no thread to start with; it is tried again after the wait");
            tell::ready(self.function, false);
            let refused = Refused {
                failure: format!("no thread to start with: {error}").into(),
                not_before: Instant::now() + FIRST_WAIT,
            };
            // Nobody is woken: all that could be done is to ask for another thread at once.
            self.state.send_if_modified(|state| {
                state.stage = Stage::Idle { refused: Some(refused) };
                false
            });
        }
    }

    /// The service and its number, once it is up.
    pub async fn service(self: &Arc<Self>) -> (EmbeddingService, u64) {
        let mut changes = self.state.subscribe();
        loop {
            {
                let state = changes.borrow_and_update();
                if let Stage::Up { service, .. } = &state.stage {
                    return (service.clone(), state.generation);
                }
            }
            self.begin();
            // After the wait nothing has changed, or nothing could be started, which is then tried again.
            if let Ok(changed) = tokio::time::timeout(FIRST_WAIT, changes.changed()).await {
                changed.expect("the supervisor has the sender");
            }
        }
    }

    /// The service of that number has stopped: another one is started.
    pub fn lost(self: &Arc<Self>, generation: u64, why: &EmbedError) {
        let is_news = self.state.send_if_modified(|state| {
            let is_news = state.generation == generation && matches!(state.stage, Stage::Up { .. });
            if is_news {
                state.lost(Instant::now());
            }
            is_news
        });
        if is_news {
            tell::ready(self.function, false);
            tracing::error!(function = self.function, %why, "the service is lost, and another one is started");
        }
    }

    /// The service of that number is up, and has no model: it cannot be loaded again.
    pub fn unready(&self, generation: u64, why: &EmbedError) {
        self.set_trouble(generation, Some(why.to_string().into()));
    }

    /// The service of that number has its model.
    pub fn has_model(&self, generation: u64) {
        // For every row: it is looked at first, which many do at once.
        if matches!(&self.state.borrow().stage, Stage::Up { trouble: Some(_), .. }) {
            self.set_trouble(generation, None);
        }
    }

    fn set_trouble(&self, generation: u64, now: Option<Arc<str>>) {
        self.state.send_if_modified(|state| {
            let is_current = state.generation == generation;
            let Stage::Up { trouble, .. } = &mut state.stage else {
                return false;
            };
            let is_news = is_current && trouble.is_some() != now.is_some();
            if is_current {
                // Under the lock, so that the gauge is as what was said last.
                tell::ready(self.function, now.is_none());
                *trouble = now;
            }
            is_news
        });
    }

    /// Completes when the model is there again, or another service is, or after `wait`.
    pub async fn better(&self, generation: u64, wait: Duration) {
        let mut changes = self.state.subscribe();
        let better = changes.wait_for(|state| {
            state.generation != generation || !matches!(state.stage, Stage::Up { trouble: Some(_), .. })
        });
        // Over after the wait, too.
        let _ = tokio::time::timeout(wait, better).await;
    }

    /// Why no row can be worked on, where it was tried.
    pub fn failure(&self) -> Option<Arc<str>> {
        self.state.borrow().stage.failure()
    }

    /// Until the service is up. On a thread of its own.
    fn run(self: Arc<Self>) {
        let mut wait = FIRST_WAIT;
        let after_a_loss = self.state.borrow().wait;
        thread::sleep(after_a_loss);
        loop {
            let started = catch_unwind(AssertUnwindSafe(|| (self.start)()))
                .unwrap_or_else(|_| Err(StartError::Other("starting panicked".to_owned())));
            let error = match started {
                Ok(service) => {
                    tell::ready(self.function, true);
                    self.state.send_modify(|state| state.up(service, Instant::now()));
                    return;
                }
                Err(error) => error,
            };
            tell::ready(self.function, false);
            let failure: Arc<str> = error.to_string().into();
            self.state.send_modify(|state| {
                state.stage = Stage::Starting {
                    failure: Some(Arc::clone(&failure)),
                };
            });
            loop {
                let held = "no row can be worked on: rows are held for their deadline, and then NULL";
                tracing::error!(function = self.function, why = %failure, "{held}");
                thread::sleep(wait);
                wait = (wait * 2).min(LONGEST_WAIT);
                // Nothing mends settings but another process; what else is wrong may have passed.
                if matches!(error, StartError::Other(_)) {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sightstream_model::fetch::{FetchOptions, Fetcher};
    use sightstream_model::service::ServiceOptions;

    use super::*;

    fn service() -> EmbeddingService {
        let fetcher = Fetcher::new(FetchOptions::default()).expect("the defaults are usable");
        EmbeddingService::without_model(fetcher, ServiceOptions::default()).expect("it starts")
    }

    #[tokio::test]
    async fn it_starts_once_for_all_and_anew_for_those_that_lost_it() {
        let starts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&starts);
        let start: Start = Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(service())
        });
        let supervisor = Supervisor::new("embed", start);
        assert_eq!(starts.load(Ordering::SeqCst), 0, "nobody has asked");
        let both = futures::future::join(supervisor.service(), supervisor.service()).await;
        assert_eq!((both.0.1, both.1.1, starts.load(Ordering::SeqCst)), (1, 1, 1));
        let why = EmbedError::Stopped("the device is lost".into());
        supervisor.lost(1, &why);
        assert_eq!(supervisor.service().await.1, 2);
        // Who lost the first one tells it late.
        supervisor.lost(1, &why);
        assert_eq!((supervisor.service().await.1, starts.load(Ordering::SeqCst)), (2, 2));
    }

    #[tokio::test]
    async fn a_start_that_fails_is_told_and_tried_again() {
        let starts = AtomicUsize::new(0);
        let start: Start = Box::new(move || match starts.fetch_add(1, Ordering::SeqCst) {
            0 => Err(StartError::Other("the hub is away".into())),
            1 => panic!("a bug"),
            _ => Ok(service()),
        });
        let supervisor = Supervisor::new("embed", start);
        supervisor.begin();
        let mut changes = supervisor.state.subscribe();
        let has_failed = |state: &State| matches!(&state.stage, Stage::Starting { failure: Some(_) });
        let failed = changes.wait_for(has_failed).await;
        drop(failed.expect("the supervisor lives"));
        assert!(
            supervisor
                .failure()
                .is_some_and(|why| why.contains("the hub is away") || why.contains("panicked"))
        );
        assert_eq!(supervisor.service().await.1, 1);
        assert_eq!(supervisor.failure(), None);
    }

    #[tokio::test]
    async fn a_service_without_its_model_is_not_ready_until_it_has_it_again() {
        let supervisor = Supervisor::new("embed", Box::new(|| Ok(service())));
        let (_, generation) = supervisor.service().await;
        let why = EmbedError::Model("out of memory".into());
        supervisor.unready(generation + 1, &why);
        assert_eq!(supervisor.failure(), None, "that is another one");
        supervisor.unready(generation, &why);
        assert!(supervisor.failure().is_some_and(|why| why.contains("out of memory")));
        assert_eq!(supervisor.service().await.1, generation, "rows ask it again");
        supervisor.better(generation, Duration::ZERO).await;
        let better = supervisor.better(generation, LONGEST_WAIT);
        let mends = async { supervisor.has_model(generation) };
        futures::join!(better, mends);
        assert_eq!(supervisor.failure(), None);
    }

    #[tokio::test]
    async fn where_there_is_no_thread_to_start_with_it_is_tried_again_after_a_while() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let mut supervisor = Supervisor::new("embed", Box::new(|| Ok(service())));
        Arc::get_mut(&mut supervisor).expect("nobody else has it").spawn =
            |run| match ASKED.fetch_add(1, Ordering::SeqCst) {
                0 => Err(io::Error::from(io::ErrorKind::WouldBlock)),
                _ => on_a_thread(run),
            };
        supervisor.begin();
        supervisor.begin();
        assert_eq!(ASKED.load(Ordering::SeqCst), 1, "not at once");
        assert!(supervisor.failure().is_some_and(|why| why.contains("no thread")));
        let both = futures::future::join(supervisor.service(), supervisor.service()).await;
        assert_eq!((both.0.1, both.1.1, ASKED.load(Ordering::SeqCst)), (1, 1, 2));
        assert_eq!(supervisor.failure(), None);
    }

    #[tokio::test]
    async fn a_service_that_is_lost_again_and_again_waits_longer() {
        let supervisor = Supervisor::new("embed", Box::new(|| Ok(service())));
        let mut state = supervisor.state.borrow().clone();
        let now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..8 {
            state.up(service(), now);
            state.lost(now);
            waits.push(state.wait.as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        state.up(service(), now);
        state.lost(now + SETTLED);
        assert_eq!((state.wait, state.generation), (FIRST_WAIT, 9));
    }
}
