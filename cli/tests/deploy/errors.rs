//! What is wrong with a file, a cluster or a job, and how it is told.

use crate::common::stdout;
use crate::kit::{changes, deploy, done, folder, refused, write};
use crate::server::Arroyo;
use crate::shapes::Version;

#[test]
fn a_file_that_arroyo_could_not_take_is_refused_before_any_call() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    write(
        folder.path(),
        "wrong.sql",
        "SET sightstream.dtype = 'f16';\nCREATE TABLE v (id TEXT) WITH (connector = 'qdrant', url = '{{ NOWHERE }}');\nSELECT embed(url) FROM;",
    );
    let parts = [
        "error: wrong.sql:1:1: Arroyo does not know SET sightstream",
        "error: wrong.sql:2:44: Arroyo has no connector 'qdrant'",
        "wrong.sql:2:54: option 'url': the environment variable NOWHERE is not set",
        "wrong.sql:3:8: on Arroyo, embed takes two arguments",
    ];
    refused(deploy(&arroyo, folder.path(), &["wrong.sql"]), 2, &parts);
    refused(
        deploy(&arroyo, folder.path(), &["nothing.sql"]),
        2,
        &["cannot read the SQL file nothing.sql"],
    );
    assert!(arroyo.world().calls.is_empty());
}

#[test]
fn syntax_that_only_arroyo_reads_is_left_to_its_planner() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    let text = "SELECT embed(url, NULL) FROM media EMIT ON WINDOW CLOSE;";
    write(folder.path(), "new.sql", text);
    let told = done(deploy(&arroyo, folder.path(), &["new.sql"]));
    assert!(
        told.contains("warning     new.sql:1:") && told.contains("function    embed: registered"),
        "{told}"
    );
    assert_eq!(arroyo.world().pipelines[0].query, text);
    let told = done(deploy(&arroyo, folder.path(), &["new.sql", "--dry-run"]));
    assert!(told.contains("# new.sql:1:"), "{told}");
    arroyo.world().planner_errors = vec!["expected a window".into()];
    let parts = [
        "Arroyo cannot plan this file:\nnew.sql: expected a window",
        "\nnew.sql:1:",
    ];
    refused(deploy(&arroyo, folder.path(), &["new.sql", "--name", "two"]), 2, &parts);
}

#[test]
fn errors_of_the_planner_are_shown_as_it_gave_them_and_nothing_is_built() {
    for (version, place) in [
        (Version::V15, "embed_media.sql: "),
        (Version::V16, "embed_media.sql:5:3: "),
    ] {
        let (arroyo, folder) = (Arroyo::start(version), folder());
        let error = arroyo
            .world()
            .diagnostic("Schema error: No field named idd.", Some((5, 3)));
        let other = arroyo.world().diagnostic("and another", None);
        arroyo.world().planner_errors = vec![error, other];
        let first = format!("{place}Schema error: No field named idd.");
        let parts = [
            "Arroyo cannot plan this file:",
            first.as_str(),
            "embed_media.sql: and another",
        ];
        refused(deploy(&arroyo, folder.path(), &["embed_media.sql"]), 2, &parts);
        assert!(changes(&arroyo).is_empty());
    }
}

#[test]
fn a_job_that_fails_is_told_with_its_reason_and_the_errors_of_its_tasks() {
    for version in [Version::V15, Version::V16] {
        let (arroyo, folder) = (Arroyo::start(version), folder());
        {
            let mut world = arroyo.world();
            let error = world.job_error("could not read from Kafka", "BrokerTransportFailure");
            world.job_errors = vec![error];
            world.starts = ["Scheduling", "Running", "Recovering", "Running", "Failing", "Failed"]
                .map(String::from)
                .to_vec();
            world.failure = Some("too many restarts".to_string());
        }
        // It runs for a moment twice, which is not believed.
        let command = deploy(&arroyo, folder.path(), &["embed_media.sql", "--settle", "60s"]);
        let output = refused(command, 1, &["has failed: too many restarts", "/pipelines/pl_"]);
        let told = stdout(&output);
        let error = "error       source_0, task 1: could not read from Kafka: BrokerTransportFailure";
        assert_eq!(told.lines().filter(|line| *line == error).count(), 1, "{told}");
        let states: Vec<&str> = told
            .lines()
            .filter_map(|line| line.strip_prefix("job         "))
            .collect();
        let expected = [
            "Scheduling",
            "Running, 3 tasks",
            "Recovering",
            "Running, 3 tasks",
            "Failing",
            "Failed",
        ];
        assert_eq!(states, expected);
    }
}

