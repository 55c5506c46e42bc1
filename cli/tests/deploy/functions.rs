//! The functions that a file calls: registered once, and again when they have changed.

use crate::kit::{bodies, changes, deploy, done, folder, refused, write};
use crate::server::Arroyo;
use crate::shapes::Version;

/// What the file needs where there is a pipeline for each test of a function.
const CALLS: &str = "SELECT embed(url, 'x') FROM media";

#[test]
fn a_function_is_built_again_only_if_it_has_changed() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    write(folder.path(), "f.sql", CALLS);
    done(deploy(&arroyo, folder.path(), &["f.sql", "--name", "one"]));
    let told = done(deploy(&arroyo, folder.path(), &["f.sql", "--name", "two"]));
    assert!(told.contains("function    embed: unchanged"), "{told}");
    assert_eq!(bodies(&arroyo, "POST /udfs").len(), 1);
    // The planner knows it then, and gets none.
    let validated = bodies(&arroyo, "POST /pipelines/validate_query");
    let counts: Vec<_> = validated
        .iter()
        .map(|body| body["udfs"].as_array().map(Vec::len))
        .collect();
    assert_eq!(counts, [Some(1), Some(0)]);
    // Other sources make another function, which takes the old one's place once it is built.
    let old = arroyo.world().udfs[0].id.clone();
    let other = [
        "f.sql",
        "--name",
        "three",
        "--udf-git",
        "https://git.example.org/s",
        "--udf-rev",
        "v2",
    ];
    let told = done(deploy(&arroyo, folder.path(), &other));
    assert!(told.contains("function    embed: registered"), "{told}");
    let made = changes(&arroyo);
    assert_eq!(
        made[made.len() - 4..],
        [
            "POST /udfs".to_string(),
            format!("DELETE /udfs/{old}"),
            "POST /udfs".to_string(),
            "POST /pipelines".to_string()
        ]
    );
    let world = arroyo.world();
    let definition = &world.udf("embed").expect("it is registered").definition;
    let dependency = r#"sightstream-arroyo = { git = "https://git.example.org/s", rev = "v2" }"#;
    assert!(definition.contains(dependency), "{definition}");
    assert_eq!(world.udfs.len(), 1);
}

#[test]
fn a_function_can_be_built_again_on_demand_and_is_the_same_then() {
    let (arroyo, folder) = (Arroyo::start(Version::V16), folder());
    write(folder.path(), "f.sql", CALLS);
    done(deploy(&arroyo, folder.path(), &["f.sql", "--name", "one"]));
    let first = arroyo.world().udfs[0].clone();
    done(deploy(&arroyo, folder.path(), &["f.sql", "--name", "two", "--rebuild"]));
    let second = arroyo.world().udfs[0].clone();
    assert_ne!(
        first.definition, second.definition,
        "Arroyo builds the same text only once"
    );
    let told = done(deploy(&arroyo, folder.path(), &["f.sql", "--name", "three"]));
    assert!(told.contains("embed: unchanged"), "{told}");
    assert_eq!(arroyo.world().udfs[0].id, second.id);
}

#[test]
fn a_function_that_was_never_built_is_registered_again() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    write(folder.path(), "f.sql", CALLS);
    done(deploy(&arroyo, folder.path(), &["f.sql", "--name", "one"]));
    arroyo.world().udfs[0].dylib_url = None;
    done(deploy(&arroyo, folder.path(), &["f.sql", "--name", "two"]));
    assert!(arroyo.world().udfs[0].dylib_url.is_some());
}

#[test]
fn errors_of_the_compiler_are_shown_as_it_gave_them_and_the_old_function_stays() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    write(folder.path(), "f.sql", CALLS);
    done(deploy(&arroyo, folder.path(), &["f.sql", "--name", "one"]));
    let old = arroyo.world().udfs[0].id.clone();
    arroyo.world().compiler_errors = vec![
        "    Updating crates.io index".to_string(),
        r#"error[E0425]: cannot find value `x` in \"this\" scope\n --> src/lib.rs:9:5\n"#.to_string(),
    ];
    let parts = [
        "Arroyo cannot build the function embed",
        "Updating crates.io index",
        "cannot find value `x` in \"this\" scope\n --> src/lib.rs:9:5",
    ];
    refused(
        deploy(
            &arroyo,
            folder.path(),
            &["f.sql", "--name", "two", "--udf-path", "/elsewhere"],
        ),
        1,
        &parts,
    );
    let world = arroyo.world();
    assert_eq!((world.udfs.len(), &world.udfs[0].id), (1, &old));
    assert_eq!(world.pipelines.len(), 1, "no pipeline without its function");
}

