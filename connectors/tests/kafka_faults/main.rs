//! Kafka away, changing, or refusing, on librdkafka's brokers in this process.

mod kit;
mod members;
mod sinks;
mod sources;
#[path = "../support/mod.rs"]
mod support;
mod topics;
