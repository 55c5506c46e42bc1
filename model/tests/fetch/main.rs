//! Fetching: against servers on the loopback interface, and files.

mod animations;
mod cache;
mod guard;
mod http;
mod library;
mod local;
mod objects;
mod redirects;
mod retries;
mod server;
