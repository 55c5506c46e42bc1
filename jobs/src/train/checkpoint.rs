//! Checkpoints of a run: whole or absent.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::Device;

use super::state::TrainerState;
use crate::error::JobError;
use crate::optimiser::AdamW;
use crate::whole::{failure, sync};

/// A model that can be written to a folder.
pub trait Saved {
    /// Writes what loads as the model in its current state: an adapter, or a full checkpoint. The folder is there.
    ///
    /// # Errors
    /// [`JobError::Io`] that names the file.
    fn write(&self, folder: &Path) -> Result<(), JobError>;
}

/// The checkpoints in the folder of a run: `checkpoint-STEP/`, each with the model's files, `optimizer.safetensors` and
/// `trainer_state.json`.
///
/// One is written under a hidden name, brought to the disk, and only then renamed: whoever sees it sees all of it, whenever the
/// process or the machine stops.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    limit: Option<usize>,
    /// Held for as long as this is: two runs in one folder would clear away each other's work.
    _lock: File,
}

/// A whole checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    /// The run's state in it.
    pub state: TrainerState,
}

const STATE: &str = "trainer_state.json";
const OPTIMISER: &str = "optimizer.safetensors";

impl Checkpoints {
    /// Those of the run in `folder`, which is made if it is not there; `limit` is how many are kept, or all.
    ///
    /// What a stopped process left unfinished there is removed.
    ///
    /// # Errors
    /// [`JobError::Config`] for a limit of none, and while another run works in the folder; [`JobError::Io`].
    pub fn open(folder: &Path, limit: Option<usize>) -> Result<Self, JobError> {
        if limit == Some(0) {
            let message = "`save_total_limit` is 0: a run keeps one checkpoint at least. Leave it out to keep all";
            return Err(JobError::Config(message.to_owned()));
        }
        fs::create_dir_all(folder).map_err(failure(folder))?;
        let path = folder.join(".lock");
        let lock = File::create(&path).map_err(failure(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(JobError::Config(format!(
                    "another run works in {}: wait for its end, or take another `output_dir`",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(source)) => return Err(JobError::Io { path, source }),
        }
        let checkpoints = Self {
            folder: folder.to_owned(),
            limit,
            _lock: lock,
        };
        checkpoints.clear_unfinished()?;
        Ok(checkpoints)
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The steps of which there is one, in ascending order.
    ///
    /// # Errors
    /// [`JobError::Io`].
    pub fn steps(&self) -> Result<Vec<u64>, JobError> {
        let mut steps: Vec<_> = self.names()?.iter().filter_map(|name| step_of(name)).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// The latest, if there is one.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn latest(&self) -> Result<Option<Checkpoint>, JobError> {
        self.steps()?
            .last()
            .map(|&step| Checkpoint::open(&self.path(step)))
            .transpose()
    }

    /// Sets aside those of steps after `step`, which a run that goes on from there does not come from: each gets the name
    /// `abandoned-checkpoint-STEP`, in place of one that had it.
    ///
    /// # Errors
    /// [`JobError::Io`].
    pub fn abandon_after(&self, step: u64) -> Result<(), JobError> {
        for later in self.steps()?.into_iter().filter(|&later| later > step) {
            let (path, aside) = (
                self.path(later),
                self.folder.join(format!("abandoned-{}", name_of(later))),
            );
            remove(&aside)?;
            fs::rename(&path, &aside).map_err(failure(&path))?;
            tracing::info!(
                checkpoint = %path.display(),
                aside = %aside.display(),
                "a checkpoint that this run does not come from is set aside"
            );
        }
        sync(&self.folder)
    }

    /// Writes one, and removes the oldest of those beyond the limit. Gives its folder.
    ///
    /// # Errors
    /// [`JobError::Io`], and what `model` reports; then there is none of this step, unless there was one before.
    pub fn write(&self, state: &TrainerState, optimiser: &AdamW, model: &dyn Saved) -> Result<PathBuf, JobError> {
        let path = self.path(state.step);
        let partial = self.folder.join(format!(".{}.partial", name_of(state.step)));
        remove(&partial)?;
        let written = write_all(&partial, state, optimiser, model);
        if written.is_err() {
            // What is left of it takes room, which may be what was missing.
            let _ = remove(&partial);
        }
        written?;
        let replaced = self.folder.join(format!(".{}.replaced", name_of(state.step)));
        if path.exists() {
            // A folder cannot be renamed onto another one. A stop in between is mended at the next start.
            fs::rename(&path, &replaced).map_err(failure(&path))?;
        }
        fs::rename(&partial, &path).map_err(failure(&path))?;
        sync(&self.folder)?;
        remove(&replaced)?;
        self.clear_oldest(state.step)?;
        Ok(path)
    }

    /// Writes the model to the top of the run's folder: what came of the run.
    ///
    /// Each file is whole or absent.
    ///
    /// # Errors
    /// [`JobError::Io`], and what `model` reports.
    pub fn publish(&self, model: &dyn Saved) -> Result<(), JobError> {
        let partial = self.folder.join(".final.partial");
        remove(&partial)?;
        fs::create_dir(&partial).map_err(failure(&partial))?;
        model.write(&partial)?;
        sync_all(&partial)?;
        // Last the files that make a folder look like a model.
        let mut names = names(&partial)?;
        names.sort_by_key(|name| name == "config.json" || name == "adapter_config.json");
        for name in names {
            let to = self.folder.join(&name);
            fs::rename(partial.join(&name), &to).map_err(failure(&to))?;
        }
        remove(&partial)?;
        sync(&self.folder)
    }

    fn path(&self, step: u64) -> PathBuf {
        self.folder.join(name_of(step))
    }

    fn names(&self) -> Result<Vec<String>, JobError> {
        names(&self.folder)
    }

    /// Removes what was being written when a process stopped, and puts back what was about to be replaced.
    fn clear_unfinished(&self) -> Result<(), JobError> {
        for name in self.names()? {
            let path = self.folder.join(&name);
            if name.starts_with('.') && name.ends_with(".partial") {
                remove(&path)?;
            } else if let Some(original) = name.strip_prefix('.').and_then(|name| name.strip_suffix(".replaced")) {
                let original = self.folder.join(original);
                if original.exists() {
                    remove(&path)?;
                } else {
                    fs::rename(&path, &original).map_err(failure(&original))?;
                }
            }
        }
        Ok(())
    }

    /// Removes the oldest beyond the limit, but never the one that was just written.
    fn clear_oldest(&self, written: u64) -> Result<(), JobError> {
        let Some(limit) = self.limit else { return Ok(()) };
        let mut others = self.steps()?;
        others.retain(|&step| step != written);
        for step in others.iter().take((others.len() + 1).saturating_sub(limit)) {
            // Renamed first: a folder that loses its files one by one must not look whole.
            let going = self.folder.join(format!(".{}.removed.partial", name_of(*step)));
            fs::rename(self.path(*step), &going).map_err(failure(&going))?;
            remove(&going)?;
        }
        Ok(())
    }
}

impl Checkpoint {
    /// Reads the state of a checkpoint.
    ///
    /// # Errors
    /// [`JobError::Io`] and [`JobError::Config`] for a folder that is none.
    pub fn open(path: &Path) -> Result<Self, JobError> {
        let file = path.join(STATE);
        let text = fs::read_to_string(&file).map_err(failure(&file))?;
        let state = TrainerState::from_json(&text)
            .map_err(|reason| JobError::Config(format!("{} is not the state of a run: {reason}", file.display())))?;
        Ok(Self {
            path: path.to_owned(),
            state,
        })
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives its weights, moments and counts to an optimiser over the same parameters.
    ///
    /// # Errors
    /// [`JobError::Config`] for a file that is not whole, and what [`AdamW::restore`] reports.
    pub fn restore(&self, optimiser: &mut AdamW) -> Result<(), JobError> {
        let file = self.path.join(OPTIMISER);
        let state = candle_core::safetensors::load(&file, &Device::Cpu)
            .map_err(|reason| JobError::Config(format!("{} cannot be read: {reason}", file.display())))?;
        optimiser.restore(state)
    }
}

fn write_all(folder: &Path, state: &TrainerState, optimiser: &AdamW, model: &dyn Saved) -> Result<(), JobError> {
    fs::create_dir(folder).map_err(failure(folder))?;
    model.write(folder)?;
    candle_core::safetensors::save(&optimiser.state()?, folder.join(OPTIMISER))?;
    let path = folder.join(STATE);
    let mut file = File::create(&path).map_err(failure(&path))?;
    file.write_all(state.to_json().as_bytes()).map_err(failure(&path))?;
    sync_all(folder)
}

/// Brings a folder and all below it to the disk.
fn sync_all(folder: &Path) -> Result<(), JobError> {
    for name in names(folder)? {
        let path = folder.join(name);
        if path.is_dir() { sync_all(&path)? } else { sync(&path)? }
    }
    sync(folder)
}

fn remove(folder: &Path) -> Result<(), JobError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failure(folder)(error)),
        _ => Ok(()),
    }
}

/// The names in a folder that are text: others are nobody's here.
fn names(folder: &Path) -> Result<Vec<String>, JobError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failure(folder))? {
        names.extend(entry.map_err(failure(folder))?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

fn name_of(step: u64) -> String {
    format!("checkpoint-{step}")
}

fn step_of(name: &str) -> Option<u64> {
    // Written back, so that `checkpoint-007` is not taken for step 7.
    name.strip_prefix("checkpoint-")?
        .parse()
        .ok()
        .filter(|&step| name_of(step) == name)
}
