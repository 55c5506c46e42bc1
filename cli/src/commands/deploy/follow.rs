//! Following a pipeline's job until it runs, or until it is at rest.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::api::{Arroyo, CallError};
use super::wire::{Collection, Job, JobError};
use super::{calls, say};

const POLL: Duration = Duration::from_millis(500);

/// How long Arroyo may take to see that a job is to start again: its controller looks twice a second, and until then the
/// job's state is the old one.
const START_GRACE: Duration = Duration::from_secs(30);

/// A pipeline's job, and what of it was told already.
pub struct Follower<'a> {
    arroyo: &'a Arroyo,
    pipeline: &'a str,
    /// The job before it was told to start again, as long as no other was seen.
    before: Option<Job>,
    told: Option<String>,
    errors: BTreeSet<String>,
    unreachable: bool,
}

impl<'a> Follower<'a> {
    /// Nothing was told yet.
    pub fn new(arroyo: &'a Arroyo, pipeline: &'a str) -> Self {
        Self {
            arroyo,
            pipeline,
            before: None,
            told: None,
            errors: BTreeSet::new(),
            unreachable: false,
        }
    }

    /// A follower of the job that was `before` when it was told to start again. That state was told, and is no end.
    pub fn of_restarted(arroyo: &'a Arroyo, pipeline: &'a str, before: Option<Job>) -> Self {
        Self {
            told: before.as_ref().map(Job::to_string),
            before,
            ..Self::new(arroyo, pipeline)
        }
    }

    /// Follows the job until it has run for `settle`, or has come to its end.
    ///
    /// # Errors
    /// It failed, was stopped, or has done neither when `timeout` is over.
    pub async fn until_running(&mut self, settle: Duration, timeout: Duration) -> anyhow::Result<Job> {
        let pipeline = self.pipeline;
        let started = Instant::now();
        let mut running: Option<(Instant, u64)> = None;
        loop {
            if let Some(job) = self.look().await? {
                match job.state.as_str() {
                    _ if self.is_as_before(&job) && started.elapsed() < START_GRACE => {}
                    "Running" => {
                        let since = match running {
                            // It is another run if it was scheduled again in between.
                            Some((since, run)) if run == job.run_id => since,
                            _ => {
                                self.tell_errors(&job).await;
                                Instant::now()
                            }
                        };
                        if since.elapsed() >= settle {
                            return Ok(job);
                        }
                        running = Some((since, job.run_id));
                    }
                    "Finished" => return Ok(job),
                    "Failed" => {
                        self.tell_errors(&job).await;
                        let reason = job.failure().unwrap_or("Arroyo gives no reason");
                        bail!(
                            "the job of {pipeline} has failed: {reason} ({})",
                            self.arroyo.page(pipeline)
                        );
                    }
                    "Stopped" if self.before.is_some() => bail!(
                        "Arroyo has not started {pipeline} {} s after it was told to; does its controller run? ({})",
                        START_GRACE.as_secs(),
                        self.arroyo.page(pipeline)
                    ),
                    "Stopped" => bail!("the pipeline {pipeline} was stopped by somebody else"),
                    _ => {
                        running = None;
                        self.tell_errors(&job).await;
                    }
                }
            }
            if started.elapsed() >= timeout {
                let state = self.told.as_deref().unwrap_or("not known");
                bail!(
                    "the job of {pipeline} does not run after {} s (--timeout); its state is {state}, and Arroyo goes on with \
                     it: look at {}, or stop it with sightstream deploy stop {pipeline}",
                    timeout.as_secs(),
                    self.arroyo.page(pipeline)
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Follows the job until it is at rest.
    ///
    /// # Errors
    /// It is not when `timeout` is over.
    pub async fn until_at_rest(&mut self, timeout: Duration) -> anyhow::Result<Job> {
        let pipeline = self.pipeline;
        let started = Instant::now();
        loop {
            let job = self.look().await?;
            if let Some(job) = &job
                && job.is_at_rest()
            {
                if job.state == "Failed" {
                    self.tell_errors(job).await;
                }
                return Ok(job.clone());
            }
            if started.elapsed() >= timeout {
                let state = self.told.as_deref().unwrap_or("not known");
                bail!(
                    "the pipeline {pipeline} has not stopped after {} s; its state is {state}, and Arroyo goes on with it; \
                     sightstream deploy stop {pipeline} --force stops it without a checkpoint",
                    timeout.as_secs()
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether Arroyo has not begun with the job that was told to start again.
    fn is_as_before(&mut self, job: &Job) -> bool {
        let as_before = |before: &Job| before.run_id == job.run_id && before.state == job.state;
        // Once it was another, the same state is a new one.
        self.before = self.before.take().filter(as_before);
        self.before.is_some()
    }

    /// The job as it is now, told if it has changed; `None` while Arroyo does not answer.
    async fn look(&mut self) -> anyhow::Result<Option<Job>> {
        match job(self.arroyo, self.pipeline).await {
            Ok(job) => {
                self.unreachable = false;
                if let Some(job) = &job {
                    let state = job.to_string();
                    if self.told.as_ref() != Some(&state) {
                        say("job", &state)?;
                        self.told = Some(state);
                    }
                }
                Ok(job)
            }
            Err(error) if error.is_passing() => {
                if !self.unreachable {
                    say("job", format!("{error}; trying again"))?;
                    self.unreachable = true;
                }
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| format!("the pipeline {} cannot be followed", self.pipeline)),
        }
    }

    /// Tells the errors of the job's tasks that were not told yet, oldest first.
    async fn tell_errors(&mut self, job: &Job) {
        let call = calls::job_errors(self.pipeline, &job.id);
        // They explain what the job's state says already; without them it still holds.
        let Ok(page) = self.arroyo.call::<Collection<JobError>>(&call).await else {
            return;
        };
        for error in page.data.iter().rev() {
            if self.errors.insert(error.id.clone()) {
                // Whoever closed standard output is told by the next line that must be written.
                let _ = say("error", error);
            }
        }
    }
}

/// The job of `pipeline`; `None` in the moment before Arroyo has made it.
pub async fn job(arroyo: &Arroyo, pipeline: &str) -> Result<Option<Job>, CallError> {
    let jobs: Collection<Job> = arroyo.call(&calls::jobs(pipeline)).await?;
    Ok(jobs.data.into_iter().next())
}
