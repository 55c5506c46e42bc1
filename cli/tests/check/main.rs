//! `sightstream check`.

#[path = "../common/mod.rs"]
mod common;

mod pipelines;
mod systems;
mod wrong_files;
