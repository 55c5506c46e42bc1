//! Runs of the trainer with an encoder of a few hundred weights: how they end, what they report, and that a resumed run
//! computes what one without a stop would have.

mod fake;
mod harness;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device, Tensor};
use fake::Fake;
use harness::{GO, Log, Run, batches, folder, latest, names, options, rest, settings, whole};
use serde_json::{Value, json};
use sightstream_jobs::objective::{Gradients, seed};
use sightstream_jobs::optimiser::{Schedule, ScheduleKind};
use sightstream_jobs::train::checkpoint::{Checkpoint, Checkpoints};
use sightstream_jobs::train::trainer::{Drawn, Ended, Report, StepReport, TrainOptions, Trainer};
use sightstream_jobs::{Batch, Embed, JobError};

type Result = std::result::Result<(), JobError>;

#[test]
fn a_run_learns_reports_and_leaves_its_model() -> Result {
    let folder = folder();
    let mut run = Run::new(folder.path());
    // The same batch again and again: it can be learned by heart.
    let batch = Batch {
        examples: fake::examples(1, 8, 2),
        sources: vec![("one".to_owned(), 8)],
    };
    let mut same = std::iter::repeat_with(|| {
        Ok(Drawn {
            batch: batch.clone(),
            position: Value::Null,
        })
    });
    run.go_with(
        TrainOptions {
            save_steps: None,
            ..options(60)
        },
        &mut same,
    )?;

    let steps = &run.log.steps;
    let (first, last) = (&steps[0], &steps[59]);
    assert!(
        last.loss < 0.6 * first.loss && last.accuracy > first.accuracy,
        "{first:?}\n{last:?}"
    );
    assert_eq!((first.step, first.max_steps, first.samples), (1, 60, 16));
    assert_eq!(first.learning_rate, 0.0, "warm-up begins with nothing");
    assert_eq!(steps[3].learning_rate, 0.02, "and ends with all of it");
    assert!(
        steps
            .iter()
            .all(|step| step.gradient_norm > 0.0 && step.seconds >= step.waited)
    );

    assert_eq!(run.log.saved, [60]);
    let checkpoint = run.checkpoints.latest()?.expect("the one of the end");
    assert_eq!((checkpoint.state.step, checkpoint.state.samples), (60, 960));
    assert_eq!(names(folder.path()), [".lock", "checkpoint-60", "model.safetensors"]);
    assert_eq!(
        names(checkpoint.path()),
        ["model.safetensors", "optimizer.safetensors", "trainer_state.json"]
    );
    let published = candle_core::safetensors::load(folder.path().join("model.safetensors"), &Device::Cpu)?;
    for parameter in run.model.parameters() {
        let numbers = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        assert_eq!(numbers(&published[&parameter.name])?, numbers(&parameter.var)?);
    }
    Ok(())
}

#[test]
fn a_resumed_run_computes_the_same_to_the_last_bit() -> Result {
    for dtype in [DType::F32, DType::BF16] {
        let (one, other) = (folder(), folder());
        let (through, log) = whole(one.path(), dtype)?;
        // Into another folder, so that nothing but the checkpoint can help.
        let checkpoint = Checkpoint::open(&one.path().join("checkpoint-4"))?;
        let (again, rest) = rest(other.path(), &checkpoint, dtype)?;
        assert_eq!(rest.bits(), log.bits()[4..], "{dtype:?}");
        assert_eq!(again.bits(), through.bits(), "{dtype:?}");
        let (first, second) = (latest(one.path())?.state, latest(other.path())?.state);
        assert_eq!(first, second);
        assert_eq!(first.position, json!({ "batch": 20 }));
    }
    Ok(())
}

/// Sets the flag when a step was done.
struct StopAfter<'a> {
    log: Log,
    step: u64,
    stop: &'a AtomicBool,
}

impl Report for StopAfter<'_> {
    fn step(&mut self, step: &StepReport) {
        self.log.step(step);
        self.stop.store(step.step >= self.step, Ordering::SeqCst);
    }
}

#[test]
fn a_stopped_run_saves_and_goes_on() -> Result {
    let (one, other) = (folder(), folder());
    let (through, log) = whole(one.path(), DType::F32)?;

    let path = other.path().join("checkpoint-7");
    let (stop, run) = (AtomicBool::new(false), Run::new(other.path()));
    let mut stopped = StopAfter {
        log: Log::default(),
        step: 7,
        stop: &stop,
    };
    let ended = Trainer::new(&run.model, &run.model, &run.checkpoints, options(10), settings())?.run(
        &mut batches(&Value::Null),
        &mut stopped,
        &stop,
    )?;
    assert_eq!(
        ended,
        Ended::Stopped {
            step: 7,
            checkpoint: Some(path.clone())
        }
    );
    assert!(
        !other.path().join("model.safetensors").exists(),
        "a stopped run is not finished"
    );
    drop(run);

    let checkpoint = latest(other.path())?;
    assert_eq!(checkpoint.path(), path);
    let (again, rest) = rest(other.path(), &checkpoint, DType::F32)?;
    assert_eq!([stopped.log.bits(), rest.bits()].concat(), log.bits());
    assert_eq!(again.bits(), through.bits());
    Ok(())
}

