//! Checkpoints of a run are whole or absent, whatever ends the process, and nothing else takes their place.

mod fake;
mod harness;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::process::Command;

use candle_core::DType;
use fake::Fake;
use harness::{GO, Log, Run, batches, folder, latest, names, options, rest, settings, whole};
use serde_json::{Value, json};
use sightstream_jobs::JobError;
use sightstream_jobs::train::checkpoint::{Checkpoint, Checkpoints, Saved};
use sightstream_jobs::train::trainer::{Report, StepReport, TrainOptions, Trainer};

type Result = std::result::Result<(), JobError>;

/// Writes half of a model, and then the process is gone.
struct Dies {
    model: Fake,
    writes_left: Cell<u32>,
}

impl Saved for Dies {
    fn write(&self, folder: &Path) -> Result {
        if self.writes_left.get() == 0 {
            fs::write(folder.join("model.safetensors"), "half of a model").expect("the folder is there");
            std::process::abort();
        }
        self.writes_left.set(self.writes_left.get() - 1);
        self.model.write(folder)
    }
}

/// The folder in which [`dying_run`] runs.
const DYING: &str = "SIGHTSTREAM_TEST_DYING_RUN";

/// The process that the test below starts: it dies in its second checkpoint. Nothing where nobody asks for it.
#[test]
fn dying_run() -> Result {
    let Some(folder) = std::env::var_os(DYING) else {
        return Ok(());
    };
    let dies = Dies {
        model: Fake::new(5, DType::F32),
        writes_left: Cell::new(1),
    };
    Run::new(Path::new(&folder)).go_saved_by(&dies, options(10))?;
    panic!("the run came to an end");
}

#[test]
fn a_run_that_is_killed_while_it_writes_goes_on_from_the_checkpoint_before() -> Result {
    let (one, other) = (folder(), folder());
    let (through, log) = whole(one.path(), DType::F32)?;
    let test = std::env::current_exe().expect("this runs from a file");
    let died = Command::new(test)
        .args(["--exact", "dying_run"])
        .env(DYING, other.path())
        .output();
    let died = died.expect("a test can start itself");
    assert!(died.status.code().is_none(), "{died:?}");
    assert_eq!(names(other.path()), [".checkpoint-8.partial", ".lock", "checkpoint-4"]);

    let checkpoint = latest(other.path())?;
    assert_eq!(
        names(other.path()),
        [".lock", "checkpoint-4"],
        "what was left unfinished is gone"
    );
    let (again, rest) = rest(other.path(), &checkpoint, DType::F32)?;
    assert_eq!(rest.bits()[..], log.bits()[4..]);
    assert_eq!(again.bits(), through.bits());
    Ok(())
}

#[test]
fn one_that_cannot_be_written_is_absent_and_the_one_before_stays() {
    struct Full(Cell<u32>);
    impl Saved for Full {
        fn write(&self, folder: &Path) -> Result {
            let path = folder.join("model.safetensors");
            fs::write(&path, "a model").expect("the folder is there");
            self.0.set(self.0.get() + 1);
            match self.0.get() {
                1 => Ok(()),
                _ => Err(JobError::Io {
                    path,
                    source: std::io::ErrorKind::StorageFull.into(),
                }),
            }
        }
    }
    let folder = folder();
    let error = Run::new(folder.path())
        .go_saved_by(&Full(Cell::new(0)), options(10))
        .expect_err("the disk is full");
    assert!(error.to_string().contains("model.safetensors"), "{error}");
    assert_eq!(names(folder.path()), [".lock", "checkpoint-4"]);
}

#[test]
fn only_the_latest_are_kept() -> Result {
    let folder = folder();
    let mut run = Run {
        model: Fake::new(5, DType::F32),
        checkpoints: Checkpoints::open(folder.path(), Some(2))?,
        log: Log::default(),
    };
    let options = TrainOptions {
        save_steps: Some(3),
        ..options(10)
    };
    run.go(options.clone())?;
    assert_eq!(run.log.saved, [3, 6, 9, 10]);
    assert_eq!(run.checkpoints.steps()?, [9, 10]);

    // Going on from one that is not the latest writes over those behind it.
    let from = Checkpoint::open(&folder.path().join("checkpoint-9"))?;
    run.go_on(&from, options)?;
    assert_eq!(run.log.saved, [3, 6, 9, 10, 10]);
    assert_eq!(
        names(folder.path()),
        [".lock", "checkpoint-10", "checkpoint-9", "model.safetensors"]
    );
    Ok(())
}

