//! Videos and documents go to a cache on the disk: fetched once for all who ask, and kept for a while.

use std::time::Duration;

use futures::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;
use sightstream_model::error::MediaError;
use sightstream_model::fetch::{Content, FetchOptions, Fetched, Fetcher, MediaFile};
use sightstream_model::reference::MediaReference;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::library::{Library, Medium};
use crate::server::{bytes, options};

const MIB: usize = 1 << 20;

fn fetcher(options: FetchOptions) -> Fetcher {
    Fetcher::new(options).expect("valid options")
}

async fn fetch(fetcher: &Fetcher, url: &str) -> Result<Fetched, MediaError> {
    fetcher.fetch(&MediaReference::parse(url).expect(url)).await
}

fn spawned(fetcher: &Fetcher, url: String) -> JoinHandle<Result<Fetched, MediaError>> {
    let fetcher = fetcher.clone();
    tokio::spawn(async move { fetch(&fetcher, &url).await })
}

fn file(fetched: &Fetched) -> &MediaFile {
    match &fetched.content {
        Content::File(file) => file,
        Content::Memory(bytes) => panic!("{} bytes in memory", bytes.len()),
    }
}

/// Nothing that is there is used without asking, unless somebody holds it.
fn always_asking() -> FetchOptions {
    FetchOptions {
        cache_fresh_for: Duration::ZERO,
        ..options()
    }
}

