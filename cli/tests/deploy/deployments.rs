//! A file that becomes a pipeline.

use serde_json::json;

use crate::common::{json_lines, output, stdout};
use crate::kit::{EMBED, bodies, changes, deploy, done, folder, refused, write};
use crate::server::Arroyo;
use crate::shapes::{StopType, Version};

#[test]
fn a_file_is_deployed_with_its_functions_and_followed_until_it_runs() {
    for version in [Version::V15, Version::V16] {
        let (arroyo, folder) = (Arroyo::start(version), folder());
        let arguments = ["embed_media.sql", "--parallelism", "4", "--checkpoint-interval", "30s"];
        let told = done(deploy(&arroyo, folder.path(), &arguments));
        let id = arroyo.world().pipelines[0].id.clone();
        let expected = [
            "query       Arroyo can run it: 3 operators".to_string(),
            "variables   Arroyo's workers need KAFKA_PASSWORD".to_string(),
            "function    embed: registered, built in 0 s".to_string(),
            format!("pipeline    embed_media: created as {id}, parallelism 4"),
            "job         Created".to_string(),
            "job         Compiling".to_string(),
            "job         Scheduling".to_string(),
            "job         Running, 12 tasks".to_string(),
            format!("running     {}/pipelines/{id}", arroyo.address),
        ];
        assert_eq!(told.lines().collect::<Vec<_>>(), expected);
        let world = arroyo.world();
        assert_eq!(
            world.calls,
            [
                "GET /udfs",
                "GET /pipelines?limit=10000",
                "POST /pipelines/validate_query",
                "POST /udfs",
                "POST /pipelines"
            ]
        );
        let row = &world.pipelines[0];
        assert_eq!((row.parallelism, row.interval), (4, 30_000_000));
        let filled = EMBED.replace("{{ BROKERS }}", "kafka:9092");
        assert_eq!(
            row.query, filled,
            "the password is left to Arroyo, the brokers are filled in"
        );
        assert!(world.built.iter().all(|built| built.contains("async fn embed(")));
    }
}

#[test]
fn only_the_functions_that_a_file_calls_are_registered() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    write(folder.path(), "plain.sql", "SELECT id FROM media -- embed (url)");
    done(deploy(&arroyo, folder.path(), &["plain.sql", "--name", "no functions"]));
    assert!(arroyo.world().udfs.is_empty());
    assert_eq!(arroyo.world().pipelines[0].name, "no functions");
    let both = "CREATE VIEW parts AS SELECT unnest(string_to_array(segments(url), chr(10))) AS part FROM media;
        SELECT embed(part, 'x') FROM parts;";
    write(folder.path(), "both.sql", both);
    done(deploy(&arroyo, folder.path(), &["both.sql"]));
    let world = arroyo.world();
    let names: Vec<&str> = world.udfs.iter().map(|udf| udf.name.as_str()).collect();
    assert_eq!(names, ["embed", "segments"]);
}

#[test]
fn a_dry_run_prints_the_calls_and_makes_none() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    let told = done(deploy(
        &arroyo,
        folder.path(),
        &["embed_media.sql", "--dry-run", "--replace"],
    ));
    assert!(arroyo.world().calls.is_empty());
    let calls: Vec<&str> = told
        .lines()
        .filter(|line| {
            ["GET ", "POST ", "PATCH ", "DELETE "]
                .iter()
                .any(|method| line.starts_with(method))
        })
        .collect();
    let api = format!("{}/api/v1", arroyo.address);
    assert_eq!(
        calls,
        [
            format!("GET {api}/udfs"),
            format!("GET {api}/pipelines?limit=10000"),
            format!("POST {api}/pipelines/validate_query"),
            format!("POST {api}/udfs"),
            format!("PATCH {api}/pipelines/{{id}}"),
            format!("POST {api}/pipelines"),
            format!("GET {api}/pipelines/{{id}}/jobs"),
            format!("DELETE {api}/pipelines/{{id}}"),
        ]
    );
    // What it prints is what it then sends.
    done(deploy(&arroyo, folder.path(), &["embed_media.sql"]));
    for call in ["POST /udfs", "POST /pipelines"] {
        let body = serde_json::to_string_pretty(&bodies(&arroyo, call)[0]).expect("a body is JSON");
        assert!(told.contains(&body), "{body} is not in {told}");
    }
}

