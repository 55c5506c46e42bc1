//! Rows of the public files' shapes, and of our own, become pairs.

mod files;
mod kit;
mod pairs;
mod public;
