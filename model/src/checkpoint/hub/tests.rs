use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use hf_hub::HFClient;

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub on the loopback that has the files of one directory as `owner/kit`. Gives its address.
fn hub(directory: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(&stream, Path::new(directory)));
        }
    });
    address
}

fn answer(mut stream: &TcpStream, directory: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let file = path
        .strip_prefix("/owner/kit/resolve/")
        .and_then(|rest| rest.split_once('/'));
    let content = file.and_then(|(_, file)| std::fs::read(directory.join(file)).ok());
    match content {
        Some(content) => {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Repo-Commit: {COMMIT}\r\nETag: \"{}\"\r\nContent-Length: {}\r\n\r\n",
                file.map(|(_, file)| file.replace('.', "-")).unwrap_or_default(),
                content.len()
            )?;
            if method == "GET" {
                stream.write_all(&content)
            } else {
                Ok(())
            }
        }
        None => write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nConnection: close\r\nX-Error-Code: EntryNotFound\r\nX-Repo-Commit: {COMMIT}\r\n\
             Content-Length: 0\r\n\r\n"
        ),
    }
}

fn client(endpoint: &str, cache: &Path) -> HFClientSync {
    let builder = HFClient::builder()
        .endpoint(endpoint)
        .cache_dir(cache)
        .retry_max_attempts(1);
    builder.build_sync().expect("a client")
}

/// Remembers the most that was told of each file.
#[derive(Default)]
struct Recorded(Mutex<HashMap<String, (u64, u64)>>);

impl DownloadProgress for Recorded {
    fn bytes(&self, file: &str, done: u64, total: u64) {
        let mut files = self.0.lock().expect("no panic");
        let most = files.entry(file.to_string()).or_default();
        *most = (*most).max((done, total));
    }
}

#[test]
fn a_checkpoint_comes_from_the_hub_with_progress_and_later_from_the_cache_without_it() {
    let kit = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/wide_heads");
    let cache = tempfile::tempdir().expect("a temporary directory");
    let id = HubId::parse("owner/kit").expect("valid");
    let recorded = Arc::new(Recorded::default());
    let directory = download_with(
        client(&hub(kit), cache.path()),
        &id,
        Wanted::Checkpoint,
        recorded.clone(),
    )
    .expect("downloaded");
    for entry in std::fs::read_dir(kit).expect("readable") {
        let file = entry.expect("readable").file_name();
        if file == "cases.json" || file == "reference.safetensors" {
            assert!(!directory.join(&file).exists(), "{file:?} is no part of a checkpoint");
            continue;
        }
        let (ours, theirs) = (
            std::fs::read(directory.join(&file)),
            std::fs::read(Path::new(kit).join(&file)),
        );
        assert_eq!(ours.expect("downloaded"), theirs.expect("readable"), "{file:?}");
    }
    let shard = "model-00001-of-00003.safetensors";
    let size = std::fs::metadata(Path::new(kit).join(shard)).expect("readable").len();
    assert_eq!(recorded.0.lock().expect("no panic").get(shard), Some(&(size, size)));

    // Port 9 (discard) refuses connections: a hub that cannot be reached.
    let offline = download_with(
        client("http://127.0.0.1:9", cache.path()),
        &id,
        Wanted::Checkpoint,
        Arc::new(LogProgress::default()),
    );
    assert_eq!(offline.expect("cached"), directory);
    let alone = client("http://127.0.0.1:9", cache.path());
    assert_eq!(
        cached_with(alone.clone(), &id, Wanted::Checkpoint),
        Some(directory.clone())
    );
    let unknown = HubId::parse("owner/other").expect("valid");
    assert_eq!(cached_with(alone, &unknown, Wanted::Checkpoint), None);
    let error = download_with(
        client("http://127.0.0.1:9", cache.path()),
        &unknown,
        Wanted::Checkpoint,
        Arc::new(LogProgress::default()),
    );
    let error = error.expect_err("neither here nor there").to_string();
    assert!(
        error.contains("owner/other") && error.contains("give the path of its directory"),
        "{error}"
    );
}

#[test]
fn an_adapter_comes_from_the_hub_and_is_no_model() {
    let kit = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/adapters/lora");
    let cache = tempfile::tempdir().expect("a temporary directory");
    let id = HubId::parse("owner/kit").expect("valid");
    let get = |wanted| {
        let progress = Arc::new(LogProgress::default());
        download_with(client(&hub(kit), cache.path()), &id, wanted, progress)
    };
    let directory = get(Wanted::Adapter).expect("downloaded");
    for file in [adapter::CONFIG, adapter::TENSORS] {
        let theirs = std::fs::read(Path::new(kit).join(file)).expect("readable");
        assert_eq!(
            std::fs::read(directory.join(file)).expect("downloaded"),
            theirs,
            "{file}"
        );
    }
    let error = get(Wanted::Checkpoint).expect_err("no model").to_string();
    assert!(error.contains("--adapter owner/kit"), "{error}");
}

#[test]
fn a_model_that_the_hub_does_not_have_is_an_error_that_names_it() {
    let cache = tempfile::tempdir().expect("a temporary directory");
    let hub = hub(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/media"));
    let id = HubId::parse("owner/kit").expect("valid");
    let nowhere = Arc::new(LogProgress::default());
    let error = download_with(client(&hub, cache.path()), &id, Wanted::Checkpoint, nowhere);
    let error = error.expect_err("not there").to_string();
    assert!(error.contains("owner/kit") && error.contains("config.json"), "{error}");
}

#[test]
fn a_hub_id_is_an_owner_a_name_and_perhaps_a_revision() {
    let id = HubId::parse("Qwen/Qwen2-VL-2B-Instruct").expect("valid");
    assert_eq!(
        (id.owner.as_str(), id.name.as_str(), id.revision),
        ("Qwen", "Qwen2-VL-2B-Instruct", None)
    );
    let id = HubId::parse("a/b.c@refs/pr/1").expect("valid");
    assert_eq!((id.name.as_str(), id.revision.as_deref()), ("b.c", Some("refs/pr/1")));
    for not_an_id in ["", "name", "./a", "../b", "/a/b", "a/b/c", "a/b@", "a b/c", "~/models"] {
        assert_eq!(HubId::parse(not_an_id), None, "{not_an_id}");
    }
}
