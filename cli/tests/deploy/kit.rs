//! A file, a cluster, and the command between them.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::{self, code, stderr, stdout};
use crate::server::Arroyo;

/// A file in Arroyo's dialect that embeds.
pub const EMBED: &str =
    "CREATE TABLE media (id TEXT, url TEXT) WITH (connector = 'kafka', bootstrap_servers = '{{ BROKERS }}',
  topic = 'media', type = 'source', format = 'json', 'source.offset' = 'earliest');
CREATE TABLE vectors (id TEXT, vector BYTEA) WITH (connector = 'kafka', bootstrap_servers = '{{ BROKERS }}',
  topic = 'vectors', type = 'sink', format = 'json', 'auth.type' = 'sasl', 'auth.password' = '{{ KAFKA_PASSWORD }}');
INSERT INTO vectors SELECT id, embed(url, 'Represent the given image.') FROM media;
";

/// `deploy` in `folder` with `arguments` against `arroyo`. A job is believed at once.
pub fn deploy(arroyo: &Arroyo, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = common::sightstream(folder);
    command
        .arg("deploy")
        .args(arguments)
        .env("SIGHTSTREAM_ARROYO", &arroyo.address)
        .env("SIGHTSTREAM_DEPLOY_SETTLE", "0s")
        .env("BROKERS", "kafka:9092")
        .env("NO_PROXY", "127.0.0.1");
    command
}

/// A folder with `embed_media.sql`.
pub fn folder() -> tempfile::TempDir {
    let folder = common::folder();
    write(folder.path(), "embed_media.sql", EMBED);
    folder
}

pub fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file can be written");
}

/// Standard output of a command that did what it was asked.
#[track_caller]
pub fn done(command: Command) -> String {
    let output = common::output(command);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

/// A command that ended with `exit` and whose last words hold all of `parts`.
#[track_caller]
pub fn refused(command: Command, exit: i32, parts: &[&str]) -> Output {
    let output = common::output(command);
    let words = stderr(&output);
    assert_eq!(code(&output), exit, "{}{words}", stdout(&output));
    for part in parts {
        assert!(words.contains(part), "{part:?} is not in {words}");
    }
    output
}

/// The bodies of the calls `call`.
pub fn bodies(arroyo: &Arroyo, call: &str) -> Vec<Value> {
    let world = arroyo.world();
    let bodies = world.bodies.iter().filter(|(made, _)| made == call);
    bodies.map(|(_, body)| body.clone()).collect()
}

/// The calls that change something.
pub fn changes(arroyo: &Arroyo) -> Vec<String> {
    let world = arroyo.world();
    let asks = |call: &&String| !call.starts_with("GET") && !call.contains("validate");
    world.calls.iter().filter(asks).cloned().collect()
}