#[test]
fn a_run_that_goes_on_from_an_earlier_step_does_not_come_back_to_the_later_ones() -> Result {
    let folder = folder();
    let mut run = Run {
        model: Fake::new(5, DType::F32),
        checkpoints: Checkpoints::open(folder.path(), None)?,
        log: Log::default(),
    };
    let options = TrainOptions {
        save_steps: Some(3),
        ..options(10)
    };
    run.go(options)?;
    assert_eq!(run.checkpoints.steps()?, [3, 6, 9, 10]);
    run.checkpoints.abandon_after(6)?;
    assert_eq!(run.checkpoints.steps()?, [3, 6]);
    assert_eq!(run.checkpoints.latest()?.expect("there is one").state.step, 6);
    assert!(
        folder
            .path()
            .join("abandoned-checkpoint-10/trainer_state.json")
            .is_file()
    );
    Ok(())
}

#[test]
fn a_process_that_stopped_between_two_renames_loses_nothing() -> Result {
    let folder = folder();
    whole(folder.path(), DType::F32)?;
    let (path, replaced) = (
        folder.path().join("checkpoint-10"),
        folder.path().join(".checkpoint-10.replaced"),
    );
    fs::rename(&path, &replaced).expect("the folder is there");
    assert_eq!(latest(folder.path())?.path(), path);
    // And where the new one is in place, the old one goes.
    fs::create_dir(&replaced).expect("the folder is there");
    assert_eq!(latest(folder.path())?.state.step, 10);
    assert!(!replaced.exists());
    Ok(())
}

#[test]
fn two_runs_do_not_share_a_folder() -> Result {
    let folder = folder();
    let first = Checkpoints::open(folder.path(), None)?;
    let error = Checkpoints::open(folder.path(), None)
        .expect_err("the folder is taken")
        .to_string();
    assert!(error.contains("another run works in"), "{error}");
    drop(first);
    Checkpoints::open(folder.path(), None)?;
    let error = Checkpoints::open(folder.path(), Some(0))
        .expect_err("a limit of none")
        .to_string();
    assert!(error.contains("`save_total_limit`"), "{error}");
    Ok(())
}

#[test]
fn a_new_run_does_not_write_over_an_older_one() -> Result {
    let folder = folder();
    whole(folder.path(), DType::F32)?;
    let before = fs::read(folder.path().join("checkpoint-10/optimizer.safetensors")).expect("the run left it");
    let error = Run::new(folder.path())
        .go(options(10))
        .expect_err("there is a run in the folder")
        .to_string();
    assert!(error.contains("--resume"), "{error}");
    let after = fs::read(folder.path().join("checkpoint-10/optimizer.safetensors")).expect("the run left it");
    assert!(before == after);
    Ok(())
}

#[test]
fn a_run_with_other_settings_is_not_resumed_and_the_keys_are_named() -> Result {
    let folder = folder();
    whole(folder.path(), DType::F32)?;
    let run = Run::new(folder.path());
    let before = run.model.bits();
    let checkpoint = Checkpoint::open(&folder.path().join("checkpoint-4"))?;
    let mut changed = settings();
    changed.insert("learning_rate".to_owned(), json!(0.01));
    changed.insert("symmetric".to_owned(), json!(true));
    changed.remove("seed");
    let mut trainer = Trainer::new(&run.model, &run.model, &run.checkpoints, options(10), changed)?;
    let error = trainer
        .resume(&checkpoint)
        .expect_err("the settings changed")
        .to_string();
    for part in [
        "`learning_rate` was 0.02 and is 0.01",
        "`symmetric` was null and is true",
        "`seed` was 42 and is null",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("max_steps"), "{error}");
    assert_eq!(run.model.bits(), before);
    Ok(())
}

