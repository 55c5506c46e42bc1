//! Pipelines that are stopped and started.

use serde_json::json;

use crate::kit::{bodies, changes, deploy, done, folder, refused};
use crate::server::Arroyo;
use crate::shapes::Version;

#[test]
fn a_pipeline_stops_with_a_checkpoint_and_goes_on_from_it() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    let id = arroyo.world().has_pipeline("media", "SELECT 1", &["Running"]);
    let patch = format!("PATCH /pipelines/{id}");
    let told = done(deploy(&arroyo, folder.path(), &["stop", "media"]));
    let expected = [
        "job         CheckpointStopping".to_string(),
        "job         Stopping".to_string(),
        "job         Stopped".to_string(),
        format!("pipeline    media: stopped ({id})"),
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    assert_eq!(bodies(&arroyo, &patch), [json!({"stop": "checkpoint"})]);
    // Again, and nothing is asked for.
    let told = done(deploy(&arroyo, folder.path(), &["stop", &id]));
    assert!(told.contains("is Stopped already"), "{told}");
    assert_eq!(bodies(&arroyo, &patch).len(), 1);
    let told = done(deploy(&arroyo, folder.path(), &["start", "media"]));
    assert_eq!(states(&told), ["Compiling", "Scheduling", "Running, 3 tasks"]);
    assert_eq!(bodies(&arroyo, &patch)[1], json!({"stop": "none"}));
}

#[test]
fn a_forced_stop_writes_no_checkpoint_and_a_stopped_pipeline_can_be_deleted() {
    let (arroyo, folder) = (Arroyo::start(Version::V16), folder());
    let id = arroyo.world().has_pipeline("media", "SELECT 1", &["Running"]);
    let told = done(deploy(
        &arroyo,
        folder.path(),
        &["stop", "media", "--force", "--delete"],
    ));
    assert!(
        told.contains("media: stopped") && told.contains("media: deleted"),
        "{told}"
    );
    assert_eq!(
        bodies(&arroyo, &format!("PATCH /pipelines/{id}")),
        [json!({"stop": "immediate"})]
    );
    assert!(arroyo.world().pipelines.is_empty());
}

#[test]
fn a_pipeline_that_has_failed_is_started_again_by_a_restart() {
    let (arroyo, folder) = (Arroyo::start(Version::V16), folder());
    let id = arroyo.world().has_pipeline("media", "SELECT 1", &["Failed"]);
    let told = done(deploy(&arroyo, folder.path(), &["start", "media"]));
    assert_eq!(states(&told), ["Compiling", "Scheduling", "Running, 3 tasks"]);
    let made = changes(&arroyo);
    assert_eq!(
        made,
        [
            format!("PATCH /pipelines/{id}"),
            format!("POST /pipelines/{id}/restart")
        ]
    );
}

#[test]
fn a_started_pipeline_that_stops_or_fails_again_is_told_from_one_that_has_not_started() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    let id = arroyo.world().has_pipeline("media", "SELECT 1", &["Stopped"]);
    // The controller is away.
    let parts = ["does not run after 0 s", "its state is Stopped"];
    refused(
        deploy(&arroyo, folder.path(), &["start", "media", "--timeout", "0s"]),
        1,
        &parts,
    );
    for (end, words) in [
        ("Stopped", "stopped by somebody else"),
        ("Failed", "has failed: no topic"),
    ] {
        {
            let mut world = arroyo.world();
            let row = world.pipelines.iter_mut().find(|row| row.id == id);
            let row = row.expect("it was made above");
            row.goes(&["Failed"]);
            row.failure = Some("no topic".to_string());
            world.starts_again = vec!["Scheduling".to_string(), end.to_string()];
        }
        refused(deploy(&arroyo, folder.path(), &["start", "media"]), 1, &[words]);
    }
}

/// The states of a job that were told.
fn states(told: &str) -> Vec<&str> {
    told.lines()
        .filter_map(|line| line.strip_prefix("job         "))
        .collect()
}

#[test]
fn a_pipeline_that_does_not_stop_is_left_with_a_way_out() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    let id = arroyo.world().has_pipeline("media", "SELECT 1", &["Running"]);
    arroyo.world().stops = vec!["CheckpointStopping".to_string()];
    let force = format!("sightstream deploy stop {id} --force");
    let parts = ["its state is CheckpointStopping", force.as_str()];
    refused(
        deploy(&arroyo, folder.path(), &["stop", "media", "--timeout", "0s"]),
        1,
        &parts,
    );
}

#[test]
fn a_name_that_is_none_or_several_is_answered_with_those_there_are() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    refused(
        deploy(&arroyo, folder.path(), &["stop", "media"]),
        2,
        &["there is no pipeline media: Arroyo has none"],
    );
    let (first, second) = {
        let mut world = arroyo.world();
        (
            world.has_pipeline("media", "SELECT 1", &["Running"]),
            world.has_pipeline("media", "SELECT 1", &["Running"]),
        )
    };
    refused(
        deploy(&arroyo, folder.path(), &["stop", "medium"]),
        2,
        &["Arroyo has media (", &first],
    );
    let parts = ["several pipelines have the name media", &first, &second, "by its id"];
    refused(deploy(&arroyo, folder.path(), &["stop", "media"]), 2, &parts);
    done(deploy(&arroyo, folder.path(), &["stop", &first]));
    // Now one of the two is meant.
    done(deploy(&arroyo, folder.path(), &["stop", "media"]));
    assert_eq!(arroyo.world().pipeline(&second).map(|row| row.state()), Some("Stopped"));
}

#[test]
fn a_file_and_an_action_together_are_refused() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    refused(
        deploy(&arroyo, folder.path(), &["embed_media.sql", "list"]),
        2,
        &["take no file"],
    );
    refused(deploy(&arroyo, folder.path(), &[]), 2, &["FILE.sql"]);
    assert!(arroyo.world().calls.is_empty());
}
