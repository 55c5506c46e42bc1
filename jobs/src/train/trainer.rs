//! The loop of a run.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::checkpoint::{Checkpoint, Checkpoints, Saved};
use super::diverged::Circumstances;
pub use super::options::TrainOptions;
use super::state::{RecentStep, TrainerState};
use crate::embed::Embed;
use crate::error::JobError;
use crate::example::Batch;
use crate::objective::{Gradients, seed};
use crate::optimiser::AdamW;

/// A batch, and where the data goes on after it.
#[derive(Debug)]
pub struct Drawn {
    /// The batch.
    pub batch: Batch,
    /// What whoever draws batches needs to draw those after this one. The state of a checkpoint holds it.
    pub position: Value,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Which one, from 1.
    pub step: u64,
    /// Steps of the run.
    pub max_steps: u64,
    /// The mean loss of its batches, in nats.
    pub loss: f32,
    /// The share of its queries that found their positive in their batch.
    pub accuracy: f32,
    /// The learning rate that it took.
    pub learning_rate: f64,
    /// The gradient's norm before clipping.
    pub gradient_norm: f64,
    /// Its examples.
    pub samples: u64,
    /// How long it took, waiting for data included.
    pub seconds: f64,
    /// How long of that it waited for data.
    pub waited: f64,
}

/// Who is told how a run goes.
pub trait Report {
    /// A step was done.
    fn step(&mut self, step: &StepReport);

    /// A checkpoint is about to be written. What was reported so far has to outlast it: a run that goes on after the checkpoint does
    /// not report it again.
    ///
    /// # Errors
    /// What was reported will not last. Then there is no checkpoint, and the run ends: the steps since the one before are done and
    /// reported again.
    fn saving(&mut self, _step: u64) -> Result<(), JobError> {
        Ok(())
    }

    /// A checkpoint was written.
    fn saved(&mut self, _step: u64, _folder: &Path) {}
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All steps are done, or the data are used up. The model is at the top of the run's folder.
    Finished {
        /// The last step.
        step: u64,
    },
    /// Somebody asked it to stop. The next run can go on after the last step.
    Stopped {
        /// The last step.
        step: u64,
        /// Its checkpoint. None before the first step.
        checkpoint: Option<PathBuf>,
    },
}

/// A run of training: draws batches, moves parameters, reports, and keeps checkpoints.
pub struct Trainer<'a> {
    model: &'a dyn Embed,
    saved: &'a dyn Saved,
    checkpoints: &'a Checkpoints,
    options: TrainOptions,
    optimiser: AdamW,
    state: TrainerState,
    /// The last one, and its step.
    last_checkpoint: Option<(u64, PathBuf)>,
}

/// The batches of a step, added up.
struct Sum {
    gradients: Gradients,
    batches: usize,
    samples: usize,
    loss: f64,
    hits: f64,
    sources: Vec<(String, usize)>,
    position: Value,
    waited: Duration,
}

impl<'a> Trainer<'a> {
    /// A run that has not begun. `saved` writes what `model` is at the time.
    ///
    /// `settings` are all that change what is computed, by the keys under which people set them, the data's and the model's
    /// among them: a resumed run has to have the same.
    ///
    /// # Errors
    /// [`JobError::Config`] for options out of range and parameters that cannot be trained.
    pub fn new(
        model: &'a dyn Embed,
        saved: &'a dyn Saved,
        checkpoints: &'a Checkpoints,
        options: TrainOptions,
        settings: Map<String, Value>,
    ) -> Result<Self, JobError> {
        options.check()?;
        if model.parameters().is_empty() {
            return Err(JobError::Config(
                "there is nothing to train: no parameter was chosen".to_owned(),
            ));
        }
        let optimiser = AdamW::new(model.parameters(), options.adamw)?;
        let state = TrainerState::new(settings);
        Ok(Self {
            model,
            saved,
            checkpoints,
            options,
            optimiser,
            state,
            last_checkpoint: None,
        })
    }

