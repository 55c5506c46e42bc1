//! Fetching: against servers on the loopback interface, and files.

mod guard;
mod http;
mod local;
mod objects;
mod redirects;
mod retries;
mod server;