#[test]
fn a_broken_one_is_named() -> Result {
    let folder = folder();
    whole(folder.path(), DType::F32)?;
    let checkpoint = folder.path().join("checkpoint-4");
    let path = checkpoint.join("trainer_state.json");
    let text = fs::read_to_string(&path).expect("the run left it");
    for (broken, part) in [
        (text[..text.len() / 2].to_owned(), "trainer_state.json"),
        (text.replace("\"version\": 2", "\"version\": 1"), "its version is 1"),
    ] {
        fs::write(&path, broken).expect("the folder is there");
        let error = Checkpoint::open(&checkpoint)
            .expect_err("the state is broken")
            .to_string();
        assert!(error.contains(part), "{error}");
    }
    fs::write(&path, &text).expect("the folder is there");
    let weights = checkpoint.join("optimizer.safetensors");
    let bytes = fs::read(&weights).expect("the run left it");
    fs::write(&weights, &bytes[..bytes.len() / 2]).expect("the folder is there");
    let error = Run::new(folder.path())
        .go_on(&Checkpoint::open(&checkpoint)?, options(10))
        .expect_err("half a file");
    assert!(error.to_string().contains("optimizer.safetensors"), "{error}");

    let none = Checkpoint::open(&folder.path().join("checkpoint-5"))
        .expect_err("there is none")
        .to_string();
    assert!(none.contains("checkpoint-5"), "{none}");
    Ok(())
}

#[test]
fn batches_are_made_again_from_a_position() -> Result {
    // What the tests of resuming stand on.
    let mut all = batches(&json!(null)).skip(3);
    let mut from = batches(&json!({ "batch": 3 }));
    let (one, other) = (all.next().expect("no end")?, from.next().expect("no end")?);
    assert_eq!((one.batch, one.position), (other.batch, other.position));
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").expect("the folder is there");
    let error = Checkpoints::open(&file.join("run"), None)
        .expect_err("a file is no folder")
        .to_string();
    assert!(error.contains("file/run"), "{error}");
}

/// Looks at what is there when it is told.
struct Order<'a> {
    checkpoints: &'a Checkpoints,
    reported: u64,
    told: Vec<String>,
    /// What was reported up to this step does not last.
    fails_at: Option<u64>,
}

impl Report for Order<'_> {
    fn step(&mut self, step: &StepReport) {
        self.reported = step.step;
    }

    fn saving(&mut self, step: u64) -> Result {
        let there = self.checkpoints.steps().expect("the folder is there");
        assert_eq!((self.reported, there.contains(&step)), (step, false));
        self.told.push(format!("saving {step}"));
        match Some(step) == self.fails_at {
            true => Err(JobError::Config("the disk is full".into())),
            false => Ok(()),
        }
    }

    fn saved(&mut self, step: u64, _: &Path) {
        let there = self.checkpoints.steps().expect("the folder is there");
        assert!(there.contains(&step));
        self.told.push(format!("saved {step}"));
    }
}

/// A run of ten steps under the eyes of [`Order`]: how it ends, what was told, and the checkpoints that are there.
fn ordered(fails_at: Option<u64>) -> std::result::Result<(Result, Vec<String>, Vec<u64>), JobError> {
    let folder = folder();
    let model = Fake::new(5, DType::F32);
    let checkpoints = Checkpoints::open(folder.path(), None)?;
    let mut order = Order {
        checkpoints: &checkpoints,
        reported: 0,
        told: Vec::new(),
        fails_at,
    };
    let mut trainer = Trainer::new(&model, &model, &checkpoints, options(10), settings())?;
    let ended = trainer.run(&mut batches(&Value::Null), &mut order, &GO);
    Ok((ended.map(drop), order.told, checkpoints.steps()?))
}

#[test]
fn reports_can_be_made_to_last_before_a_checkpoint_is_there() -> Result {
    let (ended, told, _) = ordered(None)?;
    ended?;
    let expected = [4, 8, 10].map(|step| [format!("saving {step}"), format!("saved {step}")]);
    assert_eq!(told, expected.concat());
    Ok(())
}

#[test]
fn a_step_whose_report_does_not_last_has_no_checkpoint() -> Result {
    let (ended, told, steps) = ordered(Some(8))?;
    let error = ended.expect_err("the run ends").to_string();
    assert!(error.contains("the disk is full"), "{error}");
    assert_eq!(told, ["saving 4", "saved 4", "saving 8"]);
    assert_eq!(steps, [4]);
    Ok(())
}