/// Long enough to see that nothing happens.
const A_WHILE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_video_is_fetched_once_for_all_its_windows() {
    let library = Library::with(Medium::video(3 * MIB)).await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let told = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let fetcher = fetcher(options());
    let windows: Vec<String> = (0..240)
        .map(|window| library.url(&format!("#t={},{}", window * 30, window * 30 + 30)))
        .collect();
    let fetched = join_all(windows.iter().map(|url| fetch(&fetcher, url))).await;
    let fetched: Vec<Fetched> = fetched
        .into_iter()
        .map(|fetched| fetched.expect("it is there"))
        .collect();
    assert_eq!(library.requests().len(), 1);
    assert_eq!(bytes(&fetched[239]), library.body());
    let first = file(&fetched[0]);
    assert!(fetched.iter().all(|other| file(other).identity == first.identity));
    assert_eq!(fetched[7].media_type.as_deref(), Some("video/x-matroska"));
    drop(fetched);
    fetch(&fetcher, &windows[0]).await.expect("it is there");
    assert_eq!(library.requests().len(), 0, "it is used for a while");
    let told = told.render();
    for line in [
        "sightstream_cache_requests_total{outcome=\"miss\"} 1\n",
        "sightstream_cache_requests_total{outcome=\"hit\"} 240\n",
        "sightstream_cache_bytes 3145728\n",
        "sightstream_fetch_bytes_total 3145728\n",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
}

#[tokio::test]
async fn after_a_while_it_is_asked_whether_a_medium_has_changed() {
    let library = Library::with(Medium::video(MIB)).await;
    let fetcher = fetcher(always_asking());
    let first = fetch(&fetcher, &library.url("")).await.expect("it is there");
    library.requests();
    let same = fetch(&fetcher, &library.url("")).await.expect("it is there");
    assert_eq!(library.requests().len(), 0, "somebody holds it");
    let identity = file(&first).identity;
    drop((first, same));

    let same = fetch(&fetcher, &library.url("")).await.expect("it is there");
    let asked = library.requests();
    assert!(
        asked.len() == 1 && asked[0].contains("if-none-match: \"first\"\r\n"),
        "{asked:?}"
    );
    assert_eq!((file(&same).identity, bytes(&same).len()), (identity, MIB));
    drop(same);

    library.change(|medium| {
        medium.body[1000..].fill(9);
        medium.etag = Some("\"second\"");
    });
    let other = fetch(&fetcher, &library.url("")).await.expect("it is there");
    assert_eq!(bytes(&other), library.body());
    assert_ne!(file(&other).identity, identity);
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_did() {
    let library = Library::with(Medium {
        breaks_after: Some(2 * MIB),
        ..Medium::video(3 * MIB)
    })
    .await;
    let fetched = fetch(&fetcher(options()), &library.url("")).await.expect("it is there");
    assert_eq!(bytes(&fetched), library.body());
    let asked = library.requests();
    assert_eq!(asked.len(), 2);
    assert!(
        asked[1].contains("range: bytes=2") && asked[1].contains("if-range: \"first\"\r\n"),
        "{asked:?}"
    );
    assert_eq!(library.sent(), 3 * MIB);
}

#[tokio::test]
async fn a_download_of_what_changed_or_cannot_be_told_from_another_begins_anew() {
    for etag in [Some("\"second\""), Some("W/\"first\""), None] {
        let library = Library::with(Medium {
            breaks_after: Some(MIB),
            etag: etag.filter(|etag| *etag != "\"second\""),
            pause: Duration::from_millis(10),
            ..Medium::video(2 * MIB)
        })
        .await;
        let fetcher = fetcher(options());
        let task = spawned(&fetcher, library.url(""));
        while library.sent() < MIB / 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        library.change(|medium| {
            medium.body[1000..].fill(9);
            medium.etag = etag;
        });
        let fetched = task.await.expect("no panic").expect("it is there");
        assert!(bytes(&fetched) == library.body(), "{etag:?}");
        assert_eq!(library.requests().len(), 2);
    }
}

#[tokio::test]
async fn who_waits_goes_on_with_what_another_gave_up() {
    let library = Library::with(Medium {
        pause: Duration::from_millis(10),
        ..Medium::video(4 * MIB)
    })
    .await;
    let fetcher = fetcher(options());
    let first = spawned(&fetcher, library.url("#t=0,30"));
    while library.sent() < 2 * MIB {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let waiting: Vec<_> = (1..4).map(|_| spawned(&fetcher, library.url("#t=30,60"))).collect();
    tokio::task::yield_now().await;
    first.abort();
    for task in waiting {
        let fetched = task.await.expect("no panic").expect("it is there");
        assert!(bytes(&fetched) == library.body());
    }
    let asked = library.requests();
    assert!(asked.len() == 2 && asked[1].contains("range: bytes="), "{asked:?}");
}

#[tokio::test]
async fn what_everybody_gave_up_takes_no_room() {
    let library = Library::with(Medium {
        pause: Duration::from_millis(20),
        ..Medium::video(4 * MIB)
    })
    .await;
    let fetcher = fetcher(FetchOptions {
        cache_bytes: 4 * MIB as u64,
        ..options()
    });
    let tasks: Vec<_> = (0..3).map(|_| spawned(&fetcher, library.url(""))).collect();
    while library.sent() < MIB {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tasks.iter().for_each(JoinHandle::abort);
    library.change(|medium| medium.pause = Duration::ZERO);
    let other = fetch(&fetcher, &library.url("?other")).await.expect("there is room");
    assert_eq!(bytes(&other), library.body());
}

#[tokio::test]
async fn a_failure_is_told_to_all_who_waited_each_by_its_own_name() {
    let library = Library::with(Medium::video(MIB)).await;
    let fetcher = fetcher(options());
    let urls: Vec<String> = (0..20)
        .map(|page| format!("http://{}/missing.pdf#page={}", library.address, page + 1))
        .collect();
    let errors = join_all(urls.iter().map(|url| fetch(&fetcher, url))).await;
    for (error, url) in errors.into_iter().zip(&urls) {
        let error = error.expect_err("missing");
        assert_eq!(error.reason(), "not_found");
        assert!(error.to_string().starts_with(&format!("{url}: ")), "{error}");
    }
    assert_eq!(library.requests().len(), 1);
    fetch(&fetcher, &urls[0]).await.expect_err("missing");
    assert_eq!(library.requests().len(), 1, "who comes later asks again");
}

#[tokio::test]
async fn images_stay_in_memory_and_each_is_asked_for() {
    let library = Library::with(Medium {
        body: b"\x89PNG\r\n\x1a\n and so on".to_vec(),
        media_type: "image/png",
        ..Medium::video(1000)
    })
    .await;
    let fetcher = fetcher(options());
    let urls = vec![library.url(""); 5];
    for fetched in join_all(urls.iter().map(|url| fetch(&fetcher, url))).await {
        let fetched = fetched.expect("it is there");
        assert!(matches!(fetched.content, Content::Memory(_)));
        assert_eq!(bytes(&fetched), library.body());
    }
    assert_eq!(library.requests().len(), 5);
}

#[tokio::test]
async fn a_full_cache_is_waited_for_until_others_let_go() {
    for says_length in [true, false] {
        let library = Library::with(Medium {
            says_length,
            ..Medium::video(2 * MIB)
        })
        .await;
        let fetcher = fetcher(FetchOptions {
            cache_bytes: 3 * MIB as u64,
            ..options()
        });
        let held = fetch(&fetcher, &library.url("")).await.expect("there is room");
        let mut waiting = spawned(&fetcher, library.url("?second"));
        assert!(timeout(A_WHILE, &mut waiting).await.is_err(), "the first is held");
        drop(held);
        let second = waiting.await.expect("no panic").expect("there is room");
        assert_eq!(bytes(&second), library.body());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_that_together_have_no_room_come_one_after_the_other() {
    for says_length in [true, false] {
        let library = Library::with(Medium {
            says_length,
            pause: Duration::from_millis(1),
            ..Medium::video(2 * MIB)
        })
        .await;
        let fetcher = fetcher(FetchOptions {
            cache_bytes: 2 * MIB as u64 + 100,
            ..options()
        });
        let all = (0..6).map(|number| spawned(&fetcher, library.url(&format!("?{number}"))));
        let all = join_all(all.map(|task| async {
            let fetched = task.await.expect("no panic").expect("there is room in the end");
            assert_eq!(file(&fetched).length, 2 * MIB as u64);
        }));
        timeout(Duration::from_secs(60), all)
            .await
            .expect("none waits for ever");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_the_limit_that_it_passes() {
    for says_length in [true, false] {
        let library = Library::with(Medium {
            says_length,
            ..Medium::video(2 * MIB)
        })
        .await;
        let refused = async |options| {
            let error = fetch(&fetcher(options), &library.url("")).await.expect_err("too large");
            assert_eq!(error.reason(), "too_large");
            error.to_string()
        };
        let told = refused(FetchOptions {
            max_file_bytes: MIB as u64,
            ..options()
        })
        .await;
        assert!(
            told.ends_with("the limit for videos and documents is 1048576 (--max-file-bytes)"),
            "{told}"
        );
        let told = refused(FetchOptions {
            cache_bytes: MIB as u64,
            ..options()
        })
        .await;
        assert!(
            told.ends_with("the cache that it has to go to holds 1048576 bytes (--cache-bytes)"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_video_may_take_longer_than_an_image_and_not_for_ever() {
    let library = Library::with(Medium {
        pause: Duration::from_millis(50),
        ..Medium::video(MIB)
    })
    .await;
    let short = FetchOptions {
        total_timeout: Duration::from_millis(200),
        ..options()
    };
    let fetched = fetch(&fetcher(short.clone()), &library.url("")).await.expect("in time");
    assert_eq!(bytes(&fetched), library.body());
    let error = fetch(
        &fetcher(FetchOptions {
            file_timeout: Duration::from_millis(400),
            ..short
        }),
        &library.url(""),
    )
    .await
    .expect_err("it takes 800 ms");
    assert!(
        error.to_string().ends_with("timed out: not complete after 400ms"),
        "{error}"
    );
}

#[tokio::test]
async fn a_document_in_a_reference_goes_to_a_file_too() {
    let fetcher = fetcher(options());
    let url = format!("data:application/pdf,%25PDF-1.7{}", "%20".repeat(2000));
    let first = fetch(&fetcher, &url).await.expect("it is there");
    let second = fetch(&fetcher, &format!("{url}#page=2")).await.expect("it is there");
    assert_eq!(file(&first).identity, file(&second).identity);
    assert!(bytes(&first).starts_with(b"%PDF-1.7   "));
    assert_eq!(first.media_type.as_deref(), Some("application/pdf"));
}

#[tokio::test]
async fn objects_are_kept_asked_about_and_completed_as_well() {
    let library = Library::with(Medium {
        breaks_after: Some(MIB),
        ..Medium::video(2 * MIB)
    })
    .await;
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let fetcher = fetcher(FetchOptions {
        object_store: vec![
            setting("aws_endpoint", &format!("http://{}", library.address)),
            setting("aws_allow_http", "true"),
            setting("aws_access_key_id", "key"),
            setting("aws_secret_access_key", "s3cret"),
        ],
        ..always_asking()
    });
    let fetched = fetch(&fetcher, "s3://bucket/video.mkv#t=0,30")
        .await
        .expect("it is there");
    assert_eq!(bytes(&fetched), library.body());
    let asked = library.requests();
    assert!(asked.len() == 2 && asked[1].contains("range: bytes=") && asked[1].contains("if-match: \"first\""));
    assert_eq!(library.sent(), 2 * MIB);
    let identity = file(&fetched).identity;
    drop(fetched);
    let same = fetch(&fetcher, "s3://bucket/video.mkv").await.expect("it is there");
    let asked = library.requests();
    assert!(
        asked.len() == 1 && asked[0].contains("if-none-match: \"first\"\r\n"),
        "{asked:?}"
    );
    assert_eq!((file(&same).identity, library.sent()), (identity, 2 * MIB));
}

#[test]
fn a_directory_that_cannot_be_used_is_refused() {
    let refused = Fetcher::new(FetchOptions {
        cache_directory: Some("/no/such/directory".into()),
        ..options()
    });
    let told = refused.err().expect("it is refused").to_string();
    assert!(told.starts_with("cache_directory: /no/such/directory: "), "{told}");
}
