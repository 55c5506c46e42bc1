//! `sightstream check`.

#[path = "../common/mod.rs"]
mod common;

mod systems;
mod wrong_files;
