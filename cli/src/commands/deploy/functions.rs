//! The functions of the plugin: their definitions, and how they get into Arroyo.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};

use super::api::{Arroyo, CallError};
use super::wire::{Collection, Udf, UdfValidation};
use super::{calls, say};
use crate::args::FunctionArgs;

/// The files that Arroyo's compiler service gets.
const FILES: [(&str, &str); 2] = [
    ("embed", include_str!("../../../../udf/arroyo/embed.rs")),
    ("segments", include_str!("../../../../udf/arroyo/segments.rs")),
];

/// The package with the work, on which the files depend.
const PACKAGE: &str = "sightstream-arroyo";

/// Where it is, if nobody says otherwise; the variable is the compiler service's.
const HOME: &str = "{{ SIGHTSTREAM_HOME }}/udf/arroyo";

/// What that package was when this command was built: see `build.rs`.
const SOURCES: &str = env!("SIGHTSTREAM_PLUGIN_SOURCES");

/// Where a definition's function begins. Arroyo knows a definition by its text. What sets one apart stands in the doc comment before
/// the function, because of all comments only that is left where Arroyo keeps its tokens instead.
const FUNCTION: &str = "#[udf(";

/// The line of a definition that differs when it was built again on demand.
const BUILT_AGAIN: &str = "/// Built again: ";

/// How often a build that takes long says so.
const BUILD_NEWS: Duration = Duration::from_secs(30);

/// A function as this command would register it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    pub name: &'static str,
    pub definition: String,
}

impl Function {
    /// The functions `names`, built from what `args` name.
    pub fn wanted<'a>(names: impl IntoIterator<Item = &'a &'static str>, args: &FunctionArgs) -> Vec<Self> {
        let file = |name: &str| FILES.iter().find(|(file, _)| *file == name);
        let names = names.into_iter().filter_map(|name| file(name));
        names
            .map(|(name, text)| Self {
                name,
                definition: definition(text, args),
            })
            .collect()
    }
}

/// What has to be done for a function.
#[derive(Debug)]
pub enum Change {
    /// Arroyo has it, since this time in microseconds since 1970.
    Kept(u64),
    /// Arroyo has none of that name.
    New,
    /// Arroyo has another one of ours, with this id.
    Changed(String),
}

/// A function and what has to be done for it.
#[derive(Debug)]
pub struct Planned {
    pub function: Function,
    pub change: Change,
}

impl Planned {
    /// Whether a pipeline that was created at `created_at` runs this function: a newer one is not what it was started with.
    pub fn is_of(&self, created_at: u64) -> bool {
        matches!(self.change, Change::Kept(since) if since <= created_at)
    }
}

/// Compares `wanted` with what Arroyo has.
///
/// # Errors
/// Arroyo has a function of that name which is not ours.
pub async fn plan(arroyo: &Arroyo, wanted: Vec<Function>, rebuild: bool) -> anyhow::Result<Vec<Planned>> {
    let known: Collection<Udf> = arroyo.call(&calls::udfs()).await?;
    let planned = wanted.into_iter().map(|mut function| {
        let change = match known.data.iter().find(|udf| udf.name == function.name) {
            None => Change::New,
            Some(udf) if !udf.definition.contains(PACKAGE) => bail!(
                "Arroyo has a function {} that is not Sightstream's (id {}); delete it in Arroyo, or give it another name \
                 there",
                udf.name,
                udf.id
            ),
            Some(udf) if !rebuild && is_built(udf) && same(&udf.definition, &function.definition) => {
                Change::Kept(udf.created_at)
            }
            Some(udf) => Change::Changed(udf.id.clone()),
        };
        if rebuild {
            function.definition = again(&function.definition);
        }
        Ok(Planned { function, change })
    });
    planned.collect()
}

fn is_built(udf: &Udf) -> bool {
    udf.dylib_url.as_deref().is_some_and(|url| !url.is_empty())
}

/// Registers what `planned` holds, where something has to be done.
///
/// # Errors
/// What the compiler says, as Arroyo gave it.
pub async fn register(arroyo: &Arroyo, planned: &[Planned], build_timeout: Duration) -> anyhow::Result<()> {
    for Planned { function, change } in planned {
        let name = function.name;
        if matches!(change, Change::Kept(_)) {
            say("function", format!("{name}: unchanged"))?;
            continue;
        }
        let started = std::time::Instant::now();
        // It is built before the one that it replaces loses its name: where the name is taken, Arroyo says so after the
        // build, and keeps what it has built.
        let created = build(arroyo, function, build_timeout).await;
        match (created, change) {
            (Ok(_), Change::Changed(old)) => forget(arroyo, old).await?,
            (Ok(_), _) => {}
            (Err(error), Change::Changed(old)) if error.is_taken() => {
                forget(arroyo, old).await?;
                build(arroyo, function, build_timeout)
                    .await
                    .with_context(|| format!("the function {name} is not registered now; run this again"))?;
            }
            (Err(error), _) if error.is_bad_request() && !error.is_taken() => {
                bail!(compiler_errors(arroyo, function, build_timeout, &error).await)
            }
            (Err(error), _) => return Err(unbuilt(name, error)),
        }
        let seconds = started.elapsed().as_secs();
        say("function", format!("{name}: registered, built in {seconds} s"))?;
    }
    Ok(())
}

