//! What a test tells a worker process, and what it answers: a JSON line each.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// What the process is to do.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// Load a dylib under a name.
    Load {
        /// The name that later commands use.
        udf: String,
        /// The file.
        dylib: PathBuf,
    },
    /// Close a dylib. Its handles must have been stopped.
    Unload {
        /// Its name.
        udf: String,
    },
    /// Start the runtime of one subtask.
    Start {
        /// The name that later commands use.
        handle: String,
        /// The dylib.
        udf: String,
        /// Whether results come in the order of the calls.
        ordered: bool,
        /// After which a call makes the runtime panic.
        timeout: Duration,
        /// Calls in flight.
        allowed_in_flight: u32,
    },
    /// Hand rows to handles, all handles at the same time, and wait for all their results.
    Call {
        /// Each handle's rows.
        rows: Vec<(String, Vec<Row>)>,
        /// How long a handle may give nothing, before the command fails.
        patience: Duration,
    },
    /// Stop the runtime of a subtask.
    Stop {
        /// Its name.
        handle: String,
    },
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Which comes back with the result.
    pub id: u64,
    /// The values; all UDFs here take texts.
    pub arguments: Vec<Option<String>>,
}

/// The name of the handle of the subtask `n`.
pub fn subtask(n: usize) -> String {
    format!("subtask {n}")
}

/// `rows` among so many subtasks, as Kafka's partitions would be.
pub fn shared_out(rows: &[Row], subtasks: usize) -> Vec<(String, Vec<Row>)> {
    let own = |n| rows.iter().skip(n).step_by(subtasks).cloned().collect();
    (0..subtasks).map(|n| (subtask(n), own(n))).collect()
}

/// What came of a command.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// It is done.
    Done,
    /// The results of a `Call`.
    Answers(Answers),
    /// It failed, and why.
    Failed(String),
}

/// What came of a `Call`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answers {
    /// By handle, in the order of the command.
    pub by_handle: Vec<(String, HandleAnswers)>,
    /// Processor time that the whole process took for it.
    pub cpu: Duration,
}

/// What one handle gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HandleAnswers {
    /// The results in the order in which they came.
    pub answers: Vec<Answer>,
    /// From the first row handed over to the last result.
    pub took: Duration,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The id of the call.
    pub id: u64,
    base64: Option<String>,
}

impl Answer {
    /// The result `value` of the call `id`.
    pub fn new(id: u64, value: Option<&[u8]>) -> Self {
        let base64 = value.map(|bytes| STANDARD.encode(bytes));
        Self { id, base64 }
    }

    /// The bytes of the result; of a text, those of UTF-8.
    ///
    /// # Panics
    /// If it was not made by [`Answer::new`].
    pub fn value(&self) -> Option<Vec<u8>> {
        let base64 = self.base64.as_deref()?;
        Some(STANDARD.decode(base64).expect("`new` encoded it"))
    }
}