    /// Goes on where a checkpoint stands: with its weights, moments and count of steps. The batches of [`Trainer::run`] then
    /// have to go on from its state's position.
    ///
    /// # Errors
    /// [`JobError::Config`] if it is of a run with other settings or another model; [`JobError`] for files that are not whole.
    pub fn resume(&mut self, from: &Checkpoint) -> Result<(), JobError> {
        from.state.check_settings(&self.state.settings)?;
        from.restore(&mut self.optimiser)?;
        self.state = from.state.clone();
        self.last_checkpoint = Some((self.state.step, from.path().to_owned()));
        Ok(())
    }

    /// The run's state after its last step.
    pub fn state(&self) -> &TrainerState {
        &self.state
    }

    /// Trains to the last step, or to the end of the batches, or until `stop` is set.
    ///
    /// # Errors
    /// [`JobError::Diverged`] when a loss, a gradient or a weight is not finite; nothing is saved then. [`JobError::Config`] for
    /// a new run in a folder that has checkpoints. What whoever draws a batch reports, and the model about one: then the last
    /// step is saved before.
    pub fn run(
        &mut self,
        batches: &mut dyn Iterator<Item = Result<Drawn, JobError>>,
        report: &mut dyn Report,
        stop: &AtomicBool,
    ) -> Result<Ended, JobError> {
        if self.last_checkpoint.is_none() && self.state.step == 0 && !self.checkpoints.steps()?.is_empty() {
            return Err(JobError::Config(format!(
                "{} has checkpoints of a run: go on with it by `--resume`, or take another `output_dir`",
                self.checkpoints.folder().display()
            )));
        }
        while self.state.step < self.options.max_steps {
            let begun = Instant::now();
            let sum = match self.add_up(batches, stop) {
                Ok(Some(sum)) if sum.batches == 0 => break,
                Ok(Some(sum)) => sum,
                Ok(None) => {
                    let checkpoint = self.save(report)?;
                    return Ok(Ended::Stopped {
                        step: self.state.step,
                        checkpoint,
                    });
                }
                Err(error @ JobError::Diverged { .. }) => return Err(error),
                Err(error) => {
                    if let Err(unsaved) = self.save(report) {
                        tracing::error!(%unsaved, "the last step has no checkpoint");
                    }
                    return Err(error);
                }
            };
            let done = self.step(sum, begun)?;
            report.step(&done);
            if self
                .options
                .save_steps
                .is_some_and(|every| self.state.step.is_multiple_of(every))
            {
                self.save(report)?;
            }
        }
        self.save(report)?;
        self.checkpoints.publish(self.saved)?;
        Ok(Ended::Finished { step: self.state.step })
    }

    /// Draws the batches of the next step and adds up their gradients; fewer if the data end, and `None` once `stop` is set.
    /// Neither the weights nor the run's state change.
    fn add_up(
        &self,
        batches: &mut dyn Iterator<Item = Result<Drawn, JobError>>,
        stop: &AtomicBool,
    ) -> Result<Option<Sum>, JobError> {
        let mut sum = Sum::new(self.model.parameters().len());
        for index in 0..self.options.gradient_accumulation_steps {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let asked = Instant::now();
            let Some(drawn) = batches.next().transpose()? else {
                // Whoever draws may have been stopped too.
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                break;
            };
            sum.waited += asked.elapsed();
            sum.sources.extend(drawn.batch.sources);
            sum.position = drawn.position;
            let examples = &drawn.batch.examples;
            let options = &self.options;
            let dropout = seed::derive(options.seed, [self.state.step + 1, index as u64]);
            let (cache, objective) = (&options.grad_cache, &options.objective);
            let outcome = cache.gradients_unless(stop, self.model, examples, objective, Some(dropout))?;
            let Some(outcome) = outcome else { return Ok(None) };
            if !outcome.loss.is_finite() {
                let what = format!("the loss is {}", outcome.loss);
                return Err(self.circumstances(&sum.sources).error(&what));
            }
            sum.batches += 1;
            sum.samples += examples.len();
            sum.loss += f64::from(outcome.loss);
            sum.hits += f64::from(outcome.accuracy) * examples.len() as f64;
            sum.gradients.add(outcome.gradients)?;
        }
        Ok(Some(sum))
    }

