//! A topic as a source, on librdkafka's broker in this process.

mod groups;
mod kit;
mod options;
mod reading;
#[path = "../support/mod.rs"]
mod support;
mod waiting;
