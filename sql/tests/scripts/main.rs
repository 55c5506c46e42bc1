//! Scripts over files, run as the command runs them, with an embedder that counts its calls.

mod embed;
mod engine;
mod segments;
mod support;
mod tombstones;
