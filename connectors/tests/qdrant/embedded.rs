//! What is particular to an embedded store: durability, and one process at a time.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sightstream_connectors::qdrant::{PointId, Store};

use crate::support::*;

/// In the environment of a test that was started again as a child process: the folder to work in.
const CHILD: &str = "SIGHTSTREAM_TEST_CHILD_FOLDER";

/// Starts the test `name` again as a process of its own, and waits until it says `ready`.
fn child(name: &str, folder: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let output = child.stdout.as_mut().expect("its output is piped");
    let ready = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("ready"));
    assert!(ready, "the child ended early");
    child
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
    {
        let target = to.join(entry.file_name().expect("a name"));
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            std::fs::copy(&entry, &target).expect("a copy");
        }
    }
}

async fn points(folder: &Path) -> u64 {
    collection(&embedded(folder), "media")
        .await
        .count(&[])
        .await
        .expect("a count")
}

#[tokio::test]
async fn a_folder_copied_between_write_and_flush_loads_with_what_was_flushed() {
    let (folder, copies) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let sink = open(&media(&embedded(folder.path())), &of(space("demo", "abc")))
        .await
        .expect("the sink opens");
    write(sink.as_ref(), &batch(&[("a", "flushed", [1.0, 0.0, 0.0, 0.0])])).await;
    let later = batch(&[
        ("a", "later", [0.0, 1.0, 0.0, 0.0]),
        ("b", "later", [0.0, 1.0, 0.0, 0.0]),
    ]);
    sink.write(&later).await.expect("the batch is written");
    let before = copies.path().join("before");
    copy(folder.path(), &before);
    sink.flush().await.expect("the batch is flushed");
    let after = copies.path().join("after");
    copy(folder.path(), &after);

    let copied = collection(&embedded(&before), "media").await;
    assert_eq!(
        copied.get(&[PointId::from_text("a")]).await.expect("the point").len(),
        1,
        "what was flushed is there"
    );
    let sink = open(&media(&embedded(&before)), &of(space("demo", "abc")))
        .await
        .expect("the copy can be written to");
    write(sink.as_ref(), &later).await;
    for folder in [&before, &after] {
        let copied = collection(&embedded(folder), "media").await;
        assert_eq!(copied.count(&[]).await.expect("a count"), 2);
        let found = copied.get(&[PointId::from_text("a")]).await.expect("the point");
        assert_eq!(found[0].payload["title"], "later");
    }
}

