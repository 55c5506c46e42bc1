//! Images that move go where videos go, and still ones stay in memory, with their limit.

use std::time::Duration;

use sightstream_model::fetch::{Content, FetchOptions, Fetched, Fetcher, MediaFile};
use sightstream_model::reference::MediaReference;

use crate::library::{Library, Medium};
use crate::server::{bytes, fetch, options};

/// A GIF of so many frames, each with so many bytes of comments behind it.
fn gif(frames: usize, comments: usize) -> Vec<u8> {
    let mut gif = b"GIF89a\x02\0\x02\0\x80\0\0\0\0\0\xFF\xFF\xFF".to_vec();
    for _ in 0..frames {
        gif.extend(b"\x2C\0\0\0\0\x02\0\x02\0\0\x02\x02\x84\x51\0");
        gif.extend(b"\x21\xFE");
        for _ in 0..comments / 256 {
            gif.push(255);
            gif.extend([b'.'; 255]);
        }
        gif.push(0);
    }
    gif.push(0x3B);
    gif
}

fn served(body: Vec<u8>, says_length: bool) -> Medium {
    Medium {
        body,
        media_type: "image/gif",
        says_length,
        path: "/bucket/a.gif",
        ..Medium::video(1000)
    }
}

fn file(fetched: &Fetched) -> &MediaFile {
    match &fetched.content {
        Content::File(file) => file,
        Content::Memory(bytes) => panic!("{} bytes in memory", bytes.len()),
    }
}

#[tokio::test]
async fn one_that_moves_is_fetched_once_and_may_be_as_long_as_a_video() {
    // Past the limit of an image, by the first frame or the fifth.
    for (frames, comments) in [(5, 30_000), (3, 90_000), (2, 0)] {
        for says_length in [true, false] {
            let library = Library::with(served(gif(frames, comments), says_length)).await;
            let fetcher = Fetcher::new(options()).expect("valid options");
            let mut identities = Vec::new();
            for fragment in ["", "#t=0,30", "#t=30,60"] {
                let reference = MediaReference::parse(&library.url(fragment)).expect("a reference");
                let fetched = fetcher.fetch(&reference).await.expect("fetched");
                assert_eq!(bytes(&fetched), library.body());
                identities.push(file(&fetched).identity);
            }
            assert_eq!(library.requests().len(), 1, "{frames}, {comments}");
            identities.dedup();
            assert_eq!(identities.len(), 1);
        }
    }
}

#[tokio::test]
async fn one_that_breaks_off_goes_on_where_it_did() {
    let library = Library::with(served(gif(6, 60_000), true)).await;
    library.change(|medium| medium.breaks_after = Some(200_000));
    let fetched = fetch(options(), &library.url("")).await.expect("fetched");
    assert_eq!(bytes(&fetched), library.body());
    assert!(matches!(fetched.content, Content::File(_)));
    let requests = library.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].contains("range: bytes="), "{requests:?}");
}

#[tokio::test]
async fn a_still_one_stays_in_memory_within_its_limit() {
    for says_length in [true, false] {
        let library = Library::with(served(gif(1, 60_000), says_length)).await;
        let fetched = fetch(options(), &library.url("")).await.expect("fetched");
        assert_eq!(bytes(&fetched), library.body());
        assert!(matches!(fetched.content, Content::Memory(_)));

        library.requests();
        library.change(|medium| medium.body = gif(1, 400_000));
        let error = fetch(options(), &library.url("")).await.expect_err("it is too large");
        assert_eq!(error.reason(), "too_large");
        assert!(error.to_string().contains("100000"), "{error}");
        assert_eq!(library.requests().len(), 1, "it is not tried again");
    }
}

#[tokio::test]
async fn those_who_ask_for_a_still_one_together_all_get_it() {
    let library = Library::with(served(gif(1, 60_000), true)).await;
    library.change(|medium| medium.pause = Duration::from_millis(50));
    let fetcher = Fetcher::new(options()).expect("valid options");
    let reference = MediaReference::parse(&library.url("")).expect("a reference");
    let all = futures::future::join_all((0..4).map(|_| fetcher.fetch(&reference))).await;
    for fetched in all {
        assert_eq!(bytes(&fetched.expect("fetched")), library.body());
    }
}

#[tokio::test]
async fn files_and_data_are_told_apart_too() {
    let small = |folder: &std::path::Path| FetchOptions {
        max_bytes: 100,
        allow_directories: vec![folder.to_owned()],
        ..FetchOptions::default()
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.gif");
    let name = path.to_str().expect("UTF-8");
    for (frames, comments, expected) in [(2, 1000, Ok(true)), (1, 0, Ok(false)), (1, 1000, Err("too_large"))] {
        std::fs::write(&path, gif(frames, comments)).expect("written");
        let fetched = fetch(small(folder.path()), name).await;
        let in_file = fetched.map(|fetched| matches!(fetched.content, Content::File(_)));
        assert_eq!(
            in_file.map_err(|error| error.reason()),
            expected,
            "{frames}, {comments}"
        );
    }
    for (frames, expected) in [(2, true), (1, false)] {
        let encoded: String = gif(frames, 0).iter().map(|byte| format!("%{byte:02X}")).collect();
        let fetched = fetch(options(), &format!("data:image/gif,{encoded}"))
            .await
            .expect("fetched");
        assert_eq!(bytes(&fetched), gif(frames, 0));
        assert_eq!(matches!(fetched.content, Content::File(_)), expected, "{frames}");
    }
}
