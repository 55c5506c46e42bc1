//! `sightstream dead-letters replay`.

use std::fmt::Write;
use std::sync::Arc;

use sightstream_connectors::dead_letter::{
    DeadLetterTarget, KeptLetters, ReplayDestination, ReplayOptions, ReplayReport, replay,
};

use super::{Named, is_missing, named};
use crate::args::ReplayArgs;
use crate::error::{Outcome, UsageError};
use crate::logging;
use crate::progress::{self, grouped};

/// Sends the letters that `args` choose.
pub async fn execute(args: ReplayArgs) -> anyhow::Result<Outcome> {
    let named = named(&args.letters)?;
    let destination = destination(&args, &named)?;
    if is_missing(&named.target) {
        progress::tell(format_args!("no dead letters: there is no file {}", named.target));
        return Ok(Outcome::Done);
    }
    let kept = if args.dry_run {
        KeptLetters::open(&named.target, &args.letters.group).await?
    } else {
        KeptLetters::open_to_replay(&named.target, &args.letters.group).await?
    };
    let options = ReplayOptions {
        selection: args.choice.selection(),
        limit: args.choice.limit.map(|limit| limit as u64),
        max_replays: u32::try_from(args.max_replays).unwrap_or(u32::MAX),
        dry_run: args.dry_run,
        destination,
    };
    let bar = progress::bar("sending", None);
    let result = replay(&Arc::new(kept), &options, |sent| bar.set_position(sent)).await;
    bar.finish_and_clear();
    let report = result?;
    if logging::is_json() {
        let (sent, left, others) = (&report.sent, &report.left, report.others);
        tracing::info!(
            ?sent,
            ?left,
            others,
            dry_run = args.dry_run,
            "dead letters were sent back"
        );
    } else {
        progress::tell(told(&report, args.dry_run));
    }
    Ok(if report.left.is_empty() {
        Outcome::Done
    } else {
        Outcome::SomeFailed
    })
}

fn destination(args: &ReplayArgs, named: &Named) -> anyhow::Result<ReplayDestination> {
    if let Some(to) = &args.to {
        let parsed = ReplayDestination::parse(to);
        return Ok(parsed.map_err(|reason| UsageError(format!("--to: {reason}")))?);
    }
    match (&named.tables, &named.target) {
        (Some(tables), _) => Ok(ReplayDestination::Tables(tables.clone())),
        (None, DeadLetterTarget::Topic(connection)) => {
            let mut cluster = connection.clone();
            cluster.topic.clear();
            Ok(ReplayDestination::Cluster(cluster))
        }
        (None, _) => Err(UsageError(
            "a file of dead letters does not say in which cluster their topics are; add --to kafka://HOST:PORT, or --job \
             FILE.sql"
                .to_string(),
        )
        .into()),
    }
}

/// The report, for people.
fn told(report: &ReplayReport, dry_run: bool) -> String {
    let total: u64 = report.sent.values().sum();
    let label = if dry_run { "would be sent" } else { "sent back" };
    let mut told = format!("{label:<16}{:>12}", grouped(total));
    for (place, count) in &report.sent {
        let _ = write!(told, "\n    {:>12}  to {place}", grouped(*count));
    }
    let left: u64 = report.left.values().sum();
    let _ = write!(told, "\n{:<16}{:>12}", "not sent", grouped(left));
    for (reason, count) in &report.left {
        let _ = write!(told, "\n    {:>12}  {reason}", grouped(*count));
    }
    if report.others > 0 {
        let _ = write!(told, "\n{:<16}{:>12}", "not chosen", grouped(report.others));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_tells_every_destination_and_every_reason() {
        let report = ReplayReport {
            sent: [("media".to_string(), 1200)].into(),
            left: [("the failure belongs to no single record".to_string(), 2)].into(),
            others: 7,
        };
        let expected = "\
sent back              1,200
           1,200  to media
not sent                   2
               2  the failure belongs to no single record
not chosen                 7";
        assert_eq!(told(&report, false), expected);
    }
}
