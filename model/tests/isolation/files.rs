//! Media in files: workers get them open, and keep those that are asked about again.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use sightstream_model::error::MediaError;
use sightstream_model::fetch::{Content, Fetched, Identity, MediaFile};
use sightstream_model::isolation::{DecodeError, Decoder, DecoderIsolation, FittedAnswer, WorkerOptions};
use sightstream_model::media::{Media, Parts, Question};

use crate::support::{Test, decoder, decoder_of, workers};

pub const TESTS: &[Test] = &[
    (
        "a_worker_reads_the_file_that_it_is_given",
        a_worker_reads_the_file_that_it_is_given,
    ),
    (
        "a_worker_keeps_no_file_that_it_does_not_read",
        a_worker_keeps_no_file_that_it_does_not_read,
    ),
    (
        "what_is_asked_of_a_medium_goes_to_the_worker_that_has_it_open",
        what_is_asked_of_a_medium_goes_to_the_worker_that_has_it_open,
    ),
    ("clips_and_parts_come_back", clips_and_parts_come_back),
    (
        "a_clip_of_more_frames_than_were_asked_for_is_not_taken",
        a_clip_of_more_frames_than_were_asked_for_is_not_taken,
    ),
    (
        "opening_a_large_file_may_take_longer",
        opening_a_large_file_may_take_longer,
    ),
    (
        "a_file_gives_the_same_in_process_and_both_count_its_opening",
        a_file_gives_the_same_in_process_and_both_count_its_opening,
    ),
];

/// A file of its own identity that a reader takes for a document, with something in it.
pub fn document(number: u8, something: &str) -> MediaFile {
    let content = format!("%PDF-1.7\n{something}\n{}", " ".repeat(1000));
    file(number, content.as_bytes())
}

/// A document of its own identity.
fn real_document(number: u8) -> MediaFile {
    file(number, include_bytes!("../documents/charts.pdf"))
}

fn file(number: u8, content: &[u8]) -> MediaFile {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(content).expect("there is room");
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    MediaFile {
        file: Arc::new(File::open(path).expect("it can be opened for reading")),
        length: content.len() as u64,
        identity: Identity([number; 16]),
    }
}

fn ask(decoder: &Decoder, file: &MediaFile, question: Question) -> Result<FittedAnswer, MediaError> {
    let fetched = Fetched {
        content: Content::File(file.clone()),
        media_type: None,
    };
    decoder
        .read(&fetched, None, question, "it")
        .map_err(|error| match error {
            DecodeError::Media(error) => error,
            DecodeError::Unavailable(error) => panic!("no worker: {error}"),
        })
}

/// What a worker says about a file, in words.
fn said(decoder: &Decoder, file: &MediaFile) -> Vec<String> {
    match ask(decoder, file, Question::Input).map(media) {
        Ok(Media::Text(text)) => text.split(' ').map(str::to_owned).collect(),
        other => panic!("{other:?}"),
    }
}

fn media(answer: FittedAnswer) -> Media {
    match answer {
        FittedAnswer::Media(fitted) => fitted.into_media(),
        FittedAnswer::Parts(parts) => panic!("{parts:?}"),
    }
}

fn a_worker_reads_the_file_that_it_is_given() {
    let decoder = decoder(workers("looks-at-files"));
    for (number, something) in [(1, "first"), (2, "second"), (1, "first")] {
        let said = said(&decoder, &document(number, something));
        assert_eq!((said[1].as_str(), said[2].as_str()), (something, "read-only"));
    }
}

fn a_worker_keeps_no_file_that_it_does_not_read() {
    let decoder = decoder(workers("looks-at-files"));
    let mut open: Vec<String> = (0..50)
        .map(|number| said(&decoder, &document(number, "x"))[3].clone())
        .collect();
    open.dedup();
    assert_eq!(open.len(), 1, "{open:?}");
}

fn what_is_asked_of_a_medium_goes_to_the_worker_that_has_it_open() {
    let decoder = decoder(workers("opens-slowly"));
    let (first, second) = (real_document(1), real_document(2));
    // Each is opened while the other one is, so that there are two workers.
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(|| said(&decoder, &first)[0].clone());
        let other = said(&decoder, &second)[0].clone();
        (one.join().expect("nothing panics"), other)
    });
    assert_ne!(one, other, "the two were opened at the same time");
    for _ in 0..4 {
        assert_eq!(said(&decoder, &second)[0], other, "it has the medium open");
    }
    // What is new goes to another one. (The first one ended with the thread that started it, so that is one more.)
    assert_ne!(said(&decoder, &real_document(3))[0], other);
    assert_eq!(said(&decoder, &second)[0], other);
}

fn clips_and_parts_come_back() {
    let decoder = decoder(workers("plays"));
    let file = document(1, "8");
    match ask(&decoder, &file, Question::Input).map(media) {
        Ok(Media::Clip(frames)) => {
            let shades: Vec<u8> = frames.iter().map(|frame| frame.get_pixel(27, 27).0[2]).collect();
            assert_eq!(shades, [0, 1, 2, 3, 4, 5, 6, 7]);
            assert!(frames.iter().all(|frame| frame.dimensions() == (56, 84)));
        }
        other => panic!("{other:?}"),
    }
    let parts = ask(&decoder, &file, Question::Parts);
    assert_eq!(parts, Ok(FittedAnswer::Parts(Parts::Windows { duration: 7200.5 })));
}

fn a_clip_of_more_frames_than_were_asked_for_is_not_taken() {
    let decoder = decoder(workers("plays"));
    let error = ask(&decoder, &document(1, "9"), Question::Input).expect_err("nine frames");
    assert_eq!(error.reason(), "crashed");
    assert!(error.to_string().contains("a clip of 9 frames"), "{error}");
}

fn opening_a_large_file_may_take_longer() {
    let options = WorkerOptions {
        timeout: Duration::from_secs(1),
        ..workers("opens-slowly")
    };
    let decoder = decoder(options);
    // The first medium waits for the worker to start, and needs no more than that.
    let large = MediaFile {
        length: 30 * (64 << 20),
        ..document(1, "large")
    };
    said(&decoder, &large);
    let error = ask(&decoder, &document(2, "small"), Question::Input).expect_err("it takes 2 s");
    assert_eq!(error.reason(), "decode_timeout");
}

fn a_file_gives_the_same_in_process_and_both_count_its_opening() {
    let file = document(1, "no document at all");
    let answers = [DecoderIsolation::InProcess, DecoderIsolation::Workers(workers("sound"))].map(|isolation| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let told = recorder.handle();
        let answer = ::metrics::with_local_recorder(&recorder, || {
            ask(&decoder_of(isolation), &file, Question::Input).map_err(|error| error.to_string())
        });
        let opened = told.render();
        assert!(opened.contains("sightstream_media_opened_total 1\n"), "{opened}");
        answer
    });
    assert_eq!(answers[0], answers[1]);
}
