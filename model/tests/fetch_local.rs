//! Files and `data:` URLs.

use sightstream_model::error::MediaError;
use sightstream_model::fetch::{FetchOptions, Fetched, Fetcher};
use sightstream_model::reference::MediaReference;

async fn fetch(options: FetchOptions, reference: &str) -> Result<Fetched, MediaError> {
    let fetcher = Fetcher::new(options).expect("valid options");
    fetcher.fetch(&MediaReference::parse(reference).expect(reference)).await
}

fn small() -> FetchOptions {
    FetchOptions {
        max_bytes: 8,
        ..FetchOptions::default()
    }
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
            (&fetched.bytes[..], fetched.media_type.as_deref()),
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
    assert_eq!(fetched.bytes, "red é");
    assert_eq!(fetched.media_type.as_deref(), Some("text/plain;charset=utf-8"));
    let error = fetch(small(), "data:,123456789").await.expect_err("too large");
    assert_eq!(error.to_string(), "data:,123456789: too large: 9 bytes; the limit is 8");
}
