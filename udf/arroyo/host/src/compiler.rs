//! A UDF file becomes a dylib, as Arroyo's API and its compiler service do it.
//!
//! The API takes the file apart: one function with `#[udf]`, and the dependencies of the comment on top, to which it adds
//! `arroyo-udf-plugin`. The service puts both into a folder as the package `udf`, fills in `{{ NAME }}` from its
//! environment, and runs `cargo build --release`. The folder is the same for every UDF, there as here: cargo takes two
//! packages of one name for the same one. Where the service asks the registry for the newest versions, this begins with
//! those of the workspace's `Cargo.lock`: tests are to build the same thing every time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use arroyo_udf_common::parse::{AsyncOptions, NullableType, ParsedUdf, UdfType};
use regex::{Captures, Regex};
use serde_json::Value;
use syn::Item;
use toml::Table;

/// What Arroyo adds to the dependencies.
const PLUGIN: (&str, &str) = ("arroyo-udf-plugin", "^0.2.0");

/// Why a UDF file cannot be had as a dylib.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It is not Rust, or not as Arroyo wants it.
    #[error("not a UDF file: {0}")]
    File(String),
    /// `{{ NAME }}` names a variable that is not set.
    #[error("the dependencies ask for the environment variable {0}, which is not set")]
    Variable(String),
    /// What cargo and rustc say.
    #[error("it does not compile:\n{0}")]
    Build(String),
    /// A folder or a file of the build.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl CompileError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |error| Self::Io { path, error }
    }
}

/// A UDF file, taken apart.
#[derive(Debug)]
pub struct UdfFile {
    /// The function's name, which is the UDF's in SQL.
    pub name: String,
    /// The types of the arguments.
    pub arguments: Vec<NullableType>,
    /// The type of the result.
    pub result: NullableType,
    /// What the attribute says: order, timeout, calls in flight.
    pub options: AsyncOptions,
    dependencies: Table,
    definition: String,
}

impl UdfFile {
    /// Takes `definition` apart.
    ///
    /// # Errors
    /// If it is not Rust, has not exactly one function with `#[udf]`, or that one is not asynchronous or has types that
    /// Arroyo does not know.
    pub fn parse(definition: &str) -> Result<Self, CompileError> {
        let refused = |reason: String| CompileError::File(reason);
        let file = syn::parse_file(definition).map_err(|error| refused(error.to_string()))?;
        let is_udf = |attribute: &syn::Attribute| {
            let last = attribute.path().segments.last();
            last.is_some_and(|segment| segment.ident == "udf")
        };
        let mut functions = file.items.iter().filter_map(|item| match item {
            Item::Fn(function) if function.attrs.iter().any(is_udf) => Some(function),
            _ => None,
        });
        let (Some(function), None) = (functions.next(), functions.next()) else {
            return Err(refused("it needs exactly one function with #[udf]".to_string()));
        };
        let parsed = ParsedUdf::try_parse(function).map_err(|error| refused(error.to_string()))?;
        let UdfType::Async(options) = parsed.udf_type else {
            return Err(refused(format!("{} is not async", parsed.name)));
        };
        Ok(Self {
            name: parsed.name,
            arguments: parsed.args,
            result: parsed.ret_type,
            options,
            dependencies: dependencies(definition)?,
            definition: definition.to_string(),
        })
    }

    /// The package's `Cargo.toml`, with variables from `environment`.
    ///
    /// # Errors
    /// If a variable is not there, or what comes of it is not TOML.
    pub fn manifest(&self, environment: &BTreeMap<String, String>) -> Result<String, CompileError> {
        let mut dependencies = self.dependencies.clone();
        dependencies.insert(PLUGIN.0.to_string(), PLUGIN.1.into());
        let filled = filled(&dependencies.to_string(), environment)?;
        let dependencies: Table = toml::from_str(&filled).map_err(|error| CompileError::File(error.to_string()))?;
        let package = toml::toml! {
            name = "udf"
            version = "1.0.0"
            edition = "2024"
        };
        let library = toml::toml! { crate-type = ["cdylib"] };
        let manifest: Table = [("package", package), ("lib", library), ("dependencies", dependencies)]
            .into_iter()
            .map(|(name, table)| (name.to_string(), table.into()))
            .collect();
        Ok(manifest.to_string())
    }
}

