//! Scripts, and the options of tables: a text is planned, or refused with a line that it has and in a message that a
//! person can read. Options are taken, or refused for a table that is named.
#![no_main]

use std::cell::LazyCell;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use libfuzzer_sys::fuzz_target;
use sightstream_connectors::{ConnectorError, Role, TableDefinition, validate};
use sightstream_sql::{Plan, Script, SqlError};
use tokio::runtime::{Builder, Runtime};

/// An input that begins with this line holds the options of a table: `name = value` on each line.
const OPTIONS: &str = "--options\n";

/// Twice the text that is complained about and a page beside it, and a paragraph for each line: every wrong option is
/// answered with those that there are.
fn most_characters(text: &str) -> usize {
    4000 + 2 * text.len() + 1000 * text.lines().count()
}

thread_local! {
    static RUNTIME: LazyCell<Runtime> =
        LazyCell::new(|| Builder::new_current_thread().build().expect("a runtime needs nothing from the system"));
}

fuzz_target!(|text: &str| {
    match text.strip_prefix(OPTIONS) {
        Some(options) => check_options(options),
        None => check_script(text),
    }
});

fn check_script(text: &str) {
    let environment = |name: &str| (name == "HOST").then(|| "localhost".to_string());
    // As `sightstream check` does: what could be read of a script is planned, whatever is wrong with the rest.
    let (script, errors) = Script::read(text, "fuzz.sql", &environment);
    let (_, more) = RUNTIME.with(|runtime| runtime.block_on(Plan::read(script)));
    errors.iter().chain(&more).for_each(|error| check_error(text, error));
}

fn check_error(text: &str, error: &SqlError) {
    if let Some(line) = error.line {
        let lines = text.matches('\n').count() as u64 + 1;
        assert!((1..=lines).contains(&line), "line {line} of {lines}: {error}");
    }
    assert!(
        error.line.is_some() || error.column.is_none(),
        "a column of no line: {error}"
    );
    assert_ne!(error.column, Some(0), "columns count from 1: {error}");
    let length = error.to_string().len();
    assert!(length <= most_characters(text), "{length} bytes: {error}");
}

fn check_options(text: &str) {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let options = pairs.map(|(name, value)| (name.trim().to_string(), value.trim().to_string()));
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let table = TableDefinition {
        name: "fuzzed".to_string(),
        schema: Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, true),
            Field::new("url", DataType::Utf8, true),
            Field::new("vector", DataType::List(item), true),
        ])),
        metadata_columns: Vec::new(),
        options: options.collect(),
    };
    for role in [Role::Source, Role::Sink] {
        if let Err(error) = validate(&table, role) {
            assert!(
                matches!(&error, ConnectorError::Option { table, .. } if table == "fuzzed"),
                "checking options touches nothing else: {error}"
            );
            assert!(error.to_string().len() <= most_characters(text), "{error}");
        }
    }
}
