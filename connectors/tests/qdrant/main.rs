//! The Qdrant sink and search, embedded and by gRPC.

mod collections;
mod deletions;
mod embedded;
mod grpc;
mod rows;
mod search;
mod support;
