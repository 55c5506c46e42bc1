//! `sightstream check`: all that can be told of a SQL file without running it.

mod model;
mod report;

use std::net::{SocketAddr, TcpListener};

use sightstream_connectors::probe::{Level, ProbeContext, probe_dead_letters};
use sightstream_sql::Finding;

use super::job;
use super::sql_file::SqlFile;
use crate::args::CheckArgs;
use crate::error::Outcome;

/// Checks the file that `args` name, and prints what it found.
pub async fn execute(mut args: CheckArgs) -> anyhow::Result<Outcome> {
    let SqlFile { plan, errors } = SqlFile::read(&args.file, &mut args.encoder, &mut args.job).await?;
    let mut findings: Vec<Finding> = errors.into_iter().map(Finding::from).collect();
    findings.extend(plan.remarks());
    let mut vectors = None;
    let records = job::records(&args.job, plan.streams());
    if let Some(line) = plan.first_embed() {
        let (about_model, space) = model::look(&args.encoder, records).await?;
        vectors = space;
        let around = [model::decoder(&args.encoder), model::fetching(&args.encoder)];
        let found = about_model.into_iter().chain(around);
        findings.extend(found.map(|(level, message)| plan.finding(level, line, message)));
    } else if let Some((level, message)) = model::memory_limit(&args.encoder, None, records) {
        findings.push(Finding::new(level, message));
    }
    let context = ProbeContext {
        timeout: args.timeout,
        offline: args.offline,
        vectors: None,
    };
    let target = args.job.dead_letters(&args.file);
    let (tables, letters) = tokio::join!(
        plan.probe(&context, vectors.as_ref()),
        probe_dead_letters(&target, &context)
    );
    findings.extend(tables);
    findings.extend(letters.iter().map(|fact| Finding::about("dead letters", fact)));
    findings.extend(args.metrics_address.map(address));
    // In the order of the file, and what has no place in it last.
    findings.sort_by_key(|finding| (finding.line.is_none(), finding.line));
    report::print(&args, &findings)?;
    Ok(match findings.iter().any(|finding| finding.level == Level::Error) {
        true => Outcome::SomeFailed,
        false => Outcome::Done,
    })
}

/// Whether metrics can be served at `address`. It is taken for a moment and given back.
fn address(address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::new(Level::Ok, format!("metrics: {address} is free")),
        Err(error) => Finding::new(
            Level::Error,
            format!("metrics: {address} cannot be listened on: {error}; choose another --metrics-address"),
        ),
    }
}
