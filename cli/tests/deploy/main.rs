//! `sightstream deploy`, against a server with the shapes of Arroyo's API.

#[path = "../common/mod.rs"]
mod common;

mod cluster;
mod deployments;
mod errors;
mod functions;
mod kit;
mod server;
mod shapes;
mod world;
