//! The plugin, seen from where Arroyo stands: its UDF files compiled, loaded and called in a process that has what the
//! environment of a worker has. Nothing here knows its code.
//!
//! `SIGHTSTREAM_BINARY` names the `sightstream` command, whose one-machine engine says what vectors are to come out.

mod batches;
mod dead_letters;
mod engine;
mod failures;
mod five_thousand;
mod lifetime;
mod memory;
mod pipeline;
mod rows;
mod segments;
mod signatures;