/// What the comment on top names; nothing if there is none.
fn dependencies(definition: &str) -> Result<Table, CompileError> {
    const OPENING: &str = "/*\n[dependencies]\n";
    let mut comments = definition.split(OPENING).skip(1);
    let (Some(comment), None) = (comments.next(), comments.next()) else {
        return match definition.contains(OPENING) {
            true => Err(CompileError::File("it has two comments with dependencies".to_string())),
            false => Ok(Table::new()),
        };
    };
    let table = comment.split("*/").next().unwrap_or_default();
    toml::from_str(table).map_err(|error| CompileError::File(format!("the dependencies: {error}")))
}

/// `text` with every `{{ NAME }}` replaced.
fn filled(text: &str, environment: &BTreeMap<String, String>) -> Result<String, CompileError> {
    static VARIABLE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\{\{\s*(\w+)\s*\}\}").expect("the expression is well-formed"));
    if let Some(missing) = VARIABLE
        .captures_iter(text)
        .find(|found| !environment.contains_key(&found[1]))
    {
        return Err(CompileError::Variable(missing[1].to_string()));
    }
    let value = |found: &Captures<'_>| environment[&found[1]].clone();
    Ok(VARIABLE.replace_all(text, value).into_owned())
}

/// Stands for the compiler service.
#[derive(Debug)]
pub struct Compiler {
    /// Where packages are written, and dylibs are put.
    pub folder: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
    /// The versions that a package begins with.
    pub lock_file: PathBuf,
    /// What `{{ NAME }}` stands for.
    pub environment: BTreeMap<String, String>,
}

impl Compiler {
    /// The compiler of this repository's UDFs, in the target folder of the running program.
    pub fn of_repository() -> Self {
        let repository = crate::repository();
        let target = crate::target_folder();
        Self {
            folder: target.join("arroyo-udfs"),
            target,
            lock_file: repository.join("udf/arroyo/Cargo.lock"),
            environment: BTreeMap::from([("SIGHTSTREAM_HOME".to_string(), repository.display().to_string())]),
        }
    }

    /// Builds `file`, and gives where its dylib lies: under a name of its own, as Arroyo's store has it. Several processes
    /// may ask at the same time.
    ///
    /// # Errors
    /// If it cannot be built; with what cargo says.
    pub fn build(&self, file: &UdfFile) -> Result<PathBuf, CompileError> {
        let package = self.folder.join("build");
        let source = package.join("src");
        fs::create_dir_all(&source).map_err(CompileError::io(&source))?;
        let lock = self.folder.join("lock");
        let lock = File::create(&lock).map_err(CompileError::io(&lock)).and_then(|file| {
            file.lock().map_err(CompileError::io(&lock))?;
            Ok(file)
        })?;
        write_changed(&package.join("Cargo.toml"), &file.manifest(&self.environment)?)?;
        write_changed(&source.join("lib.rs"), &file.definition)?;
        self.begin_with_lock_file(&package)?;
        self.cargo_build(&package)?;
        let built = self.target.join("release/libudf.so");
        let dylib = self.folder.join(format!("{}.so", file.name));
        // A process may have the last one mapped: it is replaced, not written over.
        let copy = dylib.with_extension("new");
        fs::copy(&built, &copy).map_err(CompileError::io(&built))?;
        fs::rename(&copy, &dylib).map_err(CompileError::io(&dylib))?;
        drop(lock);
        Ok(dylib)
    }

    /// Cargo adds the package itself to its `Cargo.lock`; so the workspace's is put there only when it is another than
    /// last time.
    fn begin_with_lock_file(&self, package: &Path) -> Result<(), CompileError> {
        let begun_with = package.join("begun-with.lock");
        let versions = fs::read(&self.lock_file).map_err(CompileError::io(&self.lock_file))?;
        if fs::read(&begun_with).is_ok_and(|begun| begun == versions) {
            return Ok(());
        }
        let lock_file = package.join("Cargo.lock");
        fs::write(&lock_file, &versions).map_err(CompileError::io(&lock_file))?;
        fs::write(&begun_with, &versions).map_err(CompileError::io(&begun_with))
    }

