//! Nothing lost, nothing twice, while everything around the job fails and the job itself is killed.
//!
//! This test brings its own `main`, because the executable has a second role: it is the Qdrant server that gets killed.
//! `scripts/fault-run` runs it for longer.

mod broker;
mod checks;
#[path = "../end_to_end/command.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod command;
mod feed;
mod job;
mod media;
mod process;
mod proxy;
mod qdrant;
#[path = "../end_to_end/references.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod references;
mod rows;
mod run;
mod schedule;
mod settings;
mod story;
#[path = "../end_to_end/broker.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod topics;
mod watch;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(folder) = qdrant::folder_to_serve() {
        return qdrant::serve(&folder);
    }
    let arguments = Arguments::from_args();
    let test = Trial::test("every_row_ends_where_it_should_through_outages_and_kills", || {
        run::run(&settings::Settings::from_environment());
        Ok(())
    });
    libtest_mimic::run(&arguments, vec![test]).exit_code()
}