/// Takes the function `id` its name; that somebody else did so is as good.
async fn forget(arroyo: &Arroyo, id: &str) -> Result<(), CallError> {
    match arroyo.tell(&calls::delete_udf(id)).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Asks for the function, and says that it takes long while it does.
async fn build(arroyo: &Arroyo, function: &Function, timeout: Duration) -> Result<Udf, CallError> {
    let call = calls::create_udf(&function.definition);
    let building = arroyo.call_within(&call, timeout);
    tokio::pin!(building);
    let started = std::time::Instant::now();
    loop {
        match tokio::time::timeout(BUILD_NEWS, &mut building).await {
            Ok(outcome) => return outcome,
            Err(_) => {
                let seconds = started.elapsed().as_secs();
                // Whoever closed standard output is told by the next line that must be written.
                let _ = say("function", format!("{}: building for {seconds} s", function.name));
            }
        }
    }
}

/// A build that came to no end, with the way out.
fn unbuilt(name: &str, error: CallError) -> anyhow::Error {
    let text = error.to_string();
    let way_out = if text.contains("SIGHTSTREAM_HOME") {
        "; set SIGHTSTREAM_HOME where Arroyo's compiler service runs, to a folder with Sightstream's sources, or name \
         published ones with --udf-git or --udf-version"
    } else if matches!(error, CallError::Lost { .. }) {
        "; Arroyo may still be building: run this again, or give it more time with --build-timeout"
    } else {
        ""
    };
    anyhow::anyhow!("the function {name} cannot be registered: {text}{way_out}")
}

/// Arroyo says only that a function is invalid; why, it tells when it is asked to validate it.
async fn compiler_errors(arroyo: &Arroyo, function: &Function, timeout: Duration, refused: &CallError) -> String {
    let name = function.name;
    let call = calls::validate_udf(&function.definition);
    match arroyo.call_within::<UdfValidation>(&call, timeout).await {
        Ok(UdfValidation { errors }) if errors.is_empty() => format!(
            "Arroyo cannot build the function {name}, although its compiler finds nothing wrong: linking failed, for which a \
             library is missing (FFmpeg's?); the log of Arroyo's compiler service has the linker's words"
        ),
        Ok(UdfValidation { errors }) => {
            let errors: Vec<String> = errors.iter().map(|error| unescaped(error)).collect();
            format!("Arroyo cannot build the function {name}:\n{}", errors.join("\n"))
        }
        Err(error) => format!("{refused}; and asked for the reasons, {error}"),
    }
}

/// rustc's messages come as the inside of a JSON string.
fn unescaped(error: &str) -> String {
    serde_json::from_str(&format!("\"{error}\"")).unwrap_or_else(|_| error.to_string())
}

/// The file `text` with the dependency that `args` name, and with what it is built from: Arroyo builds the same text only once.
fn definition(text: &str, args: &FunctionArgs) -> String {
    let quoted = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\"));
    let source = match (&args.udf_git, &args.udf_version) {
        (Some(url), _) => format!(
            "git = {}, rev = {}",
            quoted(url),
            quoted(args.udf_rev.as_deref().unwrap_or_default())
        ),
        (_, Some(version)) => format!("version = {}", quoted(version)),
        _ => format!("path = {}", quoted(args.udf_path.as_deref().unwrap_or(HOME))),
    };
    let features: Vec<String> = args.udf_features.iter().map(|feature| quoted(feature)).collect();
    let features = match features.as_slice() {
        [] => String::new(),
        _ => format!(", features = [{}]", features.join(", ")),
    };
    let dependency = format!("{PACKAGE} = {{ {source}{features} }}");
    let is_dependency = |line: &str| line.trim_start().starts_with(PACKAGE);
    let mut lines: Vec<&str> = text
        .lines()
        .map(|line| if is_dependency(line) { &dependency } else { line })
        .collect();
    lines.push("");
    // What a folder holds, its name does not tell. Braces would be a variable.
    let source = source.replace("{{ SIGHTSTREAM_HOME }}", "SIGHTSTREAM_HOME");
    let stamp = match args.udf_git.is_none() && args.udf_version.is_none() {
        true => format!(
            "/// Built from {source}{features}: Sightstream {}, sources {SOURCES}",
            env!("CARGO_PKG_VERSION")
        ),
        false => format!("/// Built from {source}{features}"),
    };
    documented(&lines.join("\n"), &stamp)
}

/// `definition` with `line` at the end of the function's doc comment.
fn documented(definition: &str, line: &str) -> String {
    definition.replacen(FUNCTION, &format!("{line}\n{FUNCTION}"), 1)
}

/// `definition` as another text of the same meaning.
fn again(definition: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    documented(definition, &format!("{BUILT_AGAIN}{}", now.as_millis()))
}

/// Whether two definitions differ in nothing but when they were built again.
fn same(one: &str, other: &str) -> bool {
    let meant = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.starts_with(BUILT_AGAIN))
            .map(ToString::to_string)
            .collect()
    };
    meant(one) == meant(other)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        functions: FunctionArgs,
    }

    fn embed(flags: &[&str]) -> String {
        let flags = Flags::parse_from(std::iter::once("deploy").chain(flags.iter().copied()));
        let [function] = Function::wanted(&["embed"], &flags.functions)
            .try_into()
            .expect("there is one function of that name");
        function.definition
    }

    fn dependency(definition: &str) -> String {
        let lines: Vec<&str> = definition.lines().filter(|line| line.starts_with(PACKAGE)).collect();
        assert_eq!(lines.len(), 1, "{definition}");
        lines[0].to_string()
    }

    #[test]
    fn the_dependency_is_what_the_flags_name() {
        for (flags, expected) in [
            (vec![], r#"{ path = "{{ SIGHTSTREAM_HOME }}/udf/arroyo" }"#),
            (vec!["--udf-path", "/opt/a b"], r#"{ path = "/opt/a b" }"#),
            (
                vec!["--udf-git", "https://h/s", "--udf-rev", "v1"],
                r#"{ git = "https://h/s", rev = "v1" }"#,
            ),
            (
                vec!["--udf-version", "0.1", "--udf-features", "cuda,x"],
                r#"{ version = "0.1", features = ["cuda", "x"] }"#,
            ),
        ] {
            let definition = embed(&flags);
            assert_eq!(dependency(&definition), format!("{PACKAGE} = {expected}"), "{flags:?}");
            // The comment with the dependency is none of the function's tokens.
            let within = expected.trim_matches(['{', '}', ' ']);
            let within = within.replace("{{ SIGHTSTREAM_HOME }}", "SIGHTSTREAM_HOME");
            let documented = format!("/// Built from {within}");
            let lines: Vec<&str> = definition.lines().collect();
            let attribute = lines.iter().position(|line| line.starts_with(FUNCTION));
            let attribute = attribute.expect("it is a function of Arroyo's");
            assert!(lines[attribute - 1].starts_with(&documented), "{definition}");
            assert!(lines[attribute - 2].starts_with("/// "), "{definition}");
            assert!(!lines[attribute - 1].contains("{{"), "{definition}");
        }
    }

    #[test]
    fn what_would_end_the_definitions_comment_is_refused() {
        for flags in [
            ["--udf-path", "/opt/*/"],
            ["--udf-path", "/opt\nfeatures = []"],
            ["--udf-version", "1\"\r"],
            ["--udf-features", "a\"b"],
            ["--udf-version", ""],
        ] {
            let parsed = Flags::try_parse_from(std::iter::once("deploy").chain(flags));
            let error = parsed.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(flags[0]), "{flags:?}: {error}");
        }
    }

    #[test]
    fn a_definition_by_path_tells_what_it_is_built_from_and_one_that_was_built_again_is_the_same() {
        let flags = Flags::parse_from(["deploy"]);
        let functions = Function::wanted(&["embed", "segments"], &flags.functions);
        assert_eq!(functions.len(), 2);
        for function in functions {
            assert!(
                function.definition.starts_with("/*\n[dependencies]\n"),
                "{}",
                function.definition
            );
            assert!(function.definition.contains(SOURCES), "{}", function.definition);
            let rebuilt = again(&function.definition);
            let built_again = rebuilt.lines().find(|line| line.starts_with(BUILT_AGAIN));
            assert!(built_again.is_some() && rebuilt.contains("\nasync fn "), "{rebuilt}");
            assert!(
                rebuilt != function.definition && same(&rebuilt, &function.definition),
                "{rebuilt}"
            );
            assert!(
                !same(&rebuilt, &function.definition.replace(SOURCES, "other")),
                "{rebuilt}"
            );
        }
    }

    #[test]
    fn messages_of_rustc_are_shown_as_it_wrote_them() {
        assert_eq!(
            unescaped(r#"error[E0425]: no \"x\"\n --> src/lib.rs:1"#),
            "error[E0425]: no \"x\"\n --> src/lib.rs:1"
        );
        assert_eq!(unescaped("   Compiling a \"b\""), "   Compiling a \"b\"");
    }
}