    fn cargo_build(&self, package: &Path) -> Result<(), CompileError> {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(package).env("CARGO_TARGET_DIR", &self.target);
        cargo.args(["build", "--release", "--message-format=json"]);
        // What cargo tells the tests about their own package is none of this package's business.
        let ours = |name: &str| {
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
                .iter()
                .any(|start| name.starts_with(start))
        };
        for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
            cargo.env_remove(name);
        }
        let output = cargo.output().map_err(CompileError::io(Path::new("cargo")))?;
        if output.status.success() {
            return Ok(());
        }
        let stdout = String::from_utf8_lossy(&output.stdout);
        let messages = stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let errors = messages.filter(|message| message["message"]["level"] == "error");
        let mut told: Vec<String> = errors
            .filter_map(|message| Some(message["message"]["rendered"].as_str()?.to_string()))
            .collect();
        told.push(String::from_utf8_lossy(&output.stderr).into_owned());
        Err(CompileError::Build(told.join("\n")))
    }
}

/// Leaves a file alone that holds `text` already: cargo goes by times.
fn write_changed(path: &Path, text: &str) -> Result<(), CompileError> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(CompileError::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"/*
[dependencies]
library = { path = "{{ HERE }}/library" }
tokio = "1"
*/
use arroyo_udf_plugin::udf;

#[udf(ordered, allowed_in_flight = 7, timeout = "3s")]
async fn twice(text: &str, times: Option<i64>) -> Option<String> {
    None
}
"#;

    fn environment() -> BTreeMap<String, String> {
        BTreeMap::from([("HERE".to_string(), "/somewhere".to_string())])
    }

    #[test]
    fn a_file_is_taken_apart_as_arroyo_does() {
        let file = UdfFile::parse(FILE).expect("it is a UDF");
        assert_eq!(file.name, "twice");
        assert_eq!(
            file.arguments
                .iter()
                .map(|argument| argument.nullable)
                .collect::<Vec<_>>(),
            [false, true]
        );
        assert!(file.options.ordered);
        assert_eq!((file.options.max_concurrency, file.options.timeout.as_secs()), (7, 3));
    }

    #[test]
    fn the_package_has_the_files_dependencies_and_the_plugin() {
        let manifest = UdfFile::parse(FILE)
            .expect("it is a UDF")
            .manifest(&environment())
            .expect("it is TOML");
        let manifest: Table = toml::from_str(&manifest).expect("it is TOML");
        assert_eq!(manifest["package"]["edition"].as_str(), Some("2024"));
        assert_eq!(manifest["lib"]["crate-type"][0].as_str(), Some("cdylib"));
        let dependencies = manifest["dependencies"].as_table().expect("a table");
        assert_eq!(dependencies["library"]["path"].as_str(), Some("/somewhere/library"));
        assert_eq!(dependencies["arroyo-udf-plugin"].as_str(), Some("^0.2.0"));
        assert_eq!(dependencies.len(), 3);
    }

    #[test]
    fn what_arroyo_refuses_is_refused() {
        let error = |text: &str| UdfFile::parse(text).expect_err("it is refused").to_string();
        assert!(error("fn plain() {}").contains("exactly one function"));
        assert!(error(&format!("{FILE}{FILE}")).contains("exactly one function"));
        assert!(error(&FILE.replace("async fn", "fn")).contains("not async"));
        assert!(
            error(&FILE.replace("use arroyo", "/*\n[dependencies]\na = \"1\"\n*/\nuse arroyo"))
                .contains("two comments")
        );
        let unset = UdfFile::parse(FILE).expect("it is a UDF").manifest(&BTreeMap::new());
        assert!(unset.expect_err("HERE is not set").to_string().contains("HERE"));
    }
}