#[test]
fn a_build_that_ends_without_a_reason_is_told_with_what_helps() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    arroyo.world().linker_fails = true;
    refused(
        deploy(&arroyo, folder.path(), &["embed_media.sql"]),
        1,
        &["linking failed", "compiler service"],
    );
    arroyo.world().linker_fails = false;
    let no_home =
        r#"{"error":"Failed to validate UDF: Writing UDFs failed: Environment variable SIGHTSTREAM_HOME not found"}"#;
    arroyo
        .world()
        .answers
        .push_back(("POST /udfs", 500, no_home.to_string()));
    let parts = [
        "SIGHTSTREAM_HOME not found",
        "set SIGHTSTREAM_HOME where Arroyo's compiler service runs",
        "--udf-git",
    ];
    refused(deploy(&arroyo, folder.path(), &["embed_media.sql"]), 1, &parts);
    let away = r#"{"error":"compiler-service not available"}"#;
    arroyo.world().answers.push_back(("POST /udfs", 503, away.to_string()));
    let parts = [
        "the function embed cannot be registered",
        "compiler-service not available",
    ];
    refused(deploy(&arroyo, folder.path(), &["embed_media.sql"]), 1, &parts);
    assert!(arroyo.world().pipelines.is_empty());
}

#[test]
fn a_function_of_somebody_else_is_left_alone() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    done(deploy(&arroyo, folder.path(), &["embed_media.sql"]));
    arroyo.world().udfs[0].definition = "#[udf] fn embed(x: i64) -> i64 { x }".to_string();
    let parts = ["a function embed that is not Sightstream's", "delete it in Arroyo"];
    refused(
        deploy(&arroyo, folder.path(), &["embed_media.sql", "--name", "two"]),
        1,
        &parts,
    );
    assert!(changes(&arroyo).iter().all(|call| !call.starts_with("DELETE")));
}

#[test]
fn a_pipeline_older_than_its_function_is_not_unchanged() {
    let (arroyo, folder) = (Arroyo::start(Version::V16), folder());
    write(folder.path(), "f.sql", CALLS);
    write(folder.path(), "g.sql", CALLS);
    done(deploy(&arroyo, folder.path(), &["f.sql"]));
    // Another file brings a newer function, with which this one's pipeline was not started.
    let newer = ["--udf-git", "https://git.example.org/s", "--udf-rev", "v2"];
    done(deploy(&arroyo, folder.path(), &[&["g.sql"], newer.as_slice()].concat()));
    refused(
        deploy(&arroyo, folder.path(), &[&["f.sql"], newer.as_slice()].concat()),
        1,
        &["there is a pipeline f: pl_", "--replace"],
    );
    let told = done(deploy(
        &arroyo,
        folder.path(),
        &[&["f.sql", "--replace"], newer.as_slice()].concat(),
    ));
    assert!(
        told.contains("embed: unchanged") && told.contains("f: created as pl_"),
        "{told}"
    );
    // Somebody has ended the command between the function and the pipeline.
    let old = arroyo.world().pipelines[0].id.clone();
    let (_, now) = arroyo.world().next_id("udf");
    arroyo.world().udfs[0].created_at = now;
    let told = done(deploy(
        &arroyo,
        folder.path(),
        &[&["g.sql", "--replace"], newer.as_slice()].concat(),
    ));
    assert!(told.contains(&format!("the old one is deleted, {old}")), "{told}");
    let told = done(deploy(&arroyo, folder.path(), &[&["g.sql"], newer.as_slice()].concat()));
    assert!(told.contains("pipeline    g: unchanged"), "{told}");
}
