//! Files as sources and sinks.

mod kit;
mod sinks;
mod sources;
