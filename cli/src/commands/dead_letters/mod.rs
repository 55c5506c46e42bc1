//! `sightstream dead-letters`: looking at dead letters, and sending them back.

mod list;
mod replay;

use std::collections::BTreeMap;

use anyhow::Context;
use sightstream_connectors::dead_letter::DeadLetterTarget;
use sightstream_connectors::kafka::{Connection, source_connection};
use sightstream_sql::Script;

use crate::args::{DeadLettersAction, DeadLettersArgs, EncoderArgs, JobArgs, LettersArgs, Settings};
use crate::error::{Outcome, UsageError};

/// Does what `args` ask for.
pub async fn execute(args: DeadLettersArgs) -> anyhow::Result<Outcome> {
    match args.action {
        DeadLettersAction::List(args) => list::execute(args).await,
        DeadLettersAction::Replay(args) => replay::execute(args).await,
    }
}

/// The dead letters that are meant, and, for a job, the topics that its tables read.
struct Named {
    target: DeadLetterTarget,
    tables: Option<BTreeMap<String, Connection>>,
}

fn named(args: &LettersArgs) -> anyhow::Result<Named> {
    let (target, tables) = match &args.job {
        Some(file) => {
            let name = file.display().to_string();
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the SQL file {name}"))?;
            let script = Script::parse(&text, &name).map_err(|error| UsageError(error.to_string()))?;
            let mut job = JobArgs {
                dead_letters: args.target.clone(),
                state_dir: args.state_dir.clone(),
                ..JobArgs::default()
            };
            let mut settings = Settings::of(&script);
            EncoderArgs::default().fill(&mut settings);
            job.fill(&mut settings);
            if let Some(error) = settings.finish().first() {
                return Err(UsageError(error.to_string()).into());
            }
            let mut tables = BTreeMap::new();
            for table in script.tables() {
                let source = source_connection(table).map_err(|error| UsageError(format!("{name}: {error}")))?;
                tables.extend(source.map(|source| (table.name.clone(), source)));
            }
            (Some(job.dead_letters(file)), Some(tables))
        }
        None => (args.target.clone(), None),
    };
    match target {
        Some(DeadLetterTarget::None) => {
            Err(UsageError("there are no dead letters to look at: they go to 'none'".to_string()).into())
        }
        Some(target) => Ok(Named { target, tables }),
        None => Err(UsageError(
            "name the dead letters: a file, kafka://HOST:PORT/TOPIC, or --job FILE.sql for those of a job".to_string(),
        )
        .into()),
    }
}

/// Whether there is nothing to read, because no row has failed yet.
fn is_missing(target: &DeadLetterTarget) -> bool {
    matches!(target, DeadLetterTarget::File(path) if !path.exists())
}
