//! Files and `data:` URLs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sightstream_model::error::MediaError;
use sightstream_model::fetch::{Content, FetchOptions, Fetched, Fetcher};

use crate::server::{bytes, fetch};

/// Eight bytes, of files anywhere.
fn small() -> FetchOptions {
    below(Path::new("/"))
}

/// Eight bytes, of files below `directory`.
fn below(directory: &Path) -> FetchOptions {
    FetchOptions {
        max_bytes: 8,
        allow_directories: vec![directory.to_owned()],
        ..FetchOptions::default()
    }
}

async fn fetch_below(directory: &Path, path: impl AsRef<Path>) -> Result<Fetched, MediaError> {
    fetch(below(directory), path.as_ref().to_str().expect("UTF-8")).await
}

/// A temporary folder with `allowed/a.png`, and `secret.png` beside it. No link leads to it.
fn house() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = fs::canonicalize(folder.path()).expect("it is there");
    fs::create_dir(root.join("allowed")).expect("a new folder");
    fs::write(root.join("allowed/a.png"), b"inside").expect("written");
    fs::write(root.join("secret.png"), b"secret").expect("written");
    (folder, root)
}

#[tokio::test]
async fn a_file_comes_with_the_media_type_of_its_extension() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a cat #1.PNG");
    std::fs::write(&path, b"12345678").expect("written");
    let path = path.to_str().expect("UTF-8");
    for reference in [
        path.to_owned(),
        format!("file://{}", path.replace(' ', "%20").replace('#', "%23")),
    ] {
        let fetched = fetch(small(), &reference).await.expect("fetched");
        assert_eq!(
            (&bytes(&fetched)[..], fetched.media_type.as_deref()),
            (&b"12345678"[..], Some("image/png"))
        );
    }
}

#[tokio::test]
async fn what_is_no_readable_file_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    std::fs::write(at("large.png"), b"123456789").expect("written");
    let reason = async |reference: String| {
        let error = fetch(small(), &reference).await.expect_err(&reference);
        assert!(error.to_string().starts_with(&reference), "{error}");
        assert!(!error.is_transient());
        error.reason()
    };
    assert_eq!(reason(at("missing.png")).await, "not_found");
    assert_eq!(reason(at("large.png/below")).await, "not_found");
    assert_eq!(reason(at("large.png")).await, "too_large");
    assert_eq!(reason(at("")).await, "unsupported");
    assert_eq!(reason("/dev/zero".into()).await, "unsupported");
    assert_eq!(reason("x".repeat(5000)).await, "invalid_reference");
}

#[tokio::test]
async fn files_are_read_below_the_allowed_directories_alone() {
    let (_folder, root) = house();
    let allowed = root.join("allowed");
    assert_eq!(
        bytes(&fetch_below(&allowed, allowed.join("a.png")).await.expect("inside")),
        "inside"
    );
    assert_eq!(
        bytes(
            &fetch_below(&allowed, root.join("allowed/../allowed/./a.png"))
                .await
                .expect("inside, in the end")
        ),
        "inside"
    );
    for outside in [
        root.join("secret.png"),
        allowed.join("../secret.png"),
        root.join("missing.png"),
        allowed.join("../missing.png"),
        root.clone(),
        "/etc/passwd".into(),
        "/dev/zero".into(),
        "/proc/self/environ".into(),
    ] {
        let error = fetch_below(&allowed, &outside).await.expect_err("outside");
        assert_eq!(error.reason(), "not_allowed", "{error}");
        assert!(error.to_string().contains("--allow-directory"), "{error}");
    }
    // A name that begins alike is another directory.
    fs::create_dir(root.join("allowed-not")).expect("a new folder");
    fs::write(root.join("allowed-not/a.png"), b"x").expect("written");
    let error = fetch_below(&allowed, root.join("allowed-not/a.png"))
        .await
        .expect_err("outside");
    assert_eq!(error.reason(), "not_allowed");
    let none = FetchOptions {
        allow_directories: vec![],
        ..FetchOptions::default()
    };
    let error = fetch(none, "a.png").await.expect_err("none is allowed").to_string();
    assert_eq!(
        error,
        "a.png: not allowed: no directory is allowed; --allow-directory DIR allows another"
    );
}