#[test]
fn the_same_file_again_changes_nothing_and_another_one_does_not_take_its_name() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    done(deploy(&arroyo, folder.path(), &["embed_media.sql"]));
    let before = changes(&arroyo);
    let told = done(deploy(&arroyo, folder.path(), &["embed_media.sql"]));
    assert!(told.contains("pipeline    embed_media: unchanged, pl_"), "{told}");
    assert_eq!(changes(&arroyo), before);
    let parts = [
        "there is a pipeline embed_media: pl_",
        "(Running)",
        "--replace",
        "--name",
    ];
    refused(
        deploy(&arroyo, folder.path(), &["embed_media.sql", "--parallelism", "2"]),
        1,
        &parts,
    );
    assert_eq!(changes(&arroyo), before);
    done(deploy(
        &arroyo,
        folder.path(),
        &["embed_media.sql", "--parallelism", "2", "--name", "other"],
    ));
    assert_eq!(arroyo.world().pipelines.len(), 2);
}

#[test]
fn a_replaced_pipeline_stops_with_a_checkpoint_first_and_goes_when_the_new_one_runs() {
    let (arroyo, folder) = (Arroyo::start(Version::V16), folder());
    done(deploy(&arroyo, folder.path(), &["embed_media.sql"]));
    let old = arroyo.world().pipelines[0].id.clone();
    let told = done(deploy(
        &arroyo,
        folder.path(),
        &["embed_media.sql", "--parallelism", "2", "--replace"],
    ));
    assert!(told.contains("job         Stopped"), "{told}");
    let world = arroyo.world();
    let [row] = world.pipelines.as_slice() else {
        panic!("{:?}", world.pipelines)
    };
    assert_eq!((row.parallelism, row.state(), row.stop), (2, "Running", StopType::None));
    drop(world);
    let made = changes(&arroyo);
    assert_eq!(
        made[made.len() - 3..],
        [
            format!("PATCH /pipelines/{old}"),
            "POST /pipelines".to_string(),
            format!("DELETE /pipelines/{old}")
        ]
    );
    assert_eq!(
        bodies(&arroyo, &format!("PATCH /pipelines/{old}")),
        [json!({"stop": "checkpoint"})]
    );
}

#[test]
fn a_replacement_that_cannot_be_created_starts_the_old_pipeline_again() {
    let (arroyo, folder) = (Arroyo::start(Version::V16), folder());
    let old = arroyo.world().has_pipeline("embed_media", "SELECT 1", &["Running"]);
    let refusal = r#"{"error":"Something went wrong"}"#.to_string();
    arroyo.world().answers.push_back(("POST /pipelines", 500, refusal));
    write(folder.path(), "embed_media.sql", "SELECT 2");
    let parts = [
        "was started again from its checkpoint",
        "was not created",
        "Something went wrong",
    ];
    refused(
        deploy(&arroyo, folder.path(), &["embed_media.sql", "--replace"]),
        1,
        &parts,
    );
    let stops: Vec<_> = bodies(&arroyo, &format!("PATCH /pipelines/{old}"));
    assert_eq!(stops, [json!({"stop": "checkpoint"}), json!({"stop": "none"})]);
}

#[test]
fn a_replacement_whose_answer_is_lost_is_found_and_followed() {
    for (status, answer) in [
        (504, "<html>gateway timeout</html>"),
        (500, r#"{"error":"database is locked"}"#),
    ] {
        let (arroyo, folder) = (Arroyo::start(Version::V16), folder());
        let old = arroyo.world().has_pipeline("embed_media", "SELECT 1", &["Running"]);
        arroyo
            .world()
            .lost
            .push_back(("POST /pipelines", status, answer.to_string()));
        let told = done(deploy(&arroyo, folder.path(), &["embed_media.sql", "--replace"]));
        let world = arroyo.world();
        let [row] = world.pipelines.as_slice() else {
            panic!("the old one is deleted, and one was created: {:?}", world.pipelines)
        };
        assert_eq!((row.state(), row.query != "SELECT 1"), ("Running", true));
        assert!(told.contains(&format!("created as {}", row.id)), "{told}");
        drop(world);
        // The old one never ran beside it.
        assert_eq!(
            bodies(&arroyo, &format!("PATCH /pipelines/{old}")),
            [json!({"stop": "checkpoint"})]
        );
    }
}

#[test]
fn where_it_is_not_known_whether_a_replacement_was_created_the_old_pipeline_stays_stopped() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    let old = arroyo.world().has_pipeline("embed_media", "SELECT 1", &["Running"]);
    arroyo.world().fails_from = Some("POST /pipelines");
    let parts = [
        "whether the pipeline embed_media was created is not known",
        "sightstream deploy list",
    ];
    refused(
        deploy(&arroyo, folder.path(), &["embed_media.sql", "--replace"]),
        1,
        &parts,
    );
    assert_eq!(
        bodies(&arroyo, &format!("PATCH /pipelines/{old}")),
        [json!({"stop": "checkpoint"})]
    );
}

