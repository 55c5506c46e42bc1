//! What Arroyo does with a UDF file, for tests and measurements: [`compiler`] builds it as the compiler service does, and a
//! [`worker`] process loads it and calls it as the operator of an asynchronous UDF does, through the [`dylib`]'s C
//! functions. The process is another one than the tests', so that each has the environment that it is started with, and
//! its threads, files and memory can be counted from outside.

pub mod compiler;
pub mod dylib;
pub mod metrics;
pub mod protocol;
pub mod worker;

use std::path::{Path, PathBuf};

/// The folder of the repository.
pub fn repository() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    folder.canonicalize().unwrap_or(folder)
}

/// Cargo's target folder that the running program was built in.
///
/// # Panics
/// For a program that lies in no target folder.
pub fn target_folder() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    let mut folders = program.ancestors();
    let marked = folders.find(|folder| folder.join("CACHEDIR.TAG").is_file());
    marked.expect("cargo marks its target folder").to_path_buf()
}