#[tokio::test]
async fn a_link_is_judged_by_where_it_leads() {
    let (_folder, root) = house();
    let allowed = root.join("allowed");
    let link = |to: PathBuf, name: &str| symlink(to, allowed.join(name)).expect("a link");
    link("../secret.png".into(), "out.png");
    link(root.join("secret.png"), "absolute.png");
    link(root.clone(), "up");
    link("/proc/self/root".into(), "magic");
    link("a.png".into(), "in.png");
    link(allowed.clone(), "self");
    for outside in [
        "out.png",
        "absolute.png",
        "up/secret.png",
        "magic/etc/passwd",
        "self/../secret.png",
    ] {
        let error = fetch_below(&allowed, allowed.join(outside)).await.expect_err(outside);
        assert_eq!(error.reason(), "not_allowed", "{error}");
    }
    for inside in ["in.png", "self/a.png", "up/allowed/a.png"] {
        let fetched = fetch_below(&allowed, allowed.join(inside)).await.expect(inside);
        assert_eq!(bytes(&fetched), "inside");
    }
    // The allowed directory may be a link itself, and be turned to another place.
    let current = root.join("current");
    symlink(&allowed, &current).expect("a link");
    assert_eq!(
        bytes(&fetch_below(&current, current.join("a.png")).await.expect("inside")),
        "inside"
    );
    link("circle".into(), "circle");
    let error = fetch_below(&allowed, allowed.join("circle"))
        .await
        .expect_err("a circle");
    assert!(error.to_string().ends_with("links lead in a circle"), "{error}");
}

#[tokio::test]
async fn a_file_is_read_and_nothing_that_could_wait_or_never_end() {
    let (_folder, root) = house();
    let fifo = root.join("pipe.png");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .expect("a named pipe");
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket.png")).expect("a socket");
    for (path, kind) in [
        (fifo, "a named pipe"),
        (root.join("socket.png"), "a socket"),
        ("/dev/zero".into(), "a device"),
        (root, "a directory"),
    ] {
        let fetched = tokio::time::timeout(Duration::from_secs(60), fetch_below(Path::new("/"), &path)).await;
        let error = fetched.expect("it does not wait").expect_err("no file");
        assert_eq!(
            error.to_string(),
            format!("{}: not supported: it is {kind}", path.display())
        );
    }
}

#[test]
fn an_allowed_directory_that_is_none_is_told() {
    let (_folder, root) = house();
    for (path, part) in [("missing", "No such file"), ("secret.png", "it is no directory")] {
        let error = Fetcher::new(below(&root.join(path)))
            .err()
            .expect("refused")
            .to_string();
        assert!(
            error.starts_with("allow_directory: ") && error.contains(part),
            "{error}"
        );
    }
}

/// Files under /proc say that they are empty, so the limit cannot rest on what a file says.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_hides_its_size_is_still_limited() {
    assert_eq!(
        fetch(small(), "/proc/self/maps").await.expect_err("too large").reason(),
        "too_large"
    );
}

#[tokio::test]
async fn a_data_url_is_its_own_content_and_is_limited() {
    let fetched = fetch(small(), "data:text/plain;charset=utf-8,red%20%C3%A9")
        .await
        .expect("fetched");
    assert_eq!(bytes(&fetched), "red é");
    assert_eq!(fetched.media_type.as_deref(), Some("text/plain;charset=utf-8"));
    let error = fetch(small(), "data:,123456789").await.expect_err("too large");
    assert_eq!(error.to_string(), "data:,123456789: too large: 9 bytes; the limit is 8");
}

#[tokio::test]
async fn a_document_is_opened_where_it_lies_and_known_by_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.txt");
    let document = |length: usize| format!("%PDF-1.7{}", " ".repeat(length));
    fs::write(&path, document(200_000)).expect("a new file");
    let file = async || {
        let fetched = fetch_below(folder.path(), &path).await.expect("it is there");
        match fetched.content {
            Content::File(file) => file,
            Content::Memory(_) => panic!("it is in memory"),
        }
    };
    let (first, second) = (file().await, file().await);
    assert_eq!(first.identity, second.identity);
    assert_eq!(first.length, 200_008);
    fs::write(&path, document(200_000)).expect("it can be written to");
    assert_ne!(file().await.identity, first.identity, "it may be another content");

    let options = FetchOptions {
        max_file_bytes: 100_000,
        allow_directories: vec![folder.path().to_owned()],
        ..FetchOptions::default()
    };
    let error = fetch(options, path.to_str().expect("UTF-8"))
        .await
        .expect_err("too large");
    assert!(
        error
            .to_string()
            .ends_with("too large: 200008 bytes; the limit for videos and documents is 100000 (--max-file-bytes)"),
        "{error}"
    );
}
