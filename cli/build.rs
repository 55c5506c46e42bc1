//! Tells the command what the Arroyo plugin is built from: Arroyo builds a function again only if its text changes, so the text
//! that `sightstream deploy` registers holds a hash of the plugin's sources.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What the plugin is built from, below the repository's root.
const SOURCES: [&str; 9] = [
    "Cargo.toml",
    "model/Cargo.toml",
    "model/demo",
    "model/src",
    "settings/Cargo.toml",
    "settings/src",
    "udf/arroyo/Cargo.lock",
    "udf/arroyo/Cargo.toml",
    "udf/arroyo/src",
];

/// How much of the hash is kept, in bytes.
const KEPT: usize = 8;

fn main() -> std::io::Result<()> {
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let root = package.join("..");
    let mut hash = Sha256::new();
    for source in SOURCES {
        let path = root.join(source);
        if !path.exists() {
            continue;
        }
        println!("cargo::rerun-if-changed={}", path.display());
        let mut files = Vec::new();
        collect(&path, &mut files)?;
        files.sort();
        for file in files {
            let name = file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().into_owned();
            let bytes = std::fs::read(&file)?;
            hash.update(format!("{name}\n{}\n", bytes.len()));
            hash.update(bytes);
        }
    }
    let hex: String = hash.finalize()[..KEPT]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    println!("cargo::rustc-env=SIGHTSTREAM_PLUGIN_SOURCES={hex}");
    Ok(())
}

/// The files at and below `path`.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else {
        files.push(path.to_path_buf());
    }
    Ok(())
}
