//! Kafka, `embed` and Qdrant together, by running the command as a user would.

mod broker;
mod command;
mod crashes;
mod references;
mod ten_thousand;
mod tombstones;
mod two_steps;
