//! The JSON of Arroyo's REST API, field for field, of version 0.15 and of what follows it. Only what differs between them is
//! optional here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Which version's shapes are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V15,
    V16,
}

#[derive(Debug, Serialize)]
pub struct ErrorResp {
    pub error: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaginatedCollection<T> {
    pub data: Vec<T>,
    pub has_more: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct NonPaginatedCollection<T> {
    pub data: Vec<T>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct PaginationQueryParams {
    pub starting_after: Option<String>,
    pub limit: Option<u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Udf {
    pub definition: String,
    #[serde(default)]
    pub language: UdfLanguage,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UdfLanguage {
    Python,
    #[default]
    Rust,
}

#[derive(Debug, Deserialize)]
pub struct ValidateUdfPost {
    pub definition: String,
    #[serde(default)]
    pub language: UdfLanguage,
}

#[derive(Debug, Serialize)]
pub struct UdfValidationResult {
    pub udf_name: Option<String>,
    pub errors: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct UdfPost {
    pub prefix: String,
    #[serde(default)]
    pub language: UdfLanguage,
    pub definition: String,
    pub description: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct GlobalUdf {
    pub id: String,
    pub prefix: String,
    pub name: String,
    pub language: UdfLanguage,
    pub created_at: u64,
    pub updated_at: u64,
    pub definition: String,
    pub description: Option<String>,
    pub dylib_url: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct ValidateQueryPost {
    pub query: String,
    pub udfs: Option<Vec<Udf>>,
}

#[derive(Debug, Serialize)]
pub struct QueryValidationResult {
    pub graph: Option<PipelineGraph>,
    /// Texts in 0.15; `SqlDiagnostic`, a message with or without its span, since.
    pub errors: Vec<Value>,
}

#[derive(Debug, Deserialize)]
pub struct PipelinePost {
    pub name: String,
    pub query: String,
    pub udfs: Option<Vec<Udf>>,
    pub parallelism: u64,
    pub checkpoint_interval_micros: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub struct PipelinePatch {
    pub parallelism: Option<u64>,
    pub checkpoint_interval_micros: Option<u64>,
    pub stop: Option<StopType>,
}

#[derive(Debug, Deserialize)]
pub struct PipelineRestart {
    pub force: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopType {
    None,
    Checkpoint,
    Graceful,
    Immediate,
    Force,
}

#[derive(Debug, Clone, Serialize)]
pub struct Pipeline {
    pub id: String,
    pub name: String,
    pub query: String,
    pub udfs: Vec<Udf>,
    pub checkpoint_interval_micros: u64,
    pub stop: StopType,
    pub created_at: u64,
    pub action: Option<StopType>,
    pub action_text: String,
    pub action_in_progress: bool,
    pub graph: PipelineGraph,
    pub preview: bool,
    /// `state_url` and `tags`, since 0.16.
    #[serde(flatten)]
    pub newer: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize)]
pub struct PipelineGraph {
    pub nodes: Vec<PipelineNode>,
    pub edges: Vec<PipelineEdge>,
}

#[derive(Debug, Clone, Serialize)]
pub struct PipelineNode {
    pub node_id: u32,
    pub operator: String,
    pub description: String,
    pub parallelism: u32,
}

#[derive(Debug, Clone, Serialize)]
pub struct PipelineEdge {
    pub src_id: u32,
    pub dest_id: u32,
    pub key_type: String,
    pub value_type: String,
    pub edge_type: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Job {
    pub id: String,
    pub running_desired: bool,
    pub state: String,
    pub run_id: u64,
    pub start_time: Option<u64>,
    pub finish_time: Option<u64>,
    pub tasks: Option<u64>,
    pub created_at: u64,
    /// `failure_message` in 0.15; `failure_reason`, `pipeline_id`, `scheduler_config` and `env_vars` since.
    #[serde(flatten)]
    pub versioned: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize)]
pub struct JobLogMessage {
    pub id: String,
    pub created_at: u64,
    pub operator_id: Option<String>,
    pub task_index: Option<u64>,
    pub level: String,
    pub message: String,
    pub details: String,
    /// `error_domain`, since 0.16.
    #[serde(flatten)]
    pub newer: Map<String, Value>,
}
