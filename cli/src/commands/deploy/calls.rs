//! The calls, with their bodies.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::api::Call;

/// How many pipelines are asked for at a time. All that there are, if it can be: a page begins behind the second in which the
/// last pipeline of the page before was created, and so passes over others of that second.
const PAGE: usize = 10_000;

fn get(path: impl Into<String>) -> Call {
    Call {
        method: Method::GET,
        path: path.into(),
        body: None,
    }
}

fn send(method: Method, path: impl Into<String>, body: Value) -> Call {
    Call {
        method,
        path: path.into(),
        body: Some(body),
    }
}

fn delete(path: impl Into<String>) -> Call {
    Call {
        method: Method::DELETE,
        path: path.into(),
        body: None,
    }
}

/// Which functions Arroyo has.
pub fn udfs() -> Call {
    get("udfs")
}

/// Builds a function and gives it its name.
pub fn create_udf(definition: &str) -> Call {
    let body = json!({
        "prefix": "sightstream",
        "language": "rust",
        "definition": definition,
        "description": concat!("Sightstream ", env!("CARGO_PKG_VERSION")),
    });
    send(Method::POST, "udfs", body)
}

/// What the compiler says about a function.
pub fn validate_udf(definition: &str) -> Call {
    let body = json!({"definition": definition, "language": "rust"});
    send(Method::POST, "udfs/validate", body)
}

/// Takes a function its name. Pipelines that use it keep what was built.
pub fn delete_udf(id: &str) -> Call {
    delete(format!("udfs/{id}"))
}

/// What the planner says about `query`, with the functions in `definitions` besides those that Arroyo has.
pub fn validate_query(query: &str, definitions: &[&str]) -> Call {
    let udfs: Vec<Value> = definitions
        .iter()
        .map(|definition| json!({"definition": definition, "language": "rust"}))
        .collect();
    send(
        Method::POST,
        "pipelines/validate_query",
        json!({"query": query, "udfs": udfs}),
    )
}

/// A page of the pipelines, newest first: those before the one with the id `before`.
pub fn pipelines(before: Option<&str>) -> Call {
    get(match before {
        Some(id) => format!("pipelines?limit={PAGE}&starting_after={id}"),
        None => format!("pipelines?limit={PAGE}"),
    })
}

/// Makes a pipeline and starts its job.
pub fn create_pipeline(name: &str, query: &str, parallelism: usize, checkpoint_interval: Option<Duration>) -> Call {
    let mut body = json!({"name": name, "query": query, "parallelism": parallelism});
    if let Some(interval) = checkpoint_interval {
        let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
        // 0.14 and before call it by the second name; each version ignores the other's.
        body["checkpoint_interval_micros"] = micros.into();
        body["checkpointIntervalMicros"] = micros.into();
    }
    send(Method::POST, "pipelines", body)
}

/// The jobs of a pipeline, of which Arroyo makes one.
pub fn jobs(pipeline: &str) -> Call {
    get(format!("pipelines/{pipeline}/jobs"))
}

/// The errors of a job's tasks, newest first.
pub fn job_errors(pipeline: &str, job: &str) -> Call {
    get(format!("pipelines/{pipeline}/jobs/{job}/errors"))
}

/// How a pipeline stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It writes a checkpoint first.
    Checkpoint,
    /// At once.
    Immediate,
    /// It does not: one that has stopped starts again.
    None,
}

/// Stops a pipeline, or lets it go on.
pub fn stop(pipeline: &str, how: Stop) -> Call {
    let how = match how {
        Stop::Checkpoint => "checkpoint",
        Stop::Immediate => "immediate",
        Stop::None => "none",
    };
    send(Method::PATCH, format!("pipelines/{pipeline}"), json!({"stop": how}))
}

/// Starts a pipeline again that has failed.
pub fn restart(pipeline: &str) -> Call {
    send(
        Method::POST,
        format!("pipelines/{pipeline}/restart"),
        json!({"force": false}),
    )
}

/// Deletes a pipeline that is at rest.
pub fn delete_pipeline(pipeline: &str) -> Call {
    delete(format!("pipelines/{pipeline}"))
}
