//! Batches: what is in them, that they do not depend on who prepared them, and what becomes of bad rows.

mod batches;
mod kit;
mod limits;
mod media;