#[test]
fn a_job_that_does_not_come_to_run_is_left_with_a_way_out() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    arroyo.world().starts = vec!["Scheduling".to_string()];
    let parts = [
        "does not run after 0 s",
        "its state is Scheduling",
        "sightstream deploy stop pl_",
    ];
    refused(
        deploy(&arroyo, folder.path(), &["embed_media.sql", "--timeout", "0s"]),
        1,
        &parts,
    );
    arroyo.world().starts = vec!["Stopped".to_string()];
    let parts = ["was stopped by somebody else"];
    refused(
        deploy(&arroyo, folder.path(), &["embed_media.sql", "--name", "two"]),
        1,
        &parts,
    );
    arroyo.world().starts = vec!["Running".to_string(), "Finished".to_string()];
    let arguments = ["embed_media.sql", "--name", "three", "--settle", "60s"];
    let told = done(deploy(&arroyo, folder.path(), &arguments));
    assert!(told.contains("finished    http://"), "{told}");
}

#[test]
fn an_arroyo_that_falters_while_a_job_is_followed_is_asked_again() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    {
        let mut world = arroyo.world();
        let id = "GET /pipelines/pl_0000000002/jobs";
        world
            .answers
            .push_back((id, 500, r#"{"error":"database is locked"}"#.to_string()));
        world
            .answers
            .push_back((id, 502, "<html>bad gateway</html>".to_string()));
    }
    let told = done(deploy(&arroyo, folder.path(), &["embed_media.sql"]));
    assert!(
        told.contains("database is locked; trying again") && told.contains("Running"),
        "{told}"
    );
    assert_eq!(told.matches("trying again").count(), 1, "{told}");
}

#[test]
fn a_pipeline_that_is_deleted_while_it_is_followed_is_an_error() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    let gone = r#"{"error":"Pipeline not found"}"#.to_string();
    arroyo
        .world()
        .answers
        .push_back(("GET /pipelines/pl_0000000002/jobs", 404, gone));
    let parts = ["cannot be followed", "Pipeline not found"];
    refused(deploy(&arroyo, folder.path(), &["embed_media.sql"]), 1, &parts);
}

#[test]
fn an_address_that_is_not_arroyos_is_told_from_one_where_nothing_answers() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    let with = |address: &str| {
        let mut command = deploy(&arroyo, folder.path(), &["embed_media.sql"]);
        command.env("SIGHTSTREAM_ARROYO", address);
        command
    };
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.local_addr().expect("it listens").to_string()
    };
    let password = format!("http://user:s3cret@{closed}");
    let output = refused(
        with(&password),
        1,
        &["cannot reach Arroyo at http://127.0.0.1", "Connection refused"],
    );
    assert!(!crate::common::stderr(&output).contains("s3cret"));
    for wrong in ["arroyo:5115", "ftp://arroyo", "", "http://"] {
        refused(with(wrong), 2, &["--arroyo", "http://HOST:5115"]);
    }
    // A web server that has a page for every path.
    let pages = format!("{}/pages", arroyo.address);
    refused(
        with(&pages),
        1,
        &["GET /api/v1/udfs", "not Arroyo's", "<!doctype html>"],
    );
    // The address of the API itself is as good as that of the cluster.
    done(with(&format!("{}/api/v1/", arroyo.address)));
}

#[test]
fn what_arroyo_or_a_proxy_refuses_is_told_in_its_words() {
    let (arroyo, folder) = (Arroyo::start(Version::V15), folder());
    for (status, body, parts) in [
        (
            400,
            r#"{"error":"Your plan allows 1"}"#,
            vec!["400 Bad Request", "Your plan allows 1"],
        ),
        (
            403,
            r#"{"error":"Admin role required"}"#,
            vec!["Admin role required", "--arroyo-token"],
        ),
        (
            401,
            "<h1>who are you</h1>",
            vec!["401", "who are you", "--arroyo-token"],
        ),
        (
            422,
            r#"{"error":"missing field `query`"}"#,
            vec!["422", "missing field `query`"],
        ),
        (302, "", vec!["a redirect to https://elsewhere/"]),
        (504, "", vec!["504", "nothing"]),
    ] {
        arroyo
            .world()
            .answers
            .push_back(("GET /udfs", status, body.to_string()));
        refused(deploy(&arroyo, folder.path(), &["embed_media.sql"]), 1, &parts);
    }
    assert!(changes(&arroyo).is_empty());
}
