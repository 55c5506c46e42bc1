//! The Qdrant sink and search, embedded and by gRPC.

mod collections;
mod embedded;
mod grpc;
mod rows;
mod search;
mod support;