    /// One step of the optimiser by the gradients of one batch or more.
    fn step(&mut self, mut sum: Sum, begun: Instant) -> Result<StepReport, JobError> {
        let gradient_norm = self.mean_gradient(&mut sum)?;
        let learning_rate = self.learning_rate();
        let broken = self.optimiser.step(&sum.gradients, learning_rate)?.map(str::to_owned);
        if let Some(name) = broken {
            let what =
                format!("after the step, weights of `{name}` are not finite (gradient norm {gradient_norm:.3e})");
            return Err(self.circumstances(&sum.sources).error(&what));
        }
        let loss = (sum.loss / sum.batches as f64) as f32;
        let step = self.state.step + 1;
        self.state.step = step;
        self.state.samples += sum.samples as u64;
        self.state.position = sum.position;
        self.state.remember(RecentStep {
            step,
            loss,
            gradient_norm,
            learning_rate,
        });
        Ok(StepReport {
            step,
            max_steps: self.options.max_steps,
            loss,
            accuracy: (sum.hits / sum.samples as f64) as f32,
            learning_rate,
            gradient_norm,
            samples: sum.samples as u64,
            seconds: begun.elapsed().as_secs_f64(),
            waited: sum.waited.as_secs_f64(),
        })
    }

    /// That of the next step.
    fn learning_rate(&self) -> f64 {
        self.options.learning_rate * self.options.schedule.share(self.state.step)
    }

    /// Makes the sum of gradients their mean, clipped. Gives its norm before clipping.
    fn mean_gradient(&self, sum: &mut Sum) -> Result<f64, JobError> {
        if sum.gradients.is_empty() {
            return Err(JobError::Config(
                "nothing that is trained took part in the batch: `lora_target_modules` name modules that these inputs do not pass"
                    .to_owned(),
            ));
        }
        if sum.batches > 1 {
            sum.gradients.scale(1.0 / sum.batches as f64)?;
        }
        let norm = match self.options.max_grad_norm {
            Some(largest) => sum.gradients.clip(largest)?,
            None => sum.gradients.norm()?,
        };
        if norm.is_finite() {
            return Ok(norm);
        }
        let loss = sum.loss / sum.batches as f64;
        let what = format!("the gradient's norm is {norm}, at a loss of {loss:.4}");
        Err(self.circumstances(&sum.sources).error(&what))
    }

    fn circumstances<'b>(&'b self, sources: &'b [(String, usize)]) -> Circumstances<'b> {
        Circumstances {
            step: self.state.step + 1,
            learning_rate: self.learning_rate(),
            sources,
            before: &self.state,
            checkpoint: self.last_checkpoint.as_ref().map(|(_, path)| path.as_path()),
        }
    }

    /// Writes the last step's checkpoint, unless it is there. None before the first step.
    fn save(&mut self, report: &mut dyn Report) -> Result<Option<PathBuf>, JobError> {
        if self.state.step == 0 {
            return Ok(None);
        }
        if let Some((step, path)) = &self.last_checkpoint
            && *step == self.state.step
        {
            return Ok(Some(path.clone()));
        }
        report.saving(self.state.step)?;
        let path = self.checkpoints.write(&self.state, &self.optimiser, self.saved)?;
        report.saved(self.state.step, &path);
        self.last_checkpoint = Some((self.state.step, path.clone()));
        Ok(Some(path))
    }
}

impl Sum {
    fn new(parameters: usize) -> Self {
        Self {
            gradients: Gradients::none(parameters),
            batches: 0,
            samples: 0,
            loss: 0.0,
            hits: 0.0,
            sources: Vec::new(),
            position: Value::Null,
            waited: Duration::ZERO,
        }
    }
}
