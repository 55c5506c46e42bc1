//! The connectors by name: from a `CREATE TABLE … WITH (connector = '…')` to a source or a sink.

use std::sync::Arc;

use crate::options::nearest;
use crate::{ConnectorError, EpochLimits, Sink, Source, TableDefinition, VectorSpace, Waits};
use crate::{files, kafka, qdrant, stdout};

/// The connectors, as written in the option `connector`.
pub const CONNECTORS: [&str; 5] = ["kafka", "qdrant", "single_file", "filesystem", "stdout"];

/// The option that names the connector.
const CONNECTOR: &str = "connector";

/// What a statement does with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads from it.
    Source,
    /// Writes to it.
    Sink,
}

/// What a source needs to know beyond its table's options.
#[derive(Debug, Clone)]
pub struct SourceContext {
    /// How large an epoch may grow.
    pub limits: EpochLimits,
    /// Whether the source ends when everything that was in it at the start is handed over and committed. Files end
    /// either way.
    pub until_caught_up: bool,
    /// A name for this process, shown by the broker among the members of a consumer group.
    pub member: String,
    /// What the job waits for.
    pub waits: Waits,
}

impl SourceContext {
    /// What decides nothing about whether a table's options are right.
    pub(crate) fn for_validation() -> Self {
        Self {
            limits: EpochLimits::default(),
            until_caught_up: false,
            member: String::new(),
            waits: Waits::default(),
        }
    }
}

/// What a sink needs to know beyond its table's options.
#[derive(Debug, Clone, Default)]
pub struct SinkContext {
    /// The space of the vectors that will be written, where the job computes any.
    pub vectors: Option<VectorSpace>,
    /// What the job waits for.
    pub waits: Waits,
}

/// Checks the options of `table` without connecting to anything or touching a file.
///
/// # Errors
/// [`ConnectorError::Option`], which names the option and what to write instead.
pub fn validate(table: &TableDefinition, role: Role) -> Result<(), ConnectorError> {
    match (table.connector().as_str(), role) {
        ("kafka", Role::Source) => kafka::validate_source(table),
        ("kafka", Role::Sink) => kafka::validate_sink(table),
        ("single_file" | "filesystem", Role::Source) => files::validate_source(table),
        ("single_file" | "filesystem", Role::Sink) => files::validate_sink(table),
        ("stdout", Role::Sink) => stdout::validate(table),
        ("qdrant", Role::Sink) => qdrant::validate(table),
        _ => Err(unsupported(table, role)),
    }
}

/// Opens `table` to read from it.
///
/// # Errors
/// [`ConnectorError::Option`] for options that cannot be used, [`ConnectorError::Refused`] where the system behind has
/// no such topic or denies access. A system that is away is waited for.
pub async fn open_source(table: &TableDefinition, context: &SourceContext) -> Result<Arc<dyn Source>, ConnectorError> {
    match table.connector().as_str() {
        "kafka" => kafka::open_source(table, context).await,
        "single_file" | "filesystem" => files::open_source(table, context),
        _ => Err(unsupported(table, Role::Source)),
    }
}

/// Opens `table` to write to it.
///
/// # Errors
/// As [`open_source`].
pub async fn open_sink(table: &TableDefinition, context: &SinkContext) -> Result<Arc<dyn Sink>, ConnectorError> {
    match table.connector().as_str() {
        "kafka" => kafka::open_sink(table, context).await,
        "single_file" | "filesystem" => files::open_sink(table, context),
        "stdout" => stdout::open_sink(table),
        "qdrant" => qdrant::open_sink(table, context).await,
        _ => Err(unsupported(table, Role::Sink)),
    }
}

/// Whether the source `table` hands over tombstones, which delete.
pub fn deletes(table: &TableDefinition) -> bool {
    table.connector() == "kafka"
        && table
            .options
            .get(kafka::TOMBSTONES)
            .is_some_and(|value| value == "delete")
}

/// What a sink needs to delete rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleting {
    /// The index of the column whose value is the key that a tombstone names.
    pub key: usize,
}

/// How rows of the sink `table` are deleted.
///
/// # Errors
/// [`ConnectorError::Option`] where they cannot be.
pub fn deleting(table: &TableDefinition) -> Result<Deleting, ConnectorError> {
    let key = match table.connector().as_str() {
        "kafka" => kafka::deletion_key(table)?,
        "qdrant" => qdrant::deletion_key(table)?,
        other => {
            return Err(table.options().error(format!(
                "tombstones are to delete rows, and a '{other}' table cannot delete any; write to it from a source with \
                 '{}' = 'ignore'",
                kafka::TOMBSTONES
            )));
        }
    };
    Ok(Deleting { key })
}

fn unsupported(table: &TableDefinition, role: Role) -> ConnectorError {
    let options = table.options();
    match (table.connector().as_str(), role) {
        ("", _) => options.missing(
            CONNECTOR,
            format!("the option 'connector' is missing; the connectors are {}", list()),
        ),
        ("qdrant" | "stdout", Role::Source) => options.error_at(
            CONNECTOR,
            format!(
                "'{}' can be written to and not read from; sources are kafka, single_file and filesystem",
                table.connector()
            ),
        ),
        (other, _) => {
            let meant = nearest(other, CONNECTORS).map(|meant| format!("did you mean '{meant}'? "));
            options.error_at(
                CONNECTOR,
                format!(
                    "unknown connector '{other}'; {}the connectors are {}",
                    meant.unwrap_or_default(),
                    list()
                ),
            )
        }
    }
}

fn list() -> String {
    CONNECTORS.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;

    fn table(connector: &str) -> TableDefinition {
        TableDefinition {
            name: "media".into(),
            schema: Arc::new(Schema::empty()),
            metadata_columns: Vec::new(),
            options: [("connector".to_string(), connector.to_string())].into(),
        }
    }

    #[test]
    fn an_unknown_connector_is_answered_with_the_known_ones() {
        let error = validate(&table("kinesis"), Role::Source)
            .expect_err("there is no such connector")
            .to_string();
        assert!(error.contains("'kinesis'") && error.contains("single_file"), "{error}");
    }

    #[test]
    fn a_sink_only_connector_cannot_be_read() {
        let error = validate(&table("stdout"), Role::Source)
            .expect_err("stdout is no source")
            .to_string();
        assert!(error.contains("not read from"), "{error}");
    }
}