#[test]
fn a_replacement_that_fails_leaves_the_old_pipeline_and_says_how_to_go_back() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    let old = arroyo.world().has_pipeline("embed_media", "SELECT 1", &["Running"]);
    {
        let mut world = arroyo.world();
        world.starts = vec!["Scheduling".to_string(), "Failed".to_string()];
        world.failure = Some("no topic media".to_string());
    }
    let back = format!("sightstream deploy start {old}");
    let parts = ["no topic media", back.as_str(), "is kept"];
    refused(
        deploy(&arroyo, folder.path(), &["embed_media.sql", "--replace"]),
        1,
        &parts,
    );
    let state = |id: &str| arroyo.world().pipeline(id).map(|row| row.state().to_string());
    assert_eq!(state(&old).as_deref(), Some("Stopped"));
    done(deploy(&arroyo, folder.path(), &["start", &old]));
    assert_eq!(state(&old).as_deref(), Some("Running"));
}

#[test]
fn pipelines_are_listed_with_their_states() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    {
        let mut world = arroyo.world();
        for index in 0..120 {
            world.has_pipeline(&format!("many {index}"), "SELECT 1", &["Finished"]);
        }
        world.has_pipeline("runs", "SELECT 1", &["Running"]);
        let id = world.has_pipeline("broken", "SELECT 1", &["Failed"]);
        let row = world
            .pipelines
            .iter_mut()
            .find(|row| row.id == id)
            .expect("it was made just now");
        row.failure = Some("no topic media\nbacktrace".to_string());
    }
    let told = done(deploy(&arroyo, folder.path(), &["list"]));
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 123, "a header and all of them");
    assert!(
        lines[0].starts_with("name") && lines[0].contains("state"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].starts_with("broken") && lines[1].contains("Failed"),
        "{}",
        lines[1]
    );
    assert!(lines[1].ends_with("no topic media"), "{}", lines[1]);
    assert!(
        lines[2].starts_with("runs") && lines[2].contains("Running"),
        "{}",
        lines[2]
    );
    // The address before the action is as good.
    let mut command = deploy(&arroyo, folder.path(), &["--arroyo", &arroyo.address, "list", "--json"]);
    command.env_remove("SIGHTSTREAM_ARROYO");
    let output = output(command);
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 122, "{}", stdout(&output));
    assert_eq!(
        (&lines[1]["name"], &lines[1]["state"], &lines[1]["tasks"]),
        (&json!("runs"), &json!("Running"), &json!(3))
    );
    assert_eq!(lines[0]["failure"], json!("no topic media\nbacktrace"));
}

#[test]
fn the_repositorys_own_file_goes_to_arroyo_as_it_is() {
    let (arroyo, folder) = (Arroyo::start(Version::V16), folder());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../sql/pipelines/embed_media.sql");
    done(deploy(&arroyo, folder.path(), &[path]));
    let text = std::fs::read_to_string(path).expect("the file is there");
    let world = arroyo.world();
    assert_eq!(
        (&world.pipelines[0].name, &world.pipelines[0].query),
        (&"embed_media".to_string(), &text)
    );
    assert!(world.udf("embed").is_some() && world.udf("segments").is_none());
    drop(world);
    let moves = concat!(env!("CARGO_MANIFEST_DIR"), "/../sql/pipelines/index_vectors.sql");
    let mut command = deploy(&arroyo, folder.path(), &[moves]);
    command
        .env("SIGHTSTREAM_KAFKA", "kafka:9092")
        .env("SIGHTSTREAM_QDRANT", "http://qdrant:6334");
    refused(command, 2, &["Arroyo has no connector 'qdrant'"]);
}