#[test]
fn a_stop_in_the_middle_of_a_step_goes_back_to_its_beginning() -> Result {
    let (one, other) = (folder(), folder());
    let (through, log) = whole(one.path(), DType::F32)?;
    let (stop, run, mut drawn) = (AtomicBool::new(false), Run::new(other.path()), 0);
    // The flag is set when the second batch of step 6 is there, and its first one is added up.
    let mut watched = batches(&Value::Null).inspect(|_| {
        drawn += 1;
        stop.store(drawn == 12, Ordering::SeqCst);
    });
    let mut trainer = Trainer::new(&run.model, &run.model, &run.checkpoints, options(10), settings())?;
    let ended = trainer.run(&mut watched, &mut Log::default(), &stop)?;
    assert_eq!(
        ended,
        Ended::Stopped {
            step: 5,
            checkpoint: Some(other.path().join("checkpoint-5"))
        }
    );
    drop(trainer);
    drop(run);
    let (again, rest) = rest(other.path(), &latest(other.path())?, DType::F32)?;
    assert_eq!(rest.bits(), log.bits()[5..]);
    assert_eq!(again.bits(), through.bits());
    Ok(())
}

#[test]
fn a_stop_before_the_first_step_leaves_nothing() -> Result {
    let folder = folder();
    let run = Run::new(folder.path());
    let mut trainer = Trainer::new(&run.model, &run.model, &run.checkpoints, options(10), settings())?;
    let ended = trainer.run(&mut batches(&Value::Null), &mut Log::default(), &AtomicBool::new(true))?;
    assert_eq!(
        ended,
        Ended::Stopped {
            step: 0,
            checkpoint: None
        }
    );
    assert_eq!(names(folder.path()), [".lock"]);
    Ok(())
}

#[test]
fn accumulated_batches_make_the_mean_of_their_gradients() -> Result {
    let folder = folder();
    let mut run = Run::new(folder.path());
    run.go_with(options(10), &mut batches(&Value::Null).take(2))?;

    let (fresh, options) = (Fake::new(5, DType::F32), options(10));
    let (mut sum, mut loss, mut hits) = (Gradients::none(fresh.parameters().len()), 0.0, 0.0);
    for (index, drawn) in batches(&Value::Null).take(2).enumerate() {
        let dropout = seed::derive(42, [1, index as u64]);
        let examples = drawn?.batch.examples;
        let outcome = options
            .grad_cache
            .gradients(&fresh, &examples, &options.objective, Some(dropout))?;
        loss += f64::from(outcome.loss) / 2.0;
        hits += f64::from(outcome.accuracy) / 2.0;
        sum.add(outcome.gradients)?;
    }
    sum.scale(0.5)?;
    let [step] = &run.log.steps[..] else {
        panic!("two batches are one step")
    };
    assert_eq!((step.loss, step.accuracy), (loss as f32, hits as f32));
    assert_eq!(step.gradient_norm, sum.norm()?);
    Ok(())
}

