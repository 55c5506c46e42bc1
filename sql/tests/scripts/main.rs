//! Scripts over files, run as the command runs them, with an embedder that counts its calls.

mod embed;
mod engine;
mod support;
mod tombstones;