#[tokio::test]
async fn what_was_flushed_survives_kill_9() {
    if let Some(folder) = std::env::var_os(CHILD) {
        let sink = open(&media(&embedded(Path::new(&folder))), &of(space("demo", "abc")))
            .await
            .expect("the sink opens");
        write(sink.as_ref(), &batch(&[("a", "flushed", [1.0, 0.0, 0.0, 0.0])])).await;
        sink.write(&batch(&[("b", "not flushed", [1.0, 0.0, 0.0, 0.0])]))
            .await
            .expect("the batch is written");
        println!("ready");
        loop {
            std::thread::park();
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    for _ in 0..2 {
        let mut child = child("embedded::what_was_flushed_survives_kill_9", folder.path());
        child.kill().expect("the child is killed");
        child.wait().expect("the child is gone");
        let found = collection(&embedded(folder.path()), "media").await;
        let records = found.get(&[PointId::from_text("a")]).await.expect("the point");
        assert_eq!(records[0].payload["title"], "flushed");
    }
    let sink = open(&media(&embedded(folder.path())), &of(space("demo", "abc")))
        .await
        .expect("the sink opens");
    write(sink.as_ref(), &batch(&[("b", "written again", [0.0, 1.0, 0.0, 0.0])])).await;
    assert_eq!(points(folder.path()).await, 2);
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_store() {
    if let Some(folder) = std::env::var_os(CHILD) {
        let _sink = open(&media(&embedded(Path::new(&folder))), &of(space("demo", "abc")))
            .await
            .expect("the sink opens");
        println!("ready");
        loop {
            std::thread::park();
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = child("embedded::a_second_process_is_told_who_has_the_store", folder.path());
    let writing = open(&media(&embedded(folder.path())), &of(space("demo", "abc")))
        .await
        .err()
        .expect("it is locked");
    let reading = Store::open(&embedded(folder.path()), None)
        .await
        .err()
        .expect("it is locked");
    child.kill().expect("the child is killed");
    child.wait().expect("the child is gone");
    for error in [writing.to_string(), reading.to_string()] {
        assert!(error.contains(&format!("process {}", child.id())), "who: {error}");
        assert!(error.contains("only one process at a time"), "what: {error}");
    }
    open(&media(&embedded(folder.path())), &of(space("demo", "abc")))
        .await
        .expect("the lock died with the process");
}

#[tokio::test]
async fn two_tables_of_one_process_share_a_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = table(schema(), &[("url", &embedded(folder.path())), ("collection", "other")]);
    let first = open(&media(&embedded(folder.path())), &of(space("demo", "abc")))
        .await
        .expect("the first opens");
    let second = open(&other, &of(space("demo", "abc"))).await.expect("the second opens");
    write(first.as_ref(), &batch(&[("a", "", [1.0; 4])])).await;
    first.close().await.expect("the first closes");
    drop(first);
    write(second.as_ref(), &batch(&[("b", "", [1.0; 4])])).await;
    assert_eq!(points(folder.path()).await, 1);
    assert_eq!(
        collection(&embedded(folder.path()), "other")
            .await
            .count(&[])
            .await
            .expect("a count"),
        1
    );
}

#[tokio::test]
async fn a_store_can_be_opened_again_as_soon_as_it_is_let_go() {
    let folder = tempfile::tempdir().expect("a folder");
    for run in 0..5 {
        let sink = open(&media(&embedded(folder.path())), &of(space("demo", "abc")))
            .await
            .expect("the sink opens");
        write(sink.as_ref(), &batch(&[(&format!("row {run}"), "", [1.0; 4])])).await;
        sink.close().await.expect("the sink closes");
    }
    assert_eq!(points(folder.path()).await, 5);
}

#[tokio::test]
async fn a_collection_that_was_never_finished_is_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let unfinished = folder.path().join("collections").join("media__abc").join("shard");
    std::fs::create_dir_all(&unfinished).expect("a folder");
    std::fs::write(unfinished.join("edge_config.json"), "{").expect("a file");
    let sink = open(&media(&embedded(folder.path())), &of(space("demo", "abc")))
        .await
        .expect("the sink opens");
    write(sink.as_ref(), &batch(&[("a", "", [1.0; 4])])).await;
    assert_eq!(points(folder.path()).await, 1);
}

#[tokio::test]
async fn the_log_does_not_grow_with_what_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = open(&media(&embedded(folder.path())), &of(space("demo", "abc")))
        .await
        .expect("the sink opens");
    let text = "x".repeat(1 << 20);
    for round in 0..40 {
        write(
            sink.as_ref(),
            &batch(&[(&(round % 8).to_string(), &text, [1.0, round as f32, 0.0, 0.0])]),
        )
        .await;
    }
    // The log is cut after the answer to a flush, which the next flush waits for.
    sink.flush().await.expect("nothing is left to flush");
    let log = folder
        .path()
        .join("collections")
        .join("media__abc")
        .join("shard")
        .join("wal");
    let bytes: u64 = std::fs::read_dir(log)
        .expect("the log")
        .map(|entry| entry.expect("a file").metadata().expect("its size").len())
        .sum();
    assert!(bytes <= 32 << 20, "{bytes} bytes after 40 MiB");
    assert_eq!(points(folder.path()).await, 8);
    let found = collection(&embedded(folder.path()), "media")
        .await
        .get(&[PointId::Number(7)])
        .await
        .expect("the point");
    assert_eq!(found[0].payload["title"].as_str().map(str::len), Some(1 << 20));
}
