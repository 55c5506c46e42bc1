//! What the one-machine engine makes of the same rows.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sightstream_arroyo_host::protocol::Row;

use crate::pipeline::examples;

/// The command.
pub fn sightstream() -> PathBuf {
    let path = std::env::var_os("SIGHTSTREAM_BINARY");
    PathBuf::from(path.expect("SIGHTSTREAM_BINARY names the sightstream command; ./test sets it"))
}

/// The values of `expression`, over the columns `url` and `instruction`, by the ids of `rows`. Those that fail are not
/// there.
pub fn values(folder: &Path, rows: &[Row], expression: &str, column_type: &str) -> BTreeMap<u64, Value> {
    let line = |row: &Row| {
        let argument = |n: usize| row.arguments.get(n).cloned().flatten();
        format!(
            "{}\n",
            json!({"id": row.id, "url": argument(0), "instruction": argument(1)})
        )
    };
    let script = format!(
        "CREATE TABLE asked (id BIGINT, url TEXT, instruction TEXT)
           WITH (connector = 'single_file', path = 'asked.jsonl', type = 'source', format = 'json');
         CREATE TABLE given (id BIGINT, value {column_type})
           WITH (connector = 'single_file', path = 'given.jsonl', type = 'sink', format = 'json');
         INSERT INTO given SELECT id, {expression} AS value FROM asked;"
    );
    let engine = tempfile::tempdir_in(folder).expect("a folder");
    let write =
        |name: &str, text: String| fs::write(engine.path().join(name), text).expect("the folder can be written");
    write("asked.jsonl", rows.iter().map(line).collect());
    write("job.sql", script);
    let mut command = Command::new(sightstream());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SIGHTSTREAM_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    let directories = format!("{}:{}", examples().display(), folder.display());
    let run = command
        .current_dir(engine.path())
        .args(["run", "job.sql", "--allow-directory", &directories]);
    let output = run.output().expect("SIGHTSTREAM_BINARY can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let given = fs::read_to_string(engine.path().join("given.jsonl")).expect("the engine has written");
    let mut values = BTreeMap::new();
    for line in given.lines() {
        let mut row: Value = serde_json::from_str(line).expect("it writes JSON");
        let id = row["id"].as_u64().expect("every row has its id");
        values.insert(id, row["value"].take());
    }
    values
}

/// The vectors of `rows`, as bytes; NULL for those without a url.
pub fn vectors(folder: &Path, rows: &[Row]) -> BTreeMap<u64, Option<Vec<u8>>> {
    let values = values(folder, rows, "vector_bytes(embed(url, instruction))", "BYTEA");
    let bytes = |value: Value| {
        value
            .as_str()
            .map(|text| STANDARD.decode(text).expect("BYTEA is base64"))
    };
    values.into_iter().map(|(id, value)| (id, bytes(value))).collect()
}
