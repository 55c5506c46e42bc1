//! Videos and documents that are made at test time, and the repository's pipelines over them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::common::{code, json_lines, output, pdf, sightstream, stderr};

/// A pipeline of the repository, and where its source's table ends.
pub struct Pipeline {
    sql: &'static str,
    sinks: &'static str,
    pub collection: &'static str,
}

pub const MEDIA: Pipeline = Pipeline {
    sql: include_str!("../../../sql/pipelines/index_media.sql"),
    sinks: "-- `id` and `vector` are the point",
    collection: "media",
};

pub const MOMENTS: Pipeline = Pipeline {
    sql: include_str!("../../../sql/pipelines/index_moments.sql"),
    sinks: "-- `url` is the part's own address",
    collection: "moments",
};

impl Pipeline {
    /// The command that runs it over `media` in a file instead of a topic, into `embedded:db`. Ids are their places.
    pub fn job(&self, directory: &Path, media: &[&str]) -> Command {
        let records = media
            .iter()
            .enumerate()
            .map(|(id, url)| json!({"id": id.to_string(), "url": url}).to_string() + "\n");
        fs::write(directory.join("in.jsonl"), records.collect::<String>()).expect("a new file");
        let (_, sinks) = self.sql.split_once(self.sinks).expect("the pipeline has a sink");
        let source = "CREATE TABLE media (id TEXT NOT NULL, url TEXT NOT NULL, title TEXT, kind TEXT, folder TEXT)
          WITH (connector = 'single_file', path = 'in.jsonl', type = 'source', format = 'json');\n--";
        fs::write(directory.join("job.sql"), format!("{source}{sinks}")).expect("a new file");
        let mut command = sightstream(directory);
        command
            .args(["run", "job.sql", "--dead-letters", "dead.jsonl"])
            .env("SIGHTSTREAM_QDRANT", "embedded:db");
        command
    }

    /// Runs it to its end.
    pub fn run(&self, directory: &Path, media: &[&str]) -> Output {
        let output = output(self.job(directory, media));
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        output
    }

    /// What `search` prints with these arguments.
    pub fn search(&self, directory: &Path, arguments: &[&str]) -> Output {
        let mut command = sightstream(directory);
        command
            .args(["search", "--qdrant", "embedded:db", "--collection", self.collection])
            .args(arguments);
        let output = output(command);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        output
    }

    /// All points, as `search --moments --json` gives them.
    pub fn points(&self, directory: &Path) -> Vec<Value> {
        json_lines(&self.search(directory, &["anything", "--moments", "--json", "--limit", "1000"]))
    }
}

/// A video of so many seconds, a frame each.
pub fn video(directory: &Path, name: &str, seconds: u32) {
    let source = format!("testsrc2=duration={seconds}:size=96x64:rate=1");
    let input = ["-f", "lavfi", "-i", &source];
    ffmpeg(
        directory,
        &[
            &input[..],
            &["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", name],
        ]
        .concat(),
    );
}

/// Runs ffmpeg in `directory`.
pub fn ffmpeg(directory: &Path, arguments: &[&str]) {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-y"])
        .args(arguments)
        .current_dir(directory);
    let output = output(command);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// A PDF document of so many pages, each with a rectangle of its own.
pub fn pdf(pages: u32) -> Vec<u8> {
    let rectangle = |page| {
        let (left, height) = (10 + 25 * (page % 4), 40 + 30 * (page % 3));
        format!("0.{} 0.5 0.2 rg {left} 20 60 {height} re f", page % 10)
    };
    let contents: Vec<String> = (0..pages).map(rectangle).collect();
    pdf::pdf(&contents)
}

/// A server on the loopback interface that gives `body` for every path, and calls it `application/octet-stream`. Its
/// address, and how often it was asked for the body.
pub fn serve(body: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket").to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = BufReader::new(stream);
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") && stream.read_line(&mut request).is_ok_and(|read| read > 0) {}
            let has_it = request.to_ascii_lowercase().contains("if-none-match: \"it\"");
            let (status, body) = if has_it {
                ("304 Not Modified", &[][..])
            } else {
                ("200 OK", &body[..])
            };
            count.fetch_add(usize::from(!has_it), Ordering::SeqCst);
            let head = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nETag: \"it\"\r\nContent-Type: application/octet-stream\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            // A client that goes away misses the rest.
            let _ = stream.get_mut().write_all(&[head.as_bytes(), body].concat());
        }
    });
    (address, asked)
}
