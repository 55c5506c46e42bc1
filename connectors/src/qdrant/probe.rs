//! What a Qdrant has where a table is to write. No collection and no alias is made.

use std::path::Path;

use super::backend::Backend;
use super::collection::{Description, Wanted};
use super::config::{ConnectionOptions, Location, SinkConfig};
use super::embedded::{self, Inspection};
use super::grpc::GrpcBackend;
use crate::probe::{Fact, ProbeContext, writable_directory};
use crate::{ConnectorError, TableDefinition};

const URL: &str = "url";
const COLLECTION: &str = "collection";

/// Looks whether the Qdrant of `table` answers, and whether its collection takes the vectors.
pub(crate) async fn probe(table: &TableDefinition, context: &ProbeContext) -> Result<Vec<Fact>, ConnectorError> {
    let (config, _) = SinkConfig::new(table)?;
    match &config.location {
        Location::Server { .. } if context.offline => Ok(Vec::new()),
        Location::Server { url } => server(url, &config, context).await,
        Location::Embedded { path } => folder(path, &config, context),
    }
}

async fn server(url: &str, config: &SinkConfig, context: &ProbeContext) -> Result<Vec<Fact>, ConnectorError> {
    let connection = ConnectionOptions {
        api_key: config.connection.api_key.clone(),
        timeout: config.connection.timeout.min(context.timeout),
        connect_timeout: config.connection.connect_timeout.min(context.timeout),
    };
    let backend = GrpcBackend::new(url, &connection, None, config.batch_points)?;
    let seen = tokio::time::timeout(context.timeout, look(&backend, config, context)).await;
    let away = |reason: String| {
        let message = format!(
            "Qdrant at {url} does not answer: {reason}; is the option 'url' right (the gRPC port is 6334), and the \
             server up?"
        );
        vec![Fact::error(message).at(URL)]
    };
    Ok(match seen {
        Ok(Ok(seen)) => {
            let answers = Fact::ok(format!("Qdrant at {url} answers")).at(URL);
            std::iter::once(answers).chain(judge(config, context, seen)).collect()
        }
        Ok(Err(ConnectorError::Unavailable { message, .. })) => away(message),
        Ok(Err(error)) => vec![Fact::error(error.to_string()).at(URL)],
        Err(_) => away(format!("nothing came within {:.1} s", context.timeout.as_secs_f64())),
    })
}

/// What stands behind the name in a table's options.
#[derive(Default)]
struct Seen {
    /// The collection that the name is an alias of.
    target: Option<String>,
    /// The collection behind the name.
    found: Option<Description>,
    /// The collection that the job would use, if there is none behind the name but this one.
    own: Option<Description>,
    /// Whether `points` of the collections were counted.
    counted: bool,
}

async fn look(backend: &dyn Backend, config: &SinkConfig, context: &ProbeContext) -> Result<Seen, ConnectorError> {
    let Some(alias) = &config.collection else {
        // Any question tells whether the server answers.
        backend.alias_target("").await?;
        return Ok(Seen::default());
    };
    let target = backend.alias_target(alias).await?;
    let found = backend.describe(target.as_deref().unwrap_or(alias)).await?;
    let own = match (&target, &found) {
        (None, None) => backend.describe(&wanted(config, context).own_name(alias)).await?,
        _ => None,
    };
    Ok(Seen {
        target,
        found,
        own,
        counted: true,
    })
}

fn folder(path: &Path, config: &SinkConfig, context: &ProbeContext) -> Result<Vec<Fact>, ConnectorError> {
    let mut facts = vec![writable_directory(path).at(URL)];
    let Some(Inspection {
        holder,
        aliases,
        mut collections,
    }) = embedded::inspect(path)?
    else {
        facts.extend(judge(config, context, Seen::default()));
        return Ok(facts);
    };
    if let Some(holder) = holder {
        let message = format!(
            "{holder} has {} open, and only one process at a time can; wait until it ends, or use a Qdrant server \
             (http://HOST:6334)",
            path.display()
        );
        facts.push(Fact::error(message).at(URL));
    }
    let mut describe = |name: &str| {
        collections.remove(name).map(|layout| Description {
            name: name.to_string(),
            layout,
            points: 0,
        })
    };
    let alias = config.collection.as_deref().unwrap_or_default();
    let target = aliases.get(alias).cloned();
    let seen = Seen {
        found: describe(target.as_deref().unwrap_or(alias)),
        own: describe(&wanted(config, context).own_name(alias)),
        target,
        counted: false,
    };
    facts.extend(judge(config, context, seen));
    Ok(facts)
}

fn wanted<'a>(config: &SinkConfig, context: &'a ProbeContext) -> Wanted<'a> {
    Wanted {
        space: context.vectors.as_ref(),
        distance: config.distance,
    }
}

/// What was seen, beside what the job wants.
fn judge(config: &SinkConfig, context: &ProbeContext, seen: Seen) -> Vec<Fact> {
    let Some(alias) = &config.collection else {
        return vec![Fact::ok("the rows name their collections")];
    };
    let wanted = wanted(config, context);
    let facts = match (seen.target, seen.found.or(seen.own)) {
        (Some(target), None) => vec![Fact::error(Wanted::dangling(alias, &target))],
        (_, Some(found)) => {
            let problems = wanted.problems(alias, &found);
            if problems.is_empty() {
                described(&wanted, alias, &found, seen.counted)
            } else {
                problems.into_iter().map(Fact::error).collect()
            }
        }
        (None, None) => vec![Fact::ok(match wanted.space {
            Some(space) => format!(
                "there is no collection yet; `{}` will be made for {} numbers by {}, with the alias `{alias}`",
                wanted.own_name(alias),
                space.dimension,
                wanted.distance_to_make()
            ),
            None => format!("there is no collection `{alias}` yet; the first row makes it"),
        })],
    };
    facts.into_iter().map(|fact| fact.at(COLLECTION)).collect()
}

fn described(wanted: &Wanted<'_>, alias: &str, found: &Description, counted: bool) -> Vec<Fact> {
    let vectors: Vec<String> = found
        .layout
        .vectors
        .iter()
        .map(|(name, params)| {
            let name = if name.is_empty() {
                String::new()
            } else {
                format!("`{name}`: ")
            };
            format!("{name}{} numbers by {}", params.size, params.distance)
        })
        .collect();
    let points = if counted {
        format!("{} points of ", found.points)
    } else {
        String::new()
    };
    let mut facts = vec![Fact::ok(format!(
        "the collection `{}` takes the vectors: {points}{}",
        found.name,
        vectors.join(", ")
    ))];
    if let Some(space) = wanted.space
        && wanted.model_is_unknown(alias, found)
    {
        facts.push(Fact::warning(format!(
            "the collection `{}` does not say which model filled it; if it was not `{}`, its vectors cannot be compared \
             with the new ones",
            found.name, space.model
        )));
    }
    facts
}
