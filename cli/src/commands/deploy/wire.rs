//! What Arroyo's REST API says, as far as it is used here. Names are those of Arroyo 0.15 and later; what 0.14 called
//! otherwise is taken too.

use std::fmt;

use serde::Deserialize;

/// `GlobalUdf`: a function that Arroyo has.
#[derive(Debug, Clone, Deserialize)]
pub struct Udf {
    pub id: String,
    pub name: String,
    pub definition: String,
    /// In microseconds since 1970.
    #[serde(alias = "createdAt")]
    pub created_at: u64,
    /// Where the built function is; `None` or empty if it was never built.
    #[serde(default, alias = "dylibUrl")]
    pub dylib_url: Option<String>,
}

/// `UdfValidationResult`: what the compiler says.
#[derive(Debug, Deserialize)]
pub struct UdfValidation {
    pub errors: Vec<String>,
}

/// `QueryValidationResult`: what the planner says.
#[derive(Debug, Deserialize)]
pub struct QueryValidation {
    pub graph: Option<Graph>,
    pub errors: Vec<Diagnostic>,
}

/// One of the planner's errors: a text, or since 0.16 one with its place in the query.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Diagnostic {
    Text(String),
    Placed { message: String, span: Option<Span> },
}

/// `SqlSpan`.
#[derive(Debug, Deserialize)]
pub struct Span {
    pub start: Location,
}

/// `SqlLocation`: line and column, from 1.
#[derive(Debug, Deserialize)]
pub struct Location {
    pub line: u64,
    pub column: u64,
}

impl Diagnostic {
    /// The error as Arroyo gave it, behind its place in `file` if it has one.
    pub fn in_file(&self, file: &str) -> String {
        match self {
            Self::Text(message) | Self::Placed { message, span: None } => format!("{file}: {message}"),
            Self::Placed {
                message,
                span: Some(Span { start }),
            } => format!("{file}:{}:{}: {message}", start.line, start.column),
        }
    }
}

/// A collection, with whether there is more in the paginated ones.
#[derive(Debug, Deserialize)]
pub struct Collection<T> {
    pub data: Vec<T>,
    #[serde(default, alias = "hasMore")]
    pub has_more: bool,
}

/// `Pipeline`.
#[derive(Debug, Clone, Deserialize)]
pub struct Pipeline {
    pub id: String,
    pub name: String,
    pub query: String,
    #[serde(alias = "checkpointIntervalMicros")]
    pub checkpoint_interval_micros: u64,
    /// In microseconds since 1970.
    #[serde(alias = "createdAt")]
    pub created_at: u64,
    pub graph: Graph,
}

/// `PipelineGraph`.
#[derive(Debug, Clone, Deserialize)]
pub struct Graph {
    pub nodes: Vec<Node>,
}

/// `PipelineNode`: an operator.
#[derive(Debug, Clone, Deserialize)]
pub struct Node {
    pub parallelism: u32,
}

impl Graph {
    /// The most subtasks that an operator has.
    pub fn parallelism(&self) -> u32 {
        self.nodes.iter().map(|node| node.parallelism).max().unwrap_or(0)
    }
}

/// `Job`: a pipeline's run.
#[derive(Debug, Clone, Deserialize)]
pub struct Job {
    pub id: String,
    pub state: String,
    /// How often it was scheduled.
    #[serde(default, alias = "runId")]
    pub run_id: u64,
    #[serde(default)]
    pub tasks: Option<u64>,
    /// Up to 0.15.
    #[serde(default, alias = "failureMessage")]
    failure_message: Option<String>,
    /// Since 0.16.
    #[serde(default)]
    failure_reason: Option<FailureReason>,
}

/// `FailureReason`.
#[derive(Debug, Clone, Deserialize)]
struct FailureReason {
    error: String,
}

impl Job {
    /// Why it failed, as Arroyo says it.
    pub fn failure(&self) -> Option<&str> {
        let reason = self.failure_reason.as_ref().map(|reason| reason.error.as_str());
        reason.or(self.failure_message.as_deref())
    }

    /// Whether nothing of it runs, and nothing will by itself.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.state.as_str(), "Stopped" | "Failed" | "Finished")
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tasks {
            Some(tasks) if self.state == "Running" => write!(f, "Running, {tasks} tasks"),
            _ => f.write_str(&self.state),
        }
    }
}

/// `JobLogMessage`: an error of a task.
#[derive(Debug, Deserialize)]
pub struct JobError {
    pub id: String,
    #[serde(default, alias = "operatorId")]
    operator_id: Option<String>,
    #[serde(default, alias = "taskIndex")]
    task_index: Option<u64>,
    message: String,
    #[serde(default)]
    details: String,
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.operator_id, self.task_index) {
            (Some(operator), Some(task)) => write!(f, "{operator}, task {task}: ")?,
            (Some(operator), None) => write!(f, "{operator}: ")?,
            _ => {}
        }
        f.write_str(&self.message)?;
        match self.details.as_str() {
            "" => Ok(()),
            details if details == self.message => Ok(()),
            details => write!(f, ": {details}"),
        }
    }
}
