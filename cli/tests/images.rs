//! The images, the compose file and the command's build name things of this repository: that those are there.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::{folder, output, sightstream, stdout};

const DOCKERFILES: [&str; 2] = ["deploy/Dockerfile", "deploy/Dockerfile.cuda"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The instructions of a Dockerfile, without comments and each on one line.
fn instructions(path: &str) -> Vec<String> {
    let code: Vec<String> = read(path)
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .map(ToString::to_string)
        .collect();
    code.join("\n")
        .replace("\\\n", " ")
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect()
}

/// The names of the stages in `path`.
fn stages(path: &str) -> BTreeSet<String> {
    let stages = instructions(path);
    let stages = stages.iter().filter(|line| line.starts_with("FROM "));
    stages
        .filter_map(|line| line.split_once(" AS ").map(|(_, name)| name.to_string()))
        .collect()
}

/// The Debian packages that the stage `stage` of `path` installs itself.
fn packages(path: &str, stage: &str) -> BTreeSet<String> {
    let lines = instructions(path);
    let of_stage = lines
        .iter()
        .skip_while(|line| !(line.starts_with("FROM ") && line.ends_with(&format!(" AS {stage}"))))
        .skip(1)
        .take_while(|line| !line.starts_with("FROM "));
    let installs = of_stage.flat_map(|line| line.split("&&"));
    installs
        .filter_map(|command| command.trim().split_once("apt-get install -y --no-install-recommends "))
        .flat_map(|(_, packages)| packages.split(' '))
        .map(ToString::to_string)
        .collect()
}

/// The options of the commands that the compose file and the images set as environment variables.
fn variables(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()));
    words
        .filter(|word| word.starts_with("SIGHTSTREAM_"))
        .map(ToString::to_string)
        .collect()
}

#[test]
fn what_dockerfiles_copy_is_there_and_their_stages_are_those_of_the_docs() {
    for path in DOCKERFILES {
        let stages = stages(path);
        for stage in ["sightstream", "worker", "cluster"] {
            assert!(stages.contains(stage), "{path} has no stage {stage}");
        }
        for line in instructions(path) {
            let Some(copy) = line.strip_prefix("COPY ") else {
                continue;
            };
            let words: Vec<&str> = copy.split(' ').collect();
            match words[0].strip_prefix("--from=") {
                Some(from) => assert!(stages.contains(from), "{path}: {line}"),
                None => {
                    for source in &words[..words.len() - 1] {
                        assert!(root().join(source).exists(), "{path}: {line}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_the_text_of_a_function_is_known_by_is_there() {
    let build = read("cli/build.rs");
    let (_, list) = build
        .split_once("const SOURCES")
        .expect("it lists the plugin's sources");
    let (list, _) = list.split_once("];\n").expect("the list ends");
    let sources: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    assert!(sources.contains(&"udf/arroyo/src"), "{sources:?}");
    for source in sources {
        assert!(root().join(source).exists(), "{source}");
    }
}

#[test]
fn images_that_build_have_what_the_setup_installs() {
    let setup = read("scripts/setup");
    let (_, list) = setup.split_once("packages=(").expect("scripts/setup lists packages");
    let (list, _) = list.split_once(')').expect("the list ends");
    for path in DOCKERFILES {
        let build = packages(path, "build");
        let cluster: BTreeSet<String> = packages(path, "worker")
            .union(&packages(path, "cluster"))
            .cloned()
            .collect();
        // Only the command needs protoc, for Qdrant.
        let for_functions = |package: &&str| *package != "protobuf-compiler";
        let missing = |have: &BTreeSet<String>, package: &str| !have.contains(package);
        let unbuilt: Vec<&str> = list
            .split_whitespace()
            .filter(|package| missing(&build, package))
            .collect();
        assert!(unbuilt.is_empty(), "{path}, build: {unbuilt:?}");
        let unbuilt: Vec<&str> = list
            .split_whitespace()
            .filter(for_functions)
            .filter(|package| missing(&cluster, package))
            .collect();
        assert!(unbuilt.is_empty(), "{path}, cluster: {unbuilt:?}");
    }
}

#[test]
fn images_have_the_rust_that_the_sources_want() {
    let manifest = read("Cargo.toml");
    let wanted = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .expect("the workspace says which Rust it wants");
    for path in DOCKERFILES {
        let given = format!("ARG RUST_VERSION={}", wanted.trim_matches('"'));
        assert!(instructions(path).contains(&given), "{path} has no {given}");
    }
}

#[test]
fn the_compose_file_names_files_stages_and_variables_that_exist() {
    let compose = read("deploy/compose.yml");
    let code: Vec<&str> = compose
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let code = code.join("\n");
    let values = |key: &str| -> Vec<String> {
        let lines = code
            .lines()
            .filter_map(|line| line.trim().strip_prefix(&format!("{key}: ")));
        lines.map(ToString::to_string).collect()
    };
    assert_eq!(values("context"), ["..", ".."], "they build from the repository's root");
    for path in values("dockerfile") {
        assert!(DOCKERFILES.contains(&path.as_str()), "{path}");
    }
    let stages = stages("deploy/Dockerfile");
    let targets = values("target");
    for target in &targets {
        assert!(stages.contains(target), "{target}");
    }
    let different: BTreeSet<&String> = targets.iter().collect();
    assert_eq!(different.len(), targets.len(), "{targets:?}: an image is built once");
    // ../folder:/place, and ${NAME:-../folder}:/place.
    let mounted: Vec<&str> = code
        .split("../")
        .skip(1)
        .filter_map(|rest| rest.split([':', '}']).next())
        .collect();
    assert!(mounted.len() >= 3, "{mounted:?}");
    for path in mounted {
        assert!(root().join(path).is_dir(), "{path}");
    }
    let scripts: Vec<&str> = code
        .split("/sql/")
        .skip(1)
        .filter_map(|rest| rest.split(['"', ' ']).next())
        .filter(|script| script.ends_with(".sql"))
        .collect();
    assert_eq!(scripts.len(), 2, "{scripts:?}");
    for script in scripts {
        assert!(root().join("sql/pipelines").join(script).is_file(), "{script}");
    }
    let folder = folder();
    let mut known = String::new();
    for arguments in [vec!["run"], vec!["deploy"], vec!["search"]] {
        let mut command = sightstream(folder.path());
        command.args(arguments).arg("--help");
        let output = output(command);
        assert_eq!(common::code(&output), 0);
        known.push_str(&stdout(&output));
    }
    // Those of the plugin alone and of pipelines stand where they are read.
    for source in [
        "settings/src/encoder.rs",
        "udf/arroyo/src/settings.rs",
        "udf/arroyo/embed.rs",
    ] {
        known.push_str(&read(source));
    }
    for script in ["embed_media.sql", "index_vectors.sql"] {
        known.push_str(&read(&format!("sql/pipelines/{script}")));
    }
    let known = variables(&known);
    let dockerfiles: String = DOCKERFILES.iter().map(|path| instructions(path).join("\n")).collect();
    let named = variables(&format!("{code}\n{dockerfiles}"));
    let unknown: Vec<&String> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
