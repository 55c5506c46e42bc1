//! `sightstream train` and `sightstream eval`.

#[path = "../common/mod.rs"]
mod common;
mod demo;

mod kit;

mod adapters;
mod evaluation;
mod mining;
mod refusals;
mod resume;
mod runs;
