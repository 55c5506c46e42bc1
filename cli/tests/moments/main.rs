//! Videos and documents through the command: a row for each window and page, and one for each medium.

#[path = "../common/mod.rs"]
mod common;

mod index;
mod kit;
mod quickstart;
mod two_hours;
