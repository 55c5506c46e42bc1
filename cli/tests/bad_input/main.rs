//! Bad input among good rows: each kind ends where it should, with a true reason, and every good row arrives.

#[path = "../common/mod.rs"]
mod common;
mod films;
mod images;
mod kinds;
mod media;
mod pipeline;
mod ready;
mod records;
mod web;
