//! Appending lines, writing parts, and standard output.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sightstream_connectors::format::JsonOptions;
use sightstream_connectors::stdout::StdoutSink;
use sightstream_connectors::{ConnectorError, Sink, SinkContext, open_sink};
use tempfile::TempDir;

use crate::kit::{epochs, ids, parts, rows, table};

#[tokio::test]
async fn lines_are_appended_and_what_a_crash_cut_short_is_taken_off() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("deep/out.jsonl");
    let out = table("single_file", "sink", &path, "json");
    let sink = open_sink(&out, &SinkContext::default()).await.expect("the sink opens");
    assert_eq!(sink.write(&rows(&["a", "b"])).await.expect("the rows are taken"), []);
    sink.close().await.expect("the rows are durable");
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(b"{\"id\":\"cut sh"))
        .expect("the file can be written");
    let sink = open_sink(&out, &SinkContext::default())
        .await
        .expect("the sink opens again");
    sink.write(&rows(&["c"])).await.expect("the row is taken");
    sink.flush().await.expect("the row is durable");
    assert_eq!(
        fs::read_to_string(&path).expect("the file is there"),
        "{\"id\":\"a\",\"n\":0}\n{\"id\":\"b\",\"n\":1}\n{\"id\":\"c\",\"n\":0}\n"
    );
}

#[tokio::test]
async fn rows_of_an_epoch_that_was_given_up_are_not_in_a_later_part() {
    let directory = TempDir::new().expect("a directory");
    let out = table("filesystem", "sink", directory.path(), "json");
    let sink = open_sink(&out, &SinkContext::default()).await.expect("the sink opens");
    sink.write(&rows(&["given up"])).await.expect("the row is taken");
    sink.discard().await;
    sink.write(&rows(&["kept"])).await.expect("the row is taken");
    sink.close().await.expect("the row is durable");
    let parts: Vec<_> = fs::read_dir(directory.path()).expect("it is there").collect();
    let [part] = parts.try_into().expect("one part");
    let text = fs::read_to_string(part.expect("it can be read").path()).expect("it can be read");
    assert_eq!(text, "{\"id\":\"kept\",\"n\":0}\n");
}

#[tokio::test]
async fn a_last_line_that_is_no_row_is_left_as_it_is() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("notes.txt");
    fs::write(&path, "a note\nanother, without an end").expect("the file can be written");
    let sink = open_sink(&table("single_file", "sink", &path, "json"), &SinkContext::default()).await;
    let sink = sink.expect("the sink opens");
    sink.write(&rows(&["a"])).await.expect("the row is taken");
    sink.close().await.expect("the row is durable");
    let text = fs::read_to_string(&path).expect("it is there");
    assert_eq!(text, "a note\nanother, without an end\n{\"id\":\"a\",\"n\":0}\n");
}

#[tokio::test]
async fn a_last_line_that_is_whole_is_kept() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("out.jsonl");
    fs::write(&path, "{\"id\":\"mine\"}").expect("the file can be written");
    let sink = open_sink(&table("single_file", "sink", &path, "json"), &SinkContext::default()).await;
    let sink = sink.expect("the sink opens");
    sink.write(&rows(&["a"])).await.expect("the row is taken");
    sink.close().await.expect("the row is durable");
    assert_eq!(
        fs::read_to_string(&path).expect("it is there"),
        "{\"id\":\"mine\"}\n{\"id\":\"a\",\"n\":0}\n"
    );
}

#[tokio::test]
async fn every_flush_is_a_whole_part_that_a_source_reads_back_in_order() {
    for (format, extension) in [("json", "jsonl"), ("parquet", "parquet")] {
        let directory = TempDir::new().expect("a directory");
        let out = table("filesystem", "sink", directory.path(), format);
        let sink = open_sink(&out, &SinkContext::default()).await.expect("the sink opens");
        sink.write(&rows(&["a", "b"])).await.expect("the rows are taken");
        sink.write(&rows(&["c"])).await.expect("the row is taken");
        assert_eq!(parts(&directory).len(), 0, "nothing is visible before a flush");
        sink.flush().await.expect("the rows are durable");
        sink.flush().await.expect("nothing is left to write");
        sink.write(&rows(&["d"])).await.expect("the row is taken");
        sink.close().await.expect("the row is durable");
        let parts = parts(&directory);
        assert_eq!(parts.len(), 2);
        assert!(
            parts
                .iter()
                .all(|part| part.extension().is_some_and(|found| found == extension))
        );
        let back = epochs(&table("filesystem", "source", directory.path(), format), 256).await;
        assert_eq!(ids(&back), ["a", "b", "c", "d"]);
    }
}

/// What a sink has written to it, or a reader that has gone away.
#[derive(Clone, Default)]
struct Output {
    written: Arc<Mutex<Vec<u8>>>,
    gone: bool,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.gone {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        self.written.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn standard_output_gets_a_json_object_a_line_and_a_reader_that_left_ends_it_quietly() {
    let schema = table("stdout", "sink", Path::new("-"), "json").schema;
    let output = Output::default();
    let sink = StdoutSink::new(schema.clone(), JsonOptions::default(), Box::new(output.clone()));
    sink.write(&rows(&["a", "b"])).await.expect("the rows are taken");
    sink.flush().await.expect("the rows are out");
    let written = output.written.lock().expect("no writer panics").clone();
    assert_eq!(written, b"{\"id\":\"a\",\"n\":0}\n{\"id\":\"b\",\"n\":1}\n");

    let gone = Output {
        gone: true,
        ..Output::default()
    };
    let sink = StdoutSink::new(schema, JsonOptions::default(), Box::new(gone));
    let error = sink.write(&rows(&["a"])).await.expect_err("nobody reads");
    assert!(matches!(error, ConnectorError::ReaderGone), "{error}");
}