/// Runs into something that makes a number none, in the step after a checkpoint.
fn diverged(folder: &Path, spoil: impl Fn(&Fake)) -> std::result::Result<String, JobError> {
    let run = Run::new(folder);
    let options = TrainOptions {
        gradient_accumulation_steps: 1,
        save_steps: Some(2),
        ..options(10)
    };
    let mut drawn = 0;
    let mut spoiled = batches(&Value::Null).inspect(|_| {
        drawn += 1;
        if drawn == 4 {
            spoil(&run.model);
        }
    });
    let mut trainer = Trainer::new(&run.model, &run.model, &run.checkpoints, options, settings())?;
    let error = trainer
        .run(&mut spoiled, &mut Log::default(), &GO)
        .expect_err("step 4 diverges");
    assert!(matches!(error, JobError::Diverged { step: 4, .. }), "{error}");
    assert_eq!(run.checkpoints.steps()?, [2], "nothing is saved over what was good");
    Ok(error.to_string())
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_with_what_led_to_it() -> Result {
    let folder = folder();
    let error = diverged(folder.path(), |model| {
        let bias = &model.parameters()[2].var;
        let nothing = Tensor::full(f32::NAN, bias.shape(), &Device::Cpu).and_then(|nan| bias.set(&nan));
        nothing.expect("the bias takes any number");
    })?;
    for part in [
        "step 4: the loss is NaN",
        "`colours` (5), `counts` (3)",
        "step 3 with loss",
        "gradient norm",
        "rate 2.000e-2",
    ] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    let path = folder.path().join("checkpoint-2").display().to_string();
    assert!(error.contains(&path), "{error}");
    Ok(())
}

#[test]
fn a_gradient_that_is_no_number_ends_the_run_before_the_step() -> Result {
    let error = diverged(folder().path(), |model| model.poisoned.store(true, Ordering::SeqCst))?;
    assert!(
        error.contains("step 4: the gradient's norm is NaN, at a loss of"),
        "{error}"
    );
    Ok(())
}

#[test]
fn weights_that_are_no_numbers_end_the_run_before_they_are_saved() -> Result {
    let folder = folder();
    let mut run = Run::new(folder.path());
    let options = TrainOptions {
        learning_rate: 1e39,
        save_steps: Some(1),
        ..options(10)
    };
    let error = run.go(options).expect_err("a step without bound");
    // The first step of warm-up takes nothing of it.
    assert!(matches!(error, JobError::Diverged { step: 2, .. }), "{error}");
    assert!(
        error.to_string().contains("weights of `embedding` are not finite"),
        "{error}"
    );
    assert_eq!(run.checkpoints.steps()?, [1]);
    Ok(())
}

#[test]
fn data_that_end_early_end_the_run_with_a_smaller_last_step() -> Result {
    let folder = folder();
    let mut run = Run::new(folder.path());
    let ended = run.go_with(options(10), &mut batches(&Value::Null).take(5))?;
    assert_eq!(ended, Ended::Finished { step: 3 });
    assert_eq!(
        run.log.steps.iter().map(|step| step.samples).collect::<Vec<_>>(),
        [16, 16, 8]
    );
    assert_eq!(run.checkpoints.steps()?, [3]);
    assert!(folder.path().join("model.safetensors").exists());
    Ok(())
}

#[test]
fn data_that_fail_do_not_cost_the_steps_before() -> Result {
    let folder = folder();
    let mut run = Run::new(folder.path());
    let failure = JobError::Data {
        dataset: "colours".to_owned(),
        message: "too many rows cannot be read".to_owned(),
    };
    let mut failing = batches(&Value::Null).take(5).chain(std::iter::once(Err(failure)));
    let error = run.go_with(options(10), &mut failing).expect_err("the data fail");
    assert!(error.to_string().contains("too many rows"), "{error}");
    assert_eq!(run.checkpoints.steps()?, [2]);
    Ok(())
}

#[test]
fn a_batch_that_the_model_refuses_does_not_cost_the_steps_before() -> Result {
    let folder = folder();
    let mut run = Run::new(folder.path());
    let mut unknown = batches(&Value::Null).enumerate().map(|(index, drawn)| {
        drawn.map(|mut drawn| {
            if index == 5 {
                drawn.batch.examples[0].query.token_ids = vec![fake::VOCABULARY];
            }
            drawn
        })
    });
    let error = run
        .go_with(options(10), &mut unknown)
        .expect_err("a token that the fake does not have");
    assert!(matches!(error, JobError::Candle(_)), "{error}");
    assert_eq!(run.checkpoints.steps()?, [2]);
    Ok(())
}

#[test]
fn options_out_of_range_are_refused() {
    let folder = folder();
    let model = Fake::new(5, DType::F32);
    let checkpoints = Checkpoints::open(folder.path(), None).expect("the folder is free");
    let late = Schedule {
        kind: ScheduleKind::Linear,
        warmup_steps: 11,
        total_steps: 10,
    };
    for (options, key) in [
        (options(0), "`max_steps`"),
        (
            TrainOptions {
                schedule: late,
                ..options(10)
            },
            "`warmup_steps`",
        ),
        (
            TrainOptions {
                max_steps: 11,
                ..options(10)
            },
            "`lr_decay_steps`",
        ),
        (
            TrainOptions {
                learning_rate: f64::NAN,
                ..options(10)
            },
            "`learning_rate`",
        ),
        (
            TrainOptions {
                gradient_accumulation_steps: 0,
                ..options(10)
            },
            "`gradient_accumulation_steps`",
        ),
        (
            TrainOptions {
                save_steps: Some(0),
                ..options(10)
            },
            "`save_steps`",
        ),
        (
            TrainOptions {
                max_grad_norm: Some(0.0),
                ..options(10)
            },
            "`max_grad_norm`",
        ),
    ] {
        let trainer = Trainer::new(&model, &model, &checkpoints, options, settings());
        let error = trainer.err().expect("this is refused");
        assert!(error.to_string().contains(key), "{error}");
    }
}
