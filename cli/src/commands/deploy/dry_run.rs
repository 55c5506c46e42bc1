//! `--dry-run`: the calls, as text.

use std::io::Write;

use sightstream_sql::arroyo::ArroyoScript;

use super::api::{Arroyo, Call};
use super::calls;
use super::functions::Function;
use crate::args::DeployArgs;
use crate::error::Outcome;

/// What stands in a path for an id that Arroyo would give.
const ID: &str = "{id}";

/// Prints the calls that would deploy `script`, in their order, and when those are made that depend on what Arroyo answers.
pub fn print(
    arroyo: &Arroyo,
    script: &ArroyoScript,
    name: &str,
    functions: &[Function],
    args: &DeployArgs,
) -> anyhow::Result<Outcome> {
    let definitions: Vec<&str> = functions.iter().map(|function| function.definition.as_str()).collect();
    let mut steps: Vec<(String, Call)> = vec![
        ("which functions Arroyo has".to_string(), calls::udfs()),
        (format!("whether it has a pipeline {name}"), calls::pipelines(None)),
        (
            "whether Arroyo can run the query, with the functions that it has not, or not as they are here".to_string(),
            calls::validate_query(&script.text, &definitions),
        ),
    ];
    for function in functions {
        let note = format!(
            "if Arroyo has no such function {}; an older one is deleted once this one is built, DELETE /api/v1/udfs/{ID}",
            function.name
        );
        steps.push((note, calls::create_udf(&function.definition)));
    }
    if args.replace {
        let note = format!("for each pipeline {name} that runs, and then until it has stopped");
        steps.push((note, calls::stop(ID, calls::Stop::Checkpoint)));
    }
    steps.push((
        "the pipeline".to_string(),
        calls::create_pipeline(name, &script.text, args.parallelism, args.checkpoint_interval),
    ));
    steps.push(("until its job runs".to_string(), calls::jobs(ID)));
    if args.replace {
        steps.push((format!("for each old pipeline {name}"), calls::delete_pipeline(ID)));
    }
    let mut out = std::io::stdout().lock();
    for warning in &script.warnings {
        writeln!(out, "# {warning}: Arroyo may take it\n")?;
    }
    for (note, Call { method, path, body }) in steps {
        writeln!(out, "# {note}")?;
        writeln!(out, "{method} {}", arroyo.address(&format!("/api/v1/{path}")))?;
        if let Some(body) = body {
            writeln!(out, "{}", serde_json::to_string_pretty(&body)?)?;
        }
        writeln!(out)?;
    }
    Ok(Outcome::Done)
}
