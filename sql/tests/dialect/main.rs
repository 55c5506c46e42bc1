//! The dialect: files of cases, each a script with its records and the rows that Arroyo makes of them.
//!
//! A case begins with `==== ` and its name; then come comments, the script, and sections that begin with `---- `:
//!
//! - `---- input`: the records of the file `{{ INPUT }}`, a line each, or those of the topic `input` at `{{ KAFKA }}`:
//!   `KEY @MILLISECONDS VALUE`, where `-` stands for no key;
//! - `---- output`: the lines that the file `{{ OUTPUT }}`, or the records that the topic `output`, must hold afterwards,
//!   to the letter;
//! - `---- dead letters`: for each, in order, `OFFSET: ` and a part of the reason;
//! - `---- refused`: a part of the error that ends the script. A line is looked for after the other.
//!
//! What Arroyo does was read in its sources of August 2026 (crates/, and its forks of arrow-json 55.2 and sqlparser 0.55);
//! a case says where, unless its script tells. Cases headed `here:` show where this engine differs on purpose, and why.

mod case;
mod run;
#[allow(dead_code, reason = "the other tests of scripts use the rest")]
#[path = "../scripts/support.rs"]
mod support;

use case::Case;

macro_rules! files {
    ($($name:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            run::file(stringify!($name)).await;
        })*

        const FILES: &[&str] = &[$(stringify!($name)),*];
    };
}

files! {
    arithmetic bad_data bytes casts conditions embed json_sink keys metadata names nested nulls numbers only_arroyo options
    text timestamps types unnest views
}

#[test]
fn every_file_is_run() {
    let folder = std::fs::read_dir(case::folder()).expect("the folder is there");
    let paths = folder.map(|entry| entry.expect("it can be listed").path());
    let mut found: Vec<String> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    found.sort();
    assert_eq!(found, FILES);
    for file in FILES {
        let cases: Vec<Case> = case::read(file);
        assert!(!cases.is_empty(), "{file}.sql holds no case");
    }
}
