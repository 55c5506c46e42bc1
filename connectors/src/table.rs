//! What a `CREATE TABLE … WITH (…)` says.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;

use crate::Options;

/// A table as declared: its columns and where its rows come from or go to.
#[derive(Debug, Clone)]
pub struct TableDefinition {
    /// The table's name.
    pub name: String,
    /// The declared columns, metadata columns among them, in order.
    pub schema: SchemaRef,
    /// Columns that are filled from a record's metadata instead of its value (`METADATA FROM 'offset_id'`).
    pub metadata_columns: Vec<MetadataColumn>,
    /// The options of `WITH (…)`, `{{ ENV }}` already replaced.
    pub options: BTreeMap<String, String>,
}

/// A column filled from a record's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataColumn {
    /// The column's name.
    pub column: String,
    /// The metadata's name, as in Arroyo: `offset_id`, `partition`, `topic`, `timestamp`, `key`.
    pub key: String,
}

impl TableDefinition {
    /// The table's options, to be taken one by one.
    pub fn options(&self) -> Options {
        Options::new(&self.name, self.options.clone())
    }

    /// The `connector` option, in lower case; empty if there is none.
    pub fn connector(&self) -> String {
        self.options
            .get("connector")
            .map(|name| name.to_lowercase())
            .unwrap_or_default()
    }
}
