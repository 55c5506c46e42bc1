//! The workers of one service: started when they are needed, kept warm, replaced when they end.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ::metrics::{counter, gauge};

use super::process::{Death, Worker};
use super::protocol::DecodeJob;
use super::stderr::LogBudget;
use super::{DecodeError, FittedAnswer, WorkerOptions};
use crate::error::{MediaError, ModelError};
use crate::fetch::{Content, Identity};

pub(super) const WORKERS: &str = "sightstream_decode_workers";
pub(super) const WORKER_ENDS: &str = "sightstream_decode_worker_ends_total";

/// The pause between two tries, which doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How many bytes of a file are read in a second at least while it is opened.
const OPENING_RATE: u64 = 64 << 20;

/// On how many workers a medium may end.
const TRIES: u32 = 2;

/// No worker can be started. That says nothing about a medium.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; mend it, name an executable of sightstream as the decode worker, or decode in-process")]
pub struct Unavailable(String);

/// Workers that wait for media. A worker at a medium belongs to the thread that asked.
#[derive(Debug)]
pub(super) struct WorkerPool {
    options: WorkerOptions,
    idle: Mutex<Vec<Worker>>,
    log: Arc<Mutex<LogBudget>>,
}

impl WorkerPool {
    pub(super) fn new(options: WorkerOptions) -> Result<Self, ModelError> {
        // It is started in another folder than this process is in.
        if options
            .command
            .first()
            .is_none_or(|program| !Path::new(program).is_absolute())
        {
            return Err(ModelError::Option {
                option: "decode_worker".into(),
                message: format!("{:?} has no absolute path of an executable", options.command),
            });
        }
        Ok(Self {
            options,
            idle: Mutex::default(),
            log: Arc::new(Mutex::new(LogBudget::new())),
        })
    }

    /// Starts a worker if there is none, without trying again.
    pub(super) fn warm_up(&self) -> Result<(), Unavailable> {
        if self.idle().is_empty() {
            let worker = self.start().map_err(Unavailable)?;
            self.idle().push(worker);
        }
        Ok(())
    }

    /// Has a medium read. Blocks.
    pub(super) fn read(&self, job: &DecodeJob, content: &Content, name: &str) -> Result<FittedAnswer, DecodeError> {
        let mut tries = 1;
        let mut worker = match self.take(content.identity()) {
            Some(worker) => worker,
            None => self.launch()?,
        };
        loop {
            let timeout = self.timeout(&worker, content);
            let error = match worker.ask(job, content, name, timeout) {
                Ok(outcome) => {
                    self.idle().push(worker);
                    return outcome.map_err(DecodeError::Media);
                }
                Err(error) => error,
            };
            let death = worker.autopsy(error, timeout);
            gauge!(WORKERS).decrement(1);
            counter!(WORKER_ENDS, "cause" => death.cause()).increment(1);
            tracing::warn!(medium = name, ?death, tries, "a decode worker ended");
            // The worker may have died of something else than this medium. One that took too long would do so again, and
            // hold up others meanwhile.
            if tries == TRIES || matches!(death, Death::TimedOut(_)) {
                return Err(DecodeError::Media(self.blamed(death, name)));
            }
            tries += 1;
            worker = self.launch()?;
        }
    }

    fn blamed(&self, death: Death, name: &str) -> MediaError {
        let name = name.to_owned();
        match death {
            Death::Crashed(how) => MediaError::Crashed {
                name,
                message: format!("its process ended {how}"),
            },
            Death::Protocol(what) => MediaError::Crashed {
                name,
                message: format!("its process broke the protocol: {what}"),
            },
            Death::TimedOut(after) => MediaError::DecodeTimeout {
                name,
                message: format!("no result after {} s", after.as_secs_f64()),
            },
            Death::OutOfMemory => MediaError::DecodeMemory {
                name,
                message: format!("the limit is {} bytes", self.options.memory),
            },
        }
    }

    /// How long a worker may take. A file that it does not have open is read as a whole where that is a video.
    fn timeout(&self, worker: &Worker, content: &Content) -> Duration {
        let opening = match content.identity() {
            Some(identity) if !worker.has_open(identity) => content.length() / OPENING_RATE,
            _ => 0,
        };
        self.options.timeout.saturating_add(Duration::from_secs(opening))
    }

    /// A worker that has the medium open. Else, for a medium that will be kept open, one that has nothing open, or nothing
    /// that was lately asked for; for others the worker that was used last, whose memory is the warmest.
    fn take(&self, identity: Option<Identity>) -> Option<Worker> {
        let mut idle = self.idle();
        let chosen = match identity {
            Some(identity) => idle
                .iter()
                .rposition(|worker| worker.has_open(identity))
                .or_else(|| idle.iter().rposition(|worker| !worker.has_any_open()))
                .or((!idle.is_empty()).then_some(0)),
            None => idle
                .iter()
                .rposition(|worker| !worker.has_any_open())
                .or(idle.len().checked_sub(1)),
        };
        chosen.map(|index| idle.remove(index))
    }

    /// A new worker. Where the system refuses, it is tried again for a while.
    fn launch(&self) -> Result<Worker, Unavailable> {
        let give_up = Instant::now() + self.options.launch_patience;
        let mut pause = PAUSE;
        loop {
            match self.start() {
                Ok(worker) => return Ok(worker),
                Err(error) if Instant::now() + pause >= give_up => return Err(Unavailable(error)),
                Err(error) => tracing::warn!(error, "waiting to start a decode worker"),
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn start(&self) -> Result<Worker, String> {
        let worker = Worker::start(&self.options, &self.log)?;
        gauge!(WORKERS).increment(1);
        Ok(worker)
    }

    /// Nothing panics while it holds this lock.
    fn idle(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        gauge!(WORKERS).decrement(self.idle().len() as f64);
    }
}
