//! `sightstream train` and `sightstream eval`.

#[path = "../common/mod.rs"]
mod common;

mod kit;

mod adapters;
mod demo;
mod evaluation;
mod mining;
mod refusals;
mod resume;
mod runs;
