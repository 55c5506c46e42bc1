//! What the test's Arroyo holds, and how it changes.

use std::collections::{BTreeSet, VecDeque};

use serde_json::{Map, Value, json};

use crate::shapes::*;

/// Where a job goes by itself: one state for each time that it is asked for, and the last one from then on.
pub const STARTS: [&str; 4] = ["Created", "Compiling", "Scheduling", "Running"];

/// A pipeline and its job.
#[derive(Debug, Clone)]
pub struct PipelineRow {
    pub id: String,
    pub name: String,
    pub query: String,
    pub parallelism: u64,
    pub interval: u64,
    pub stop: StopType,
    pub created_at: u64,
    pub states: VecDeque<String>,
    pub run: u64,
    pub failure: Option<String>,
}

impl PipelineRow {
    pub fn state(&self) -> &str {
        self.states.front().map_or("Created", String::as_str)
    }

    pub fn goes(&mut self, states: &[&str]) {
        self.states = states.iter().map(ToString::to_string).collect();
    }

    /// The controller sees only a while later that it is to start: until then it is in the state that it was in.
    pub fn starts_again(&mut self, then: Vec<String>) {
        let old = self.state().to_string();
        self.states = [old.clone(), old].into_iter().chain(then).collect();
    }
}

/// The state of the server, and what the tests ask of it.
#[derive(Debug)]
pub struct World {
    pub version: Version,
    pub udfs: Vec<GlobalUdf>,
    /// The definitions that were built.
    pub built: BTreeSet<String>,
    pub pipelines: Vec<PipelineRow>,
    /// Method and path of each call, in their order, but for those that only look at a job.
    pub calls: Vec<String>,
    /// What the compiler says of a function that is built; nothing: it builds.
    pub compiler_errors: Vec<String>,
    /// Linking fails, which the compiler's check does not see.
    pub linker_fails: bool,
    /// What the planner says of a query besides what it finds.
    pub planner_errors: Vec<Value>,
    /// Where the jobs of new pipelines go.
    pub starts: Vec<String>,
    /// Where a job goes that starts again.
    pub starts_again: Vec<String>,
    pub failure: Option<String>,
    pub job_errors: Vec<JobLogMessage>,
    /// Where a job goes that is stopped with a checkpoint.
    pub stops: Vec<String>,
    /// Answers to give to the next calls with that method and path, before anything else is done.
    pub answers: VecDeque<(&'static str, u16, String)>,
    /// The same, but the call is done, and only its own answer is lost.
    pub lost: VecDeque<(&'static str, u16, String)>,
    /// From this call on each is answered with an error, although it is done.
    pub fails_from: Option<&'static str>,
    /// What the bodies of the calls held, by their method and path.
    pub bodies: Vec<(String, Value)>,
    ids: u64,
}

impl World {
    pub fn new(version: Version) -> Self {
        Self {
            version,
            udfs: Vec::new(),
            built: BTreeSet::new(),
            pipelines: Vec::new(),
            calls: Vec::new(),
            compiler_errors: Vec::new(),
            linker_fails: false,
            planner_errors: Vec::new(),
            starts: STARTS.map(String::from).to_vec(),
            starts_again: ["Compiling", "Scheduling", "Running"].map(String::from).to_vec(),
            failure: None,
            job_errors: Vec::new(),
            stops: ["CheckpointStopping", "Stopping", "Stopped"].map(String::from).to_vec(),
            answers: VecDeque::new(),
            lost: VecDeque::new(),
            fails_from: None,
            bodies: Vec::new(),
            ids: 0,
        }
    }

    /// An id as Arroyo makes them, and a time that goes with it.
    pub fn next_id(&mut self, kind: &str) -> (String, u64) {
        self.ids += 1;
        (format!("{kind}_{:010}", self.ids), 1_700_000_000_000_000 + self.ids)
    }

    /// A pipeline that somebody made before.
    pub fn has_pipeline(&mut self, name: &str, query: &str, states: &[&str]) -> String {
        let (id, created_at) = self.next_id("pl");
        let mut row = PipelineRow {
            id: id.clone(),
            name: name.to_string(),
            query: query.to_string(),
            parallelism: 1,
            interval: 10_000_000,
            stop: StopType::None,
            created_at,
            states: VecDeque::new(),
            run: 1,
            failure: None,
        };
        row.goes(states);
        self.pipelines.push(row);
        id
    }

    pub fn pipeline(&self, id: &str) -> Option<&PipelineRow> {
        self.pipelines.iter().find(|row| row.id == id)
    }

    pub fn udf(&self, name: &str) -> Option<&GlobalUdf> {
        self.udfs.iter().find(|udf| udf.name == name)
    }

    /// What the planner says of `query`, with the global functions and those in `local`.
    pub fn planned(&self, query: &str, local: &[Udf]) -> Vec<Value> {
        let mut errors = self.planner_errors.clone();
        let global = self
            .udfs
            .iter()
            .filter(|udf| udf.dylib_url.is_some())
            .map(|udf| udf.name.clone());
        let known: BTreeSet<String> = global
            .chain(local.iter().filter_map(|udf| function_name(&udf.definition)))
            .collect();
        for function in ["embed", "segments"] {
            if query.contains(&format!("{function}(")) && !known.contains(function) {
                errors.push(self.diagnostic(&format!("Error during planning: Invalid function '{function}'"), None));
            }
        }
        errors
    }

    /// A planner's error in the version's shape.
    pub fn diagnostic(&self, message: &str, start: Option<(u64, u64)>) -> Value {
        match (self.version, start) {
            (Version::V15, _) => json!(message),
            (Version::V16, None) => json!({"message": message}),
            (Version::V16, Some((line, column))) => json!({
                "message": message,
                "span": {"start": {"line": line, "column": column}, "end": {"line": line, "column": column + 3}},
            }),
        }
    }

    pub fn graph(parallelism: u64) -> PipelineGraph {
        let node = |node_id, operator: &str| PipelineNode {
            node_id,
            operator: operator.to_string(),
            description: operator.to_string(),
            parallelism: u32::try_from(parallelism).expect("tests ask for few"),
        };
        PipelineGraph {
            nodes: vec![node(0, "Kafka"), node(1, "AsyncUdf"), node(2, "KafkaSink")],
            edges: vec![PipelineEdge {
                src_id: 0,
                dest_id: 1,
                key_type: "()".to_string(),
                value_type: "media".to_string(),
                edge_type: "Forward".to_string(),
            }],
        }
    }

    pub fn shown_pipeline(&self, row: &PipelineRow) -> Pipeline {
        let newer = match self.version {
            Version::V15 => json!({}),
            Version::V16 => json!({"state_url": null, "tags": {}}),
        };
        Pipeline {
            id: row.id.clone(),
            name: row.name.clone(),
            query: row.query.clone(),
            udfs: Vec::new(),
            checkpoint_interval_micros: row.interval,
            stop: row.stop,
            created_at: row.created_at,
            action: Some(StopType::Checkpoint),
            action_text: "Stop".to_string(),
            action_in_progress: false,
            graph: Self::graph(row.parallelism),
            preview: false,
            newer: object(newer),
        }
    }

    pub fn shown_job(&self, row: &PipelineRow) -> Job {
        let state = row.state();
        let failure = row.failure.as_ref().filter(|_| state == "Failed");
        let versioned = match self.version {
            Version::V15 => json!({"failure_message": failure}),
            Version::V16 => json!({
                "pipeline_id": row.id,
                "failure_reason": failure.map(|error| json!({"error": error, "domain": "user"})),
                "scheduler_config": {},
                "env_vars": {},
            }),
        };
        Job {
            id: format!("job_{}", row.id),
            running_desired: row.stop == StopType::None,
            state: state.to_string(),
            run_id: row.run,
            start_time: (state == "Running").then_some(row.created_at),
            finish_time: None,
            tasks: (state == "Running").then_some(row.parallelism * 3),
            created_at: row.created_at,
            versioned: object(versioned),
        }
    }

    /// An error of a task.
    pub fn job_error(&mut self, message: &str, details: &str) -> JobLogMessage {
        let (id, created_at) = self.next_id("jlm");
        let newer = match self.version {
            Version::V15 => json!({}),
            Version::V16 => json!({"error_domain": "user"}),
        };
        JobLogMessage {
            id,
            created_at,
            operator_id: Some("source_0".to_string()),
            task_index: Some(1),
            level: "error".to_string(),
            message: message.to_string(),
            details: details.to_string(),
            newer: object(newer),
        }
    }
}

/// The name of the function that `definition` defines, as Arroyo finds it.
pub fn function_name(definition: &str) -> Option<String> {
    let (_, after) = definition.split_once("async fn ")?;
    Some(after.split_once('(')?.0.to_string())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => unreachable!("{other} is no object"),
    }
}
