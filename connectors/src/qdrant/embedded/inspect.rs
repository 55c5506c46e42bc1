//! What is in a store, without opening it: no lock is kept, nothing is mended or made.

use std::collections::BTreeMap;
use std::path::Path;

use super::files::{self, Aliases};
use super::lock;
use crate::ConnectorError;
use crate::qdrant::collection::Layout;

/// What a store holds.
pub(crate) struct Inspection {
    /// The process that has it open.
    pub holder: Option<String>,
    /// The aliases with the collections they lead to.
    pub aliases: Aliases,
    /// The collections that were finished.
    pub collections: BTreeMap<String, Layout>,
}

/// What is in the store `path`; `None` if there is none.
///
/// # Errors
/// [`ConnectorError::Io`] if its files cannot be read.
pub(crate) fn inspect(path: &Path) -> Result<Option<Inspection>, ConnectorError> {
    if !files::is_store(path) {
        return Ok(None);
    }
    Ok(Some(Inspection {
        holder: lock::holder(path)?,
        aliases: files::read_aliases(path)?,
        collections: files::finished_collections(path)?,
    }))
}
