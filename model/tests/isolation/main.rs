//! Decoding in worker processes. This executable is the tests, and, started with `decode-worker` and a name, a worker that
//! does what its name says (see `faulty`).

mod faults;
mod faulty;
mod files;
mod processes;
mod service;
mod support;
mod videos;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, support::WORKER, kind] => faulty::run(kind),
        [_, support::LEFT_ALONE] => processes::hold_a_worker(),
        _ => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
    }
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, test) in faults::TESTS
        .iter()
        .chain(files::TESTS)
        .chain(processes::TESTS)
        .chain(service::TESTS)
        .chain(videos::TESTS)
    {
        trials.push(Trial::test(*name, move || -> Result<(), Failed> {
            test();
            Ok(())
        }));
    }
    trials
}
