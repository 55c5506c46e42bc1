//! What files are there to read from, and whether there is a place to write to.

use std::fs::File;

use super::{SinkConfig, SourceContext, sink, source};
use crate::probe::{Fact, writable_directory, writable_file};
use crate::{ConnectorError, TableDefinition};

/// The option that all of it is about.
const PATH: &str = "path";

/// How many files of a directory are opened to see whether they can be read.
const OPENED: usize = 100;

/// Whether the files are there and can be read.
pub(crate) fn probe_source(table: &TableDefinition) -> Result<Vec<Fact>, ConnectorError> {
    let config = source(table, &SourceContext::for_validation())?;
    let shown = config.path.display();
    let files = match source::find(&config) {
        Ok(files) => files,
        Err(ConnectorError::Io { path, source }) => {
            let message = format!("{path} cannot be read: {source}; mend the option 'path'");
            return Ok(vec![Fact::error(message).at(PATH)]);
        }
        Err(error) => return Ok(vec![Fact::error(error.to_string()).at(PATH)]),
    };
    if files.is_empty() {
        let endings = config.format.extensions().join(", .");
        let message = format!("there is no file that ends in .{endings} below {shown}: nothing will be read");
        return Ok(vec![Fact::warning(message).at(PATH)]);
    }
    let unreadable = files.iter().take(OPENED).filter_map(|path| {
        let error = File::open(path).err()?;
        Some(Fact::error(format!("{} cannot be read: {error}", path.display())).at(PATH))
    });
    let mut facts: Vec<Fact> = unreadable.collect();
    if facts.is_empty() {
        let count = match files.len() {
            1 => "1 file".to_string(),
            count => format!("{count} files"),
        };
        facts.push(Fact::ok(format!("{shown} can be read: {count}")).at(PATH));
    }
    Ok(facts)
}

/// Whether there is a place to write to.
pub(crate) fn probe_sink(table: &TableDefinition) -> Result<Vec<Fact>, ConnectorError> {
    let fact = match sink(table)? {
        SinkConfig::Lines { path, .. } => writable_file(&path),
        SinkConfig::Parts { directory, .. } => writable_directory(&directory),
    };
    Ok(vec![fact.at(PATH)])
}
