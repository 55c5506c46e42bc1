//! The embedding service, seen from its callers, its encoder and its media.

mod batching;
mod failures;
mod fakes;
mod idle;
mod parts;
mod sharing;
mod shutdown;
